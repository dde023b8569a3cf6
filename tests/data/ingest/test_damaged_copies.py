"""A damaged copy of what is stored takes nothing away, and in either order the sound one is what is stored."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from histories import KINDS, claude, claude_line, dumps, inspect_eval, who_and_when
from test_any_order import empty, tree

from workbench.data.ingest import ingest
from workbench.data.ingest.undo import undo
from workbench.data.store.engine import Store

_SAID = "what was said"
# Of the others a step or a run is told by what it says: with a hole in it, it is another one, beside the sound one.
_TOLD_BY_ID = (
    "claude-code",
    "codex",
    "gemini-cli",
    "inspect-json",
    "langfuse",
    "mlflow",
    "openinference",
    "pi",
    "tau2",
)


def read(store: Store, folder: Path, *files: tuple[str, bytes]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some files, one read after the other into an empty store."""
    empty(store)
    for n, (name, data) in enumerate(files):
        path = folder / str(n) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        ingest(store, path, progress=False)
    return tree(store)


def with_hole(data: bytes) -> bytes:
    """A file as it may lie on disk after a crash: zeros where text was."""
    at = data.rindex(_SAID.encode()) + 3
    return data[:at] + b"\0\0" + data[at + 2 :]


@pytest.mark.parametrize("kind", _TOLD_BY_ID)
def test_a_hole_takes_no_text_away(store: Store, tmp_path: Path, kind: str) -> None:
    """A copy with zeros in a text is read after and before the sound file."""
    made = KINDS[kind]
    sound = made.name, made.make(text=_SAID)
    torn = made.name, with_hole(sound[1])
    expected = read(store, tmp_path, sound)

    assert read(store, tmp_path, sound, torn) == expected
    assert read(store, tmp_path, torn, sound) == expected


def test_a_log_without_its_end_takes_nothing_from_what_is_known_of_the_run(store: Store, tmp_path: Path) -> None:
    """A cut archive has the samples, but not what the log says at its end of them all."""
    whole = inspect_eval(2)
    header = whole.rindex(b"header.json", 0, whole.rindex(b"PK\1\2"))
    sound, cut = ("log.eval", whole), ("log.eval", whole[: header - 40])
    expected = read(store, tmp_path, sound)

    assert read(store, tmp_path, sound, cut) == expected
    assert read(store, tmp_path, cut, sound) == expected


def test_of_two_tellings_of_a_line_the_one_without_a_hole_counts(store: Store, tmp_path: Path) -> None:
    """Files that each lack lines of the other are put together: a torn line is not taken, though its file is longer."""
    lines = claude(6, _SAID).splitlines(keepends=True)
    expected = read(store, tmp_path, ("session.jsonl", b"".join(lines)))
    short = "session.jsonl", b"".join(lines[:4])
    torn = "session.jsonl", with_hole(lines[1]) + b"".join(lines[2:])

    assert read(store, tmp_path, short, torn) == expected
    assert read(store, tmp_path, torn, short) == expected


def test_a_torn_line_without_an_id_is_the_one_between_the_same_lines(store: Store, tmp_path: Path) -> None:
    """A torn line of a Codex session is no further step where another file has it whole, whichever is read first."""
    start = {"timestamp": "2025-05-01T12:00:00Z", "type": "session_meta", "payload": {"id": "5e551000-1"}}
    lines = [dumps(start) + b"\n"]
    for n in range(1, 5):
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{_SAID} {n}"}]}
        lines.append(dumps({"timestamp": f"2025-05-01T12:00:0{n}Z", "type": "response_item", "payload": said}) + b"\n")
    whole = "rollout.jsonl", b"".join(lines)
    torn = "rollout.jsonl", b"".join(lines[:2]) + with_hole(lines[2]) + b"".join(lines[3:])
    expected = read(store, tmp_path, whole)

    assert read(store, tmp_path, whole, torn) == expected
    assert read(store, tmp_path, torn, whole) == expected


def test_a_session_that_goes_on_behind_damage_is_brought_up_to_date(store: Store, tmp_path: Path) -> None:
    """A file that has been damaged all the time is no worse copy of itself: what it says now counts."""
    lines = [claude_line(n) for n in range(2)]
    first = b"".join(dumps(line) + b"\n" for line in lines) + b"42\n"
    title = {"type": "summary", "summary": "Greetings", "leafUuid": lines[0]["uuid"]}
    path = tmp_path / "session.jsonl"
    for data in (first, first + dumps(title) + b"\n"):
        path.write_bytes(data)
        ingest(store, path, progress=False)

    with store.raw() as connection:
        assert connection.execute("SELECT name FROM workbench.agent_executions").fetchall() == [("Greetings",)]


# -- told differently by sound files -----------------------------------------------------------------------------------


def failed(level: Any, text: str) -> tuple[str, bytes]:
    """A run of a task whose level is written so."""
    return "1.json", who_and_when(2, text).replace(
        b'"question_ID"', b'"level": ' + dumps(level) + b', "question_ID"', 1
    )


def test_a_task_that_files_tell_differently_is_the_same_in_any_order(store: Store, tmp_path: Path) -> None:
    """The fuller telling of a task stays, whichever is read first; when its import is undone, the other comes back."""
    text, number = failed("2", "one"), failed(2, "two")

    def levels() -> list[Any]:
        with store.raw() as connection:
            return connection.execute("SELECT metadata->'level' FROM workbench.tasks").fetchall()

    for files in ((text, number), (number, text)):
        read(store, tmp_path, *files)
        assert levels() == [("2",)]

    with store.raw() as connection:
        [(own,)] = connection.execute(
            "SELECT import_id FROM workbench.tasks JOIN workbench.imports AS import ON import.id = import_id"
        ).fetchall()
    undo(store, own)
    assert levels() == [(2,)]


def test_a_total_that_a_part_reported_goes_when_the_whole_reports_none(store: Store, tmp_path: Path) -> None:
    """The running total of a part of a Codex session is not left over when the whole tells no total."""
    start = {
        "timestamp": "2025-05-01T12:00:00Z",
        "type": "session_meta",
        "payload": {"id": "5e551000-0000-4000-8000-1"},
    }
    lines = [start]
    for n, total in enumerate((10, 25, 0), start=1):
        usage = {"input_tokens": total, "output_tokens": 0, "total_tokens": total}
        told = {"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": usage}}
        lines.append({"timestamp": f"2025-05-01T12:00:0{n}Z", "type": "event_msg", "payload": told})
    whole = b"".join(dumps(line) + b"\n" for line in lines)
    part = b"".join(dumps(line) + b"\n" for line in lines[:2])
    expected = read(store, tmp_path, ("rollout.jsonl", whole))

    assert read(store, tmp_path, ("rollout.jsonl", part), ("rollout.jsonl", whole)) == expected


def test_what_a_run_says_that_it_cost_stays_when_parts_are_put_together(store: Store, tmp_path: Path) -> None:
    """Where steps say nothing of cost, the greater total of two files of the run counts, in either order."""

    def trajectory(cost: float, *words: str) -> tuple[str, bytes]:
        steps = [{"action": "ls", "observation": said, "response": said, "thought": said} for said in words]
        stats = {"instance_cost": cost, "tokens_sent": int(cost * 100), "tokens_received": 1, "api_calls": len(steps)}
        history = [{"role": "system", "content": "fix it"}, {"role": "user", "content": "a bug"}]
        made = {"environment": "e", "trajectory": steps, "history": history, "info": {"model_stats": stats}}
        return "run.traj", dumps(made)

    part, other = trajectory(0.5, "one", "two"), trajectory(0.75, "one", "three")
    for files in ((part, other), (other, part)):
        read(store, tmp_path, *files)
        with store.raw() as connection:
            spent = connection.execute(_SPENT).fetchall()
        assert spent == [(Decimal("0.75"), "source", 75)]


_SPENT = "SELECT cost, cost_source, token_usage->'input_tokens' FROM workbench.agent_executions"
