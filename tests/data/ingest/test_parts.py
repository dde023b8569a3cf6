"""Two files hold overlapping parts of one run: the store holds what one file with all of it gives, in either order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from histories import dumps
from test_any_order import empty, tree

from workbench.data.ingest import ingest
from workbench.data.store.engine import Store

N = 8
SESSION = "5e551000-0000-4000-8000-0000000000a1"


def at(n: float) -> str:
    return f"2025-05-01T12:00:{n:06.3f}Z"


def jsonl(lines: list[Any]) -> bytes:
    return b"".join(dumps(line) + b"\n" for line in lines)


def columns(wanted: Sequence[int]) -> bytes:
    """A table of a session: prompts and calls with their answers, tokens and cost."""
    rows = []
    for n in wanted:
        row: dict[str, Any] = {**dict.fromkeys(COLUMNS.values()), "session": "s", "ts": at(n), "kind": None}
        if n % 4 == 0:
            row |= {"who": "user", "said": f"prompt {n}"}
        elif n % 4 == 1:
            row |= {
                "who": "assistant",
                "tool": "ls",
                "call": f"c{n}",
                "args": "{}",
                "model": f"m{n // 4}",
                "in": 10 + n,
                "cost": 0.5,
            }
        elif n % 4 == 2:
            row |= {"who": "tool", "tool": "ls", "call": f"c{n - 1}", "out": "x"}
        else:
            row |= {
                "who": "assistant",
                "said": f"answer {n}",
                "model": "m0",
                "in": 5,
                "cost": 0.25,
                "kind": "llm_call" if n == 3 else None,
            }
            row |= {"state": "done" if n == N - 1 else "running", "score": 1 if n == N - 1 else None, "task": "t"}
        rows.append(row)
    return jsonl(rows)


COLUMNS = {
    "event_type": "kind",
    "run": "session",
    "time": "ts",
    "role": "who",
    "text": "said",
    "tool": "tool",
    "call_id": "call",
    "arguments": "args",
    "result": "out",
    "model": "model",
    "input_tokens": "in",
    "cost_usd": "cost",
    "status": "state",
    "score": "score",
    "task": "task",
}


def codex(wanted: Sequence[int]) -> bytes:
    lines: list[Any] = [
        {"timestamp": at(0), "type": "session_meta", "payload": {"id": SESSION, "cwd": "/"}},
        {"timestamp": at(0), "type": "turn_context", "payload": {"model": "m", "turn_id": "t"}},
    ]
    for n in wanted:
        if n % 4 == 0:
            p: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"prompt {n}"}]}
        elif n % 4 == 1:
            p = {"type": "function_call", "name": "ls", "call_id": f"c{n}", "arguments": "{}"}
        elif n % 4 == 2:
            p = {"type": "function_call_output", "call_id": f"c{n - 1}", "output": "x"}
        else:
            p = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"answer {n}"}]}
        lines.append({"timestamp": at(n), "type": "response_item", "payload": p})
        total = {"input_tokens": 10 * (n + 1), "cached_input_tokens": n + 1, "output_tokens": 2 * (n + 1)}
        last = {"input_tokens": 10, "cached_input_tokens": 1, "output_tokens": 2}
        lines.append(
            {
                "timestamp": at(n),
                "type": "event_msg",
                "payload": {"type": "token_count", "info": {"total_token_usage": total, "last_token_usage": last}},
            }
        )
    return jsonl(lines)


def pi(wanted: Sequence[int]) -> bytes:
    lines: list[Any] = [{"type": "session", "version": 3, "id": SESSION, "timestamp": at(0), "cwd": "/"}]
    for n in wanted:
        usage = {"input": 10, "output": 2, "cacheRead": 1, "cacheWrite": 0, "totalTokens": 13, "cost": {"total": 0.5}}
        if n % 4 == 0:
            m: Any = {"role": "user", "content": [{"type": "text", "text": f"prompt {n}"}]}
        elif n % 4 == 1:
            m = {
                "role": "assistant",
                "content": [{"type": "toolCall", "id": f"c{n}", "name": "ls", "arguments": {}}],
                "model": "m",
                "usage": usage,
            }
        elif n % 4 == 2:
            m = {
                "role": "toolResult",
                "toolCallId": f"c{n - 1}",
                "toolName": "ls",
                "content": [{"type": "text", "text": "x"}],
                "isError": False,
            }
        else:
            m = {
                "role": "assistant",
                "content": [{"type": "text", "text": f"answer {n}"}],
                "model": "m",
                "usage": usage,
            }
        lines.append(
            {"type": "message", "id": f"e{n}", "parentId": f"e{n - 1}" if n else None, "timestamp": at(n), "message": m}
        )
    return jsonl(lines)


def claude(wanted: Sequence[int]) -> bytes:
    lines = []
    for n in wanted:
        base = {
            "uuid": f"00000000-0000-4000-8000-{n:012x}",
            "parentUuid": f"00000000-0000-4000-8000-{n - 1:012x}" if n else None,
            "sessionId": SESSION,
            "timestamp": at(n),
            "cwd": "/",
            "version": "1",
        }
        usage = {"input_tokens": 10, "output_tokens": 2}
        if n % 4 == 0:
            lines.append({**base, "type": "user", "message": {"role": "user", "content": f"prompt {n}"}})
        elif n % 4 == 1:
            c = [{"type": "tool_use", "id": f"c{n}", "name": "ls", "input": {}}]
            lines.append(
                {
                    **base,
                    "type": "assistant",
                    "message": {"role": "assistant", "id": f"m{n}", "model": "m", "content": c, "usage": usage},
                }
            )
        elif n % 4 == 2:
            lines.append(
                {
                    **base,
                    "type": "user",
                    "message": {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": f"c{n - 1}", "content": "x"}],
                    },
                }
            )
        else:
            c = [{"type": "text", "text": f"answer {n}"}]
            lines.append(
                {
                    **base,
                    "type": "assistant",
                    "message": {"role": "assistant", "id": f"m{n}", "model": "m", "content": c, "usage": usage},
                }
            )
    return jsonl(lines)


def gemini(wanted: Sequence[int]) -> bytes:
    lines: list[Any] = [{"sessionId": SESSION, "projectHash": "p", "startTime": at(0), "lastUpdated": at(wanted[-1])}]
    for n in wanted:
        if n % 2 == 0:
            lines.append({"id": f"e{n}", "timestamp": at(n), "type": "user", "content": f"prompt {n}"})
        else:
            lines.append(
                {
                    "id": f"e{n}",
                    "timestamp": at(n),
                    "type": "gemini",
                    "content": f"answer {n}",
                    "model": "m",
                    "tokens": {"input": 10, "output": 2, "cached": 1, "thoughts": 0, "tool": 0, "total": 12},
                    "toolCalls": [{"id": f"c{n}", "name": "ls", "args": {}, "status": "success", "result": []}],
                }
            )
    return jsonl(lines)


def sts(wanted: Sequence[int]) -> bytes:
    """A session of llama.app, whose header says which message is the last of the branch."""
    lines: list[Any] = [{"type": "session", "harness": "h", "id": SESSION, "currNode": f"e{N - 1}"}]
    for n in wanted:
        m: dict[str, Any] = {"role": "assistant", "content": f"text {n}", "timestamp": at(n), "model": "m"}
        if n % 4 == 0:
            m = {"role": "user", "content": f"prompt {n}", "timestamp": at(n)}
        elif n % 4 == 1:
            m |= {"toolCalls": [{"id": f"c{n}", "name": "ls", "arguments": {}}]}
        elif n % 4 == 2:
            m = {"role": "tool", "content": "x", "toolCallId": f"c{n - 1}", "timestamp": at(n)}
        lines.append({"type": "message", "message": {**m, "id": f"e{n}", "parent": f"e{n - 1}" if n else None}})
    return jsonl(lines)


MAKERS: dict[str, Callable[[Sequence[int]], bytes]] = {
    "columns": columns,
    "codex": codex,
    "pi": pi,
    "claude-code": claude,
    "gemini-cli": gemini,
    "sts": sts,
}
PARTS = {
    "overlapping": (range(0, 6), range(3, N)),
    "apart": (range(0, 4), range(4, N)),
    "apart in a call": (range(0, 2), range(2, N)),
    "inside": (range(0, N), range(2, 5)),
    "gap": (range(0, 3), range(5, N)),
}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("format", MAKERS)
def test_parts_of_a_run_in_either_order(store: Store, tmp_path: Path, format: str, kind: str) -> None:
    """Rows are those of one file that holds all, totals are not doubled, and what one part lacks another brings."""
    first, second = PARTS[kind]
    expected = stored(store, tmp_path, format, MAKERS[format](sorted({*first, *second})))

    assert len(expected["observability_events"]) >= len({*first, *second})
    for parts in ((first, second), (second, first)):
        assert stored(store, tmp_path, format, *(MAKERS[format](part) for part in parts)) == expected


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("format", ["codex", "pi", "claude-code"])
def test_parts_of_which_the_files_are_gone(store: Store, tmp_path: Path, format: str, kind: str) -> None:
    """Where a file was not kept and is not there any more, its rows are put together with those of the other part."""
    first, second = PARTS[kind]
    expected = stored(store, tmp_path, format, MAKERS[format](sorted({*first, *second})))
    for parts in ((first, second), (second, first)):
        assert stored(store, tmp_path, format, *map(MAKERS[format], parts), is_kept=False) == expected


def at_once(data: bytes) -> bytes:
    """The lines as if all had been written in one millisecond."""
    return re.sub(rb"2025-05-01T12:00:\d\d", b"2025-05-01T12:00:00", data)


@pytest.mark.parametrize("format", ["pi", "claude-code", "sts"])
def test_lines_of_one_moment_stand_behind_those_they_name(store: Store, tmp_path: Path, format: str) -> None:
    """Three parts without a line in common, written in one millisecond: each line names the one before it."""
    make = MAKERS[format]
    expected = stored(store, tmp_path, format, at_once(make(range(N))))
    for parts in permutations([range(3), range(3, 5), range(5, N)]):
        assert stored(store, tmp_path, format, *(at_once(make(part)) for part in parts)) == expected


def test_a_part_with_nothing_new_tells_the_order(store: Store, tmp_path: Path) -> None:
    """Of two parts written in one millisecond a third says which comes first, although it has no line of its own."""
    expected = stored(store, tmp_path, "codex", at_once(codex(range(N))))
    for parts in permutations([range(4), range(4, N), range(3, 5)]):
        assert stored(store, tmp_path, "codex", *(at_once(codex(part)) for part in parts)) == expected


@pytest.mark.parametrize("format", ["pi", "claude-code"])
def test_a_line_that_two_files_tell_differently(store: Store, tmp_path: Path, format: str) -> None:
    """It is one step, told as the part tells it that goes on longer, in either order."""
    make = MAKERS[format]
    one, other = make(range(4)).replace(b"answer 3", b"an answer"), make(range(3, N))
    expected = stored(store, tmp_path, format, make(range(N)))
    for parts in permutations([one, other]):
        assert stored(store, tmp_path, format, *parts) == expected


def test_a_line_that_is_no_other_version_of_one(store: Store, tmp_path: Path) -> None:
    """What looks like the id of a line and is none does not make two lines one; read again, nothing comes to them."""
    whole = sts(range(N))
    spoilt = whole.replace(
        b'"message", "message": {"role": "assistant", "content": "text 3"', b'["x"], "message": {"x": 3'
    )
    assert spoilt != whole
    for parts in permutations([whole, spoilt, sts(range(3)) + sts(range(2))]):
        rows = stored(store, tmp_path, "sts", *parts)
        for n in range(3):
            ingest(store, tmp_path / f"{n}.jsonl", format="sts", progress=False)
        assert tree(store) == rows


def stored(
    store: Store, folder: Path, format: str, *files: bytes, is_kept: bool = True
) -> dict[str, list[tuple[Any, ...]]]:
    """All rows after files were read one after the other into an empty store."""
    empty(store)
    columns = COLUMNS if format == "columns" else None
    for n, data in enumerate(files):
        path = folder / f"{n}.jsonl"
        path.write_bytes(data)
        ingest(store, path, format=format, columns=columns, progress=False, keep_originals=is_kept)
        if not is_kept:
            path.unlink()
    return tree(store)


def tokens(store: Store) -> Any:
    with store.raw() as connection:
        row = connection.execute("SELECT token_usage FROM workbench.agent_executions").fetchone()
    return row and row[0]


def test_a_total_that_another_part_told_before_is_not_counted_again(store: Store, tmp_path: Path) -> None:
    """A part of a Codex session that begins by repeating the running total adds nothing for it."""
    second = codex(range(4, N)).splitlines()
    repeated = codex(range(3, 4)).splitlines()[-1].replace(at(3).encode(), at(3.5).encode())
    for order in (1, -1):
        parts = [codex(range(4)), b"\n".join([*second[:2], repeated, *second[2:]])][::order]
        stored(store, tmp_path, "codex", *parts)

        assert tokens(store) == {"input_tokens": 72, "cache_read_tokens": 8, "output_tokens": 16}


def test_an_answer_that_goes_on_in_another_part_counts_once(store: Store, tmp_path: Path) -> None:
    """Each line of a Claude Code answer repeats its tokens; in two files they are those of one answer."""
    lines = [*claude(range(4)).splitlines()]
    more = lines[3].replace(b"000000000003", b"000000000004").replace(at(3).encode(), at(4).encode())
    for order in (1, -1):
        stored(store, tmp_path, "claude-code", *[b"\n".join(lines), more][::order])

        assert tokens(store) == {"input_tokens": 20, "output_tokens": 4}


def test_rows_of_a_table_that_were_written_late_are_marked(store: Store, tmp_path: Path) -> None:
    """A row behind one of a later time stands where its time says, marked, whichever part is read first."""
    late = [columns([n]) for n in (0, 2, 1, 3)]
    for files in ([b"".join(late)], [b"".join(late), columns(range(4, N))], [columns(range(4, N)), b"".join(late)]):
        rows = stored(store, tmp_path, "columns", *files)["observability_events"]

        marks = {step: mark for _, _, step, *_, mark in rows if step < 4}
        assert marks == {0: None, 1: "out_of_order", 2: None, 3: None}


@pytest.mark.parametrize("kind", ["overlapping", "apart"])
def test_lines_without_a_time_stay_behind_the_line_before_them(store: Store, tmp_path: Path, kind: str) -> None:
    """Claude Code dates no snapshot of files: in parts of a session it stands where its own part has it."""

    def session(wanted: Sequence[int]) -> bytes:
        lines = [
            (line, {"type": "file-history-snapshot", "messageId": f"s{n}"})
            for n, line in zip(wanted, claude(wanted).splitlines(), strict=True)
        ]
        return b"".join(line + b"\n" + dumps(snapshot) + b"\n" for line, snapshot in lines)

    first, second = PARTS[kind]
    expected = stored(store, tmp_path, "claude-code", session(range(N)))
    for parts in ((first, second), (second, first)):
        assert stored(store, tmp_path, "claude-code", *map(session, parts)) == expected


def test_one_file_brings_parts_of_several_runs(store: Store, tmp_path: Path) -> None:
    """A table may hold rows of many sessions, and another one more rows of each."""

    def both(wanted: Sequence[int]) -> bytes:
        return columns(wanted) + columns(wanted).replace(b'"session": "s"', b'"session": "other"')

    first, second = PARTS["overlapping"]
    expected = stored(store, tmp_path, "columns", both(range(N)))

    assert len(expected["agent_executions"]) == 2
    for parts in ((first, second), (second, first)):
        assert stored(store, tmp_path, "columns", *map(both, parts)) == expected


@pytest.mark.parametrize("kind", ["overlapping", "apart"])
def test_a_session_that_changed_its_branch_between_its_parts(store: Store, tmp_path: Path, kind: str) -> None:
    """What all lines of a part share is said by its run: lines of the other branch say it themselves afterwards."""

    def session(wanted: Sequence[int]) -> bytes:
        lines = zip(wanted, claude(wanted).splitlines(), strict=True)
        branches = [(line, "main" if n < 4 else "fix", "/a" if n < 5 else "/b") for n, line in lines]
        return b"".join(
            line.replace(b'"cwd": "/"', f'"cwd": "{folder}", "gitBranch": "{branch}"'.encode()) + b"\n"
            for line, branch, folder in branches
        )

    first, second = PARTS[kind]
    expected = stored(store, tmp_path, "claude-code", session(range(N)))
    assert '"gitBranch": "fix"' in str(expected)
    assert '"gitBranch": "main"' in str(expected)
    for parts in ((first, second), (second, first)):
        assert stored(store, tmp_path, "claude-code", *map(session, parts)) == expected


def test_a_title_in_one_part_for_a_line_in_another(store: Store, tmp_path: Path) -> None:
    """A title of a Claude Code session counts where the line that it is for is the session's own."""

    def summary(n: int) -> bytes:
        return dumps({"type": "summary", "summary": "Decorators", "leafUuid": f"00000000-0000-4000-8000-{n:012x}"})

    parts = [claude(range(4)) + summary(7) + b"\n", claude(range(4, N))]
    for own, name in ((7, "Decorators"), (99, "prompt 0")):
        for order in (1, -1):
            files = [part.replace(summary(7), summary(own)) for part in parts][::order]
            rows = stored(store, tmp_path, "claude-code", *files)["agent_executions"]

            assert [row[5] for row in rows] == [name]


@pytest.mark.parametrize("format", MAKERS)
def test_a_part_between_two_comes_last(store: Store, tmp_path: Path, format: str) -> None:
    """What was put under the last prompt that was known goes under its own when that is read."""
    expected = stored(store, tmp_path, format, MAKERS[format](range(N)))
    parts = [MAKERS[format](wanted) for wanted in (range(0, 3), range(5, N), range(2, 6))]

    assert stored(store, tmp_path, format, *parts) == expected
