"""Files into the store: whole or not at all, each run once, grown sessions completed, everything reported."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sessions import SESSION, Session, put, session, tau2_results, tau2_simulation, tau_run, text, tool_use

from workbench.data.frames.load import Frames
from workbench.data.ingest import batch, ingest
from workbench.data.ingest.formats import tau_bench
from workbench.data.ingest.ids import execution_id, import_id
from workbench.data.ingest.normal import Run, Step
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import Counts
from workbench.data.ingest.writing.rows import RowMaker
from workbench.data.store.engine import Store
from workbench.data.store.snapshots import rebuild_all
from workbench.data.store.storable import unpack
from workbench.errors import IngestError, UnknownFormatError

# Everything an ingest may write, without what tells one ingest from another.
_TABLES = {
    "imports": "id, source, sha256",
    "tasks": "id, title, description, metadata, source_id",
    "agent_executions": "id, task_id, parent_execution_id, agent_type, name, model, status, score, started_at,"
    " completed_at, input, output, error, metadata, execution_time_ms, token_usage, cost, source_id",
    "observability_events": "id, execution_id, step_number, event_type, name, agent, severity, timestamp, duration_ms,"
    " span_id, parent_span_id, data, raw",
    "execution_snapshots": "id, execution_id, step_number, state, keyframe_step, is_derived",
}


def rows(store: Store, table: str, columns: str = "*", where: str = "true") -> list[tuple]:
    with store.raw() as connection:
        return connection.execute(
            f"SELECT {columns} FROM workbench.{table} WHERE {where} ORDER BY 1, 2"  # type: ignore[arg-type]
        ).fetchall()


def everything(store: Store, *, but: str = "") -> dict[str, list[tuple]]:
    return {table: rows(store, table, columns) for table, columns in _TABLES.items() if table != but}


def versions(store: Store) -> list[tuple]:
    return rows(store, "observability_events", "id, row_version") + rows(store, "agent_executions", "id, row_version")


def test_a_second_ingest_changes_nothing(store: Store, tmp_path: Path) -> None:
    """Read again, a folder adds no row and rewrites none, not even a record of the import; the report says so."""
    put(tmp_path, "s.jsonl", session().bytes())
    put(tmp_path, "tau.json", [tau_run(1), tau_run(2, reward=0.0)])
    put(tmp_path, "tau2.json", tau2_results(tau2_simulation()))
    first = ingest(store, tmp_path, progress=False)
    before, touched = everything(store), versions(store)

    second = ingest(store, tmp_path, progress=False)

    assert [file.outcome for file in first.files] == ["new"] * 3
    assert [file.outcome for file in second.files] == ["already there"] * 3
    assert (second.totals, second.new) == (first.totals, Counts())
    assert (everything(store), versions(store)) == (before, touched)
    assert "all already there" in str(second)


def test_what_was_taken_away_comes_back(store: Store, tmp_path: Path) -> None:
    """An ingest of the very same file completes whatever was deleted since, and only that."""
    path = put(tmp_path, "tau.json", [tau_run(1), tau_run(2)])
    first = ingest(store, path, progress=False)
    before = everything(store)
    for table, where in (
        ("observability_events", "step_number = 2"),
        ("execution_snapshots", "step_number > 2"),
        ("agent_executions", "name LIKE 'task 1 %%'"),
    ):
        with store.raw() as connection:
            connection.execute(f"DELETE FROM workbench.{table} WHERE {where}")  # type: ignore[arg-type]

        again = ingest(store, path, progress=False)

        assert again.files[0].outcome in ("new", "extended")
        assert again.totals == first.totals
        assert everything(store) == before


def test_the_second_report_says_the_same(store: Store, tmp_path: Path) -> None:
    """What was kept, changed and unreadable is told again for a file that is already there."""
    path = put(tmp_path, "s.jsonl", session().bytes() + b"42\n")
    [first] = ingest(store, path, progress=False).files

    [second] = ingest(store, path, progress=False).files
    [third] = ingest(store, put(tmp_path, "copy.jsonl", path.read_bytes()), progress=False).files

    for again in (second, third):
        assert again.outcome == "already there"
        for name in ("counts", "kept", "changed", "lost", "bad", "n_bad", "sha256", "format"):
            assert getattr(again, name) == getattr(first, name)


def test_a_file_is_known_wherever_it_lies(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved, named by a relative path or by a link, a file that was read before is told by its bytes."""
    path = put(tmp_path, "a/s.jsonl", session().bytes())
    ingest(store, path, progress=False)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)

    reports = [ingest(store, name, progress=False) for name in ("a/s.jsonl", "link/s.jsonl", "./a/../a/s.jsonl")]
    moved = ingest(store, path.rename(put(tmp_path, "b/x", b"").with_name("s.jsonl")), progress=False)

    assert [report.files[0].path for report in reports] == ["a/s.jsonl", "link/s.jsonl", "a/../a/s.jsonl"]
    assert {report.files[0].outcome for report in [*reports, moved]} == {"already there"}
    assert rows(store, "imports", "path, id") == [(str(path.resolve()), import_id(*_identity()))]


def _identity() -> tuple[str, str]:
    return "claude-code", hashlib.sha256(session().bytes()).hexdigest()


def test_ids_come_from_the_source(store: Store, tmp_path: Path) -> None:
    """A run has the same id in every store; a copy of its file elsewhere is known to be there."""
    ingest(store, put(tmp_path, "a/s.jsonl", session().bytes()), progress=False)

    [(stored, events)] = rows(store, "agent_executions", "id, (SELECT count(*) FROM workbench.observability_events)")
    again = ingest(store, put(tmp_path, "b/s.jsonl", session().bytes()), progress=False)
    assert stored == execution_id("claude-code", SESSION) == UUID("4e578160-054b-56c1-9d4e-8eabea30cbae")
    assert events == 11
    assert again.new == Counts()


@pytest.mark.parametrize("n", range(1, 11))
def test_a_grown_session_ends_as_if_read_once(n: int, store: Store, tmp_path: Path) -> None:
    """Ingest the first lines, then the whole: the rows are those of the whole alone."""
    part = put(tmp_path, f"part/{SESSION}.jsonl", session().bytes(n))
    whole = put(tmp_path, f"whole/{SESSION}.jsonl", session().bytes())
    ingest(store, part, progress=False)

    report = ingest(store, whole, progress=False)

    grown = everything(store, but="imports")
    with store.raw() as connection:
        connection.execute("TRUNCATE workbench.imports, workbench.tasks, workbench.agent_executions CASCADE")
    ingest(store, whole, progress=False)
    assert report.files[0].outcome == "extended"
    assert report.new.events == 11 - n
    assert grown == everything(store, but="imports")


def test_states_move_with_their_steps(store: Store, tmp_path: Path) -> None:
    """A late line that belongs before the others moves their states; none is left where it was."""
    s = session()
    ingest(store, put(tmp_path, "a.jsonl", s.bytes()), progress=False)
    s.line("progress", timestamp="2026-01-02T09:00:00Z")

    ingest(store, put(tmp_path, "b.jsonl", s.bytes()), progress=False)

    states = dict(rebuild_all(_states(store)))
    assert list(states) == list(range(2, 12))
    assert len(states[2]["messages"]) == 1


def test_repeated_step_ids_get_ids_of_their_own() -> None:
    """Steps that share an id are all kept, each under its own, and the report counts them."""
    source = Source.from_bytes(b"")
    run = Run("r", "a", steps=[Step("log", source_id="x"), Step("log", source_id="x"), Step("log", source_id="x#2")])

    events = list(RowMaker("otlp", source, UUID(int=0)).events(run))

    assert len({event[0] for event in events}) == 3
    assert [(note.what, n) for note, n in source.notes.items()] == [("event id", 2)]


def test_an_older_copy_takes_nothing_away(store: Store, tmp_path: Path) -> None:
    """Read after the whole session, its beginning changes nothing, and the store knows that it holds the run too."""
    ingest(store, put(tmp_path, "whole.jsonl", session().bytes()), progress=False)
    before = everything(store, but="imports")

    report = ingest(store, put(tmp_path, "part.jsonl", session().bytes(6)), progress=False)

    assert report.files[0].outcome == "already there"
    assert (report.files[0].events, report.new) == (6, Counts())
    assert everything(store, but="imports") == before
    assert len(rows(store, "import_runs", "import_id, execution_id")) == 2


def test_two_parts_of_one_run_become_one(store: Store, tmp_path: Path) -> None:
    """Files that hold different parts of a session are one run: all events by time, totals and states of the whole."""
    lines = session().bytes().splitlines(keepends=True)
    late = put(tmp_path, "late.jsonl", b"".join(lines[5:]))
    early = put(tmp_path, "early.jsonl", b"".join(lines[:7]))
    ingest(store, late, progress=False)

    report = ingest(store, early, progress=False)

    [(steps, usage)] = rows(
        store,
        "agent_executions",
        "(SELECT array_agg(span_id ORDER BY step_number) FROM workbench.observability_events"
        " WHERE span_id IS NOT NULL), token_usage",
    )
    states = [state for _, state in rebuild_all(_states(store))]
    assert (report.files[0].outcome, report.new.events) == ("extended", 5)
    assert [item.count for item in report.files[0].changed if item.what == "run"] == [1]
    assert steps == [f"line-{n}" for n in range(11)]
    assert usage == {
        "input_tokens": 12, "cache_read_tokens": 400, "cache_write_tokens": 20, "output_tokens": 38
    }  # fmt: skip
    assert (len(states), len(states[-1]["messages"]), set(states[-1]["tool_results"])) == (10, 8, {"call-1", "call-2"})
    whole = ingest(store, put(tmp_path, "whole.jsonl", session().bytes()), progress=False)
    assert whole.new == Counts()


def _states(store: Store) -> list[tuple[int, int, str]]:
    return rows(store, "execution_snapshots", "step_number, keyframe_step, state::text")  # type: ignore[return-value]


def test_derived_states_grow_with_the_conversation(store: Store, tmp_path: Path) -> None:
    """Where the source records no state, it is the messages and tool results so far, and marked as derived."""
    ingest(store, put(tmp_path, "s.jsonl", session().bytes()), progress=False)

    states = dict(rebuild_all(_states(store)))
    assert set(rows(store, "execution_snapshots", "is_derived, checkpoint")) == {(True, False)}
    assert list(states) == list(range(1, 11))
    assert states[1] == {"messages": [{"role": "user", "content": "Fix the login"}], "tool_results": {}}
    assert states[4]["messages"][1:] == [
        {"role": "assistant", "reasoning": "Look first."},
        {"role": "assistant", "content": "I look."},
        {
            "role": "assistant",
            "tool_calls": [{"name": "Bash", "call_id": "call-1", "arguments": {"command": "ls"}}],
        },
    ]
    assert states[10]["tool_results"] == {"call-1": "a.py", "call-2": "no such file"}


def test_derived_states_are_linear(store: Store, tmp_path: Path) -> None:
    """A conversation of 2,000 steps takes a small multiple of its own size, not the square."""
    s = Session()
    for n in range(1000):
        s.user(f"question {n} " + "x" * 200)
        s.assistant(f"m{n}", text("y" * 200))
    content = s.bytes()

    ingest(store, put(tmp_path, "long.jsonl", content), progress=False)

    [(size, n)] = rows(store, "execution_snapshots", "sum(length(state::text)), count(*)", "true GROUP BY ()")[:1]
    said = sum(len(line["message"]["content"]) if line["type"] == "user" else 200 for line in s.lines)
    assert n == 2000
    assert size < 4 * said


def test_parents_are_linked_in_any_order(store: Store, tmp_path: Path) -> None:
    """A sub-agent's file read before its session's is linked when the session comes."""
    agent = Session(isSidechain=True, agentId="abc")
    agent.user("Warmup")
    ingest(store, put(tmp_path, "agent-abc.jsonl", agent.bytes()), progress=False)
    alone = rows(store, "agent_executions", "parent_execution_id, name")

    ingest(store, put(tmp_path, f"{SESSION}.jsonl", session().bytes()), progress=False)

    assert alone == [(None, "Warmup")]
    assert rows(store, "agent_executions", "name, parent_execution_id", "name = 'Warmup'") == [
        ("Warmup", execution_id("claude-code", SESSION))
    ]


def test_runs_of_one_task_share_it(store: Store, tmp_path: Path) -> None:
    """Trials of a task, over several files, point to one row."""
    ingest(store, put(tmp_path, "a.json", [tau_run(1, 0), tau_run(1, 1, reward=0.0)]), progress=False)
    ingest(store, put(tmp_path, "b.json", [tau_run(1, 2), tau_run(2, 0)]), progress=False)

    assert rows(store, "tasks", "source_id, title") == [
        ("retail/1", "tau-bench retail/1: You are u1. Ask for your order."),
        ("retail/2", "tau-bench retail/2: You are u1. Ask for your order."),
    ]
    assert len(rows(store, "agent_executions", "task_id, id")) == 4


def test_the_import_is_recorded(store: Store, tmp_path: Path) -> None:
    """Each file has a row with its checksum and report, to which its runs point."""
    path = put(tmp_path, "s.jsonl", session().bytes() + b"42\n")

    report = ingest(store, path, progress=False)

    [(source, where, sha256, size, stored, runs)] = rows(
        store,
        "imports",
        "source, path, sha256, size_bytes, report,"
        " (SELECT count(*) FROM workbench.agent_executions WHERE import_id = imports.id)",
    )
    assert (source, where, sha256, size, runs) == (
        "claude-code", str(path), report.files[0].sha256, path.stat().st_size, 1
    )  # fmt: skip
    assert stored.pop("version")
    assert stored == json.loads(json.dumps(report.files[0].as_dict()))


def test_a_folder_is_walked(store: Store, tmp_path: Path) -> None:
    """Sorted, hidden files left out, links followed once, whatever is no history listed with the reason."""
    put(tmp_path, "b/s.jsonl", session().bytes())
    put(tmp_path, "a/tau.json", [tau_run()])
    put(tmp_path, ".hidden/s.jsonl", session().bytes())
    put(tmp_path, "b/.s.jsonl.swp", session().bytes())
    put(tmp_path, "notes.md", b"# Notes\n")
    put(tmp_path, "b/empty.md", b"")
    put(tmp_path, "b/storage.json", b'{"task-store": "{}", "environments": "{}"}')
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "again.jsonl").symlink_to(tmp_path / "b" / "s.jsonl")
    (tmp_path / "b" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "b" / "pipe")

    report = ingest(store, tmp_path, progress=False)

    assert [(Path(file.path).name, file.format) for file in report.files] == [
        ("tau.json", "tau-bench"), ("again.jsonl", "claude-code")
    ]  # fmt: skip
    assert {Path(skipped.path).name: skipped.reason for skipped in report.skipped} == {
        "notes.md": "not agent history in any format this version reads",
        "empty.md": "empty: 0 bytes",
        "storage.json": "looks like a browser's localStorage, which this version cannot read",
    }
    assert report.ok


def test_an_unknown_file_named_alone_is_an_error(store: Store, tmp_path: Path) -> None:
    """The error lists the known formats and says how to force one; a wrong format name lists them too."""
    path = put(tmp_path, "notes.txt", b"hello")

    with pytest.raises(UnknownFormatError, match=r"tau-bench, tau2, claude-code, inspect, otlp.*format='tau-bench'"):
        ingest(store, path, progress=False)
    with pytest.raises(UnknownFormatError, match=r"Unknown format 'jsonl'\. Known formats: tau-bench"):
        ingest(store, path, format="jsonl", progress=False)
    with pytest.raises(IngestError, match="There is no file or folder"):
        ingest(store, tmp_path / "nowhere", progress=False)


def test_a_format_can_be_forced(store: Store, tmp_path: Path) -> None:
    """A file that no reader recognises is read as what the user says it is."""
    path = put(tmp_path, "odd.jsonl", b'{"role": "user", "note": "no known keys"}\n')

    report = ingest(store, path, format="claude-code", progress=False)

    assert (report.files[0].format, report.files[0].events, report.ok) == ("claude-code", 1, True)


def test_one_bad_file_of_several_named_is_reported(store: Store, tmp_path: Path) -> None:
    """Named with others, a file that cannot be read is a failed entry and the others are stored."""
    cut = put(tmp_path, "cut.json", json.dumps([tau_run()]).encode()[:-20])
    good = put(tmp_path, "good.json", [tau_run()])

    report = ingest(store, [cut, put(tmp_path, "x.txt", b"?"), good], progress=False)

    assert [file.outcome for file in report.files] == ["failed", "failed", "new"]
    assert "cut off" in str(report.files[0].error)
    assert not report.ok
    assert report.totals == Counts(1, 6, 6)


def test_a_file_that_fails_half_way_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Whatever stops a file in the middle, none of its rows stay."""
    before = everything(store)
    runs = [tau_run(n) for n in range(3)]
    runs[2]["traj"][0]["content"] = "x"

    class StopError(RuntimeError):
        pass

    def stop(n_bytes: int) -> None:
        raise StopError

    source = Source.of(put(tmp_path, "runs.json", runs))
    assert source.sha256
    assert source.head
    source.on_read = stop
    with pytest.raises(StopError):
        batch._ingest_file(store, source, tau_bench)

    assert everything(store) == before


@pytest.mark.parametrize("was_on", [True, False])
def test_the_garbage_collector_rests_and_is_given_back(store: Store, tmp_path: Path, was_on: bool) -> None:
    """While a file is read nothing looks for cycles; afterwards, and after a failure, it is as the user had it."""
    seen: list[bool] = []

    def look(n_bytes: int) -> None:
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise RuntimeError("stop")

    good, bad = Source.of(put(tmp_path, "a.json", [tau_run()])), Source.of(put(tmp_path, "b.json", [tau_run(2)]))
    for source in (good, bad):
        assert source.sha256
        assert source.head
    bad.on_read = look
    if not was_on:
        gc.disable()
    try:
        batch._ingest_file(store, good, tau_bench)
        after_good = gc.isenabled()
        with pytest.raises(RuntimeError, match="stop"):
            batch._ingest_file(store, bad, tau_bench)
        after_bad = gc.isenabled()
    finally:
        gc.enable()

    assert (after_good, after_bad) == (was_on, was_on)
    assert not any(seen)


def test_what_jsonb_refuses_keeps_its_bytes(store: Store, tmp_path: Path) -> None:
    """A line with a repeated key, NUL and a lone surrogate is stored readable, its own bytes beside it."""
    s = Session()
    s.user("nul: \0, half a pair: \ud83d")
    content = json.dumps(s.lines[0]).encode().replace(b'"cwd": "/repo"', b'"cwd": "/a", "cwd": "/b"')

    report = ingest(store, put(tmp_path, "s.jsonl", content), progress=False)

    [(stored, raw)] = rows(store, "observability_events", "data->>'text', raw")
    assert stored == "nul: ␀, half a pair: \ufffd"
    assert unpack(raw) == content
    assert {item.what for item in report.files[0].changed} >= {"JSON", "NUL character", "lone surrogate"}


def test_many_runs_in_one_file(store: Store, tmp_path: Path) -> None:
    """Runs are written in batches; a run that the file repeats is stored once and reported."""
    path = put(tmp_path, "runs.json", [*(tau_run(n) for n in range(1200)), tau_run(3)])

    report = ingest(store, path, progress=False)

    assert report.files[0].counts == report.new == Counts(1200, 7200, 7200)
    assert "run id" in {item.what for item in report.files[0].changed}
    assert len(rows(store, "agent_executions", "id, name")) == 1200


def test_progress_is_for_people(store: Store, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """Off a terminal nothing is printed; in a terminal there is a bar on stderr, unless it is not wanted."""
    path = put(tmp_path, "s.jsonl", session().bytes())
    ingest(store, path)
    silent = capsys.readouterr()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ingest(store, path)
    shown = capsys.readouterr()
    ingest(store, path, progress=False)
    unwanted = capsys.readouterr()

    assert (silent.out, silent.err) == ("", "")
    assert shown.out == ""
    assert "ingest: 100%" in shown.err
    assert (unwanted.out, unwanted.err) == ("", "")


def test_calls_with_several_tools_in_one_line(store: Store, tmp_path: Path) -> None:
    """All calls and results of a line reach the state, whichever line they share."""
    s = Session()
    s.assistant("m", tool_use("a", "Read", path="1"), tool_use("b/~", "Read", path="2"))
    s.user([{"type": "tool_result", "tool_use_id": i, "content": i} for i in ("a", "b/~")])

    ingest(store, put(tmp_path, "s.jsonl", s.bytes()), progress=False)

    *_, (_, state) = rebuild_all(_states(store))
    assert [call["call_id"] for call in state["messages"][0]["tool_calls"]] == ["a", "b/~"]
    assert state["tool_results"] == {"a": "a", "b/~": "b/~"}


def test_impossible_tokens_and_times_leave_the_frames_readable(store: Store, tmp_path: Path) -> None:
    """A token count no column holds and a time outside the calendar are reported, and every run can be listed."""
    line = {
        "type": "assistant", "uuid": "u1", "sessionId": "s1", "timestamp": "0001-01-01T00:00:00+14:00",
        "message": {"id": "m1", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
                    "usage": {"input_tokens": 10**30, "output_tokens": 5}},
    }  # fmt: skip
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")

    report = ingest(store, path, progress=False)

    assert "tokens" in {item.what for item in report.files[0].changed}
    row = Frames(store).executions().row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["started_at"]) == (None, 5, None)
