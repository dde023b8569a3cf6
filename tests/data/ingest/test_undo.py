"""An import taken back: the store is as if the file had never been ingested, whatever the others hold of its runs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from histories import KINDS, claude, claude_line, codex, dumps, otlp_request, otlp_span, rows, tau_bench
from sessions import SESSION, Session, session, tau_run
from test_grown import MAKERS

import workbench
from workbench.data.ingest import ingest
from workbench.data.ingest.ledger import originals
from workbench.data.store.engine import Store
from workbench.errors import NotFoundError

_ALL = (
    "imports", "import_runs", "file_blocks", "quarantine", "tasks", "agent_executions", "observability_events",
    "execution_snapshots", "secrets",
)  # fmt: skip
_MORE = {
    "import_runs": "SELECT import_id, execution_id FROM workbench.import_runs ORDER BY 1, 2",
    "file_blocks": "SELECT digest FROM workbench.file_blocks ORDER BY 1",
    "quarantine": "SELECT id, import_id, path, line, reason, data FROM workbench.quarantine ORDER BY 1",
    "first": "SELECT id, import_id, parent_event_id FROM workbench.agent_executions ORDER BY 1",
}
File = tuple[str, bytes]


def lines(*values: Any) -> bytes:
    return b"".join(dumps(value) + b"\n" for value in values)


def grown(make: Callable[[int], Any]) -> list[File]:
    return [(f"turn-{n}.json", json.dumps(make(n)).encode()) for n in (1, 2, 3)]


def spans() -> list[File]:
    """A trace over three files: the root in the second, one span in two of them."""
    root = otlp_span(0)
    child, late, last = (otlp_span(n, parentSpanId=root["spanId"]) for n in (1, 2, 3))
    return [
        ("a.jsonl", lines(otlp_request(child, late))),
        ("b.jsonl", lines(otlp_request(root))),
        ("c.jsonl", lines(otlp_request(late, last))),
    ]


def sub_agents() -> list[File]:
    """A session, its sub-agent in a file of its own, and another session."""
    agent, other = Session(isSidechain=True, agentId="abc"), session(session="2" * 8)
    agent.user("Warmup")
    return [
        (f"{SESSION}.jsonl", session().bytes()),
        ("agent-abc.jsonl", agent.bytes()),
        ("other.jsonl", other.bytes()),
    ]


FAMILIES: dict[str, list[File]] = {
    **{name: grown(make) for name, make in MAKERS.items()},
    "claude grown": [(f"{n}.jsonl", claude(n)) for n in (2, 3, 5)],
    "claude parts": [
        ("a.jsonl", lines(*(claude_line(n) for n in (0, 1, 2)))),
        ("b.jsonl", lines(*(claude_line(n) for n in (2, 3)))),
        ("c.jsonl", lines(*(claude_line(n) for n in (1, 4)))),
    ],
    "claude with bad lines": [(f"{n}.jsonl", claude(n) + b"42\n") for n in (2, 3, 5)],
    "codex grown": [(f"{n}.jsonl", codex(n)) for n in (2, 3, 5)],
    "spans of one trace": spans(),
    "sub-agents": sub_agents(),
    "two layouts": [
        ("s.jsonl", claude(4)),
        ("s.json", dumps({"loglines": [claude_line(n) for n in range(4)]})),
        ("s.jsonl.gz", gzip.compress(claude(4), mtime=0)),
    ],
    "tasks in common": [
        ("a.json", dumps([tau_run(1, 0), tau_run(2, 0)])),
        ("b.json", dumps([tau_run(1, 0), tau_run(1, 1), tau_run(3, 0)])),
        ("c.json", dumps([tau_run(2, 5), tau_run(1, 7)])),
    ],
}


def held(store: Store) -> dict[str, Any]:
    """All that is stored, without clocks and versions."""
    found: dict[str, Any] = rows(store, without_versions=True)
    with store.raw() as connection:
        return found | {name: connection.execute(query.encode()).fetchall() for name, query in _MORE.items()}


def sizes(store: Store) -> dict[str, int]:
    with store.raw() as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM workbench.{name}".encode()).fetchone()[0]  # type: ignore[index]
            for name in _ALL
        }


def clear(store: Store) -> None:
    with store.raw() as connection:
        connection.execute(b"TRUNCATE " + b", ".join(b"workbench." + name.encode() for name in _ALL) + b" CASCADE")


def put(folder: Path, files: Sequence[File]) -> list[Path]:
    paths = []
    for name, content in files:
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return paths


def of(bench: workbench.Workbench, path: Path) -> str:
    """The id of the import of a file."""
    return bench.imports(path=str(path.resolve()))["id"].item()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_store_is_as_if_the_file_had_never_been_ingested(
    name: str, bench: workbench.Workbench, tmp_path: Path
) -> None:
    """Files with runs in common, in two orders, each of them undone: row by row what the others alone give."""
    store, paths = bench.store, put(tmp_path, FAMILIES[name])
    for order in ([0, 1, 2], [2, 0, 1]):
        ordered = [paths[n] for n in order]
        for gone in ordered:
            clear(store)
            for path in ordered:
                if path != gone:
                    ingest(store, path, progress=False)
            alone = held(store)
            clear(store)
            for path in ordered:
                ingest(store, path, progress=False)

            bench.undo(of(bench, gone))

            assert held(store) == alone


@pytest.mark.parametrize("name", FAMILIES)
def test_undoing_all_leaves_nothing(name: str, bench: workbench.Workbench, tmp_path: Path) -> None:
    """Whichever goes first, when all have gone every table is empty."""
    paths = put(tmp_path, FAMILIES[name])
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        for path in paths:
            ingest(bench.store, path, progress=False)

        for n in order:
            bench.undo(of(bench, paths[n]))

        assert sizes(bench.store) == dict.fromkeys(_ALL, 0)


@pytest.mark.parametrize("name", KINDS)
def test_an_import_of_every_format_is_undone(name: str, bench: workbench.Workbench, tmp_path: Path) -> None:
    """A file of each format goes with all its rows, and another of the format stays as it is."""
    kind = KINDS[name]
    stays, goes = put(tmp_path, [(kind.name, kind.make()), (f"other-{kind.name}", kind.make(3, text="other"))])
    ingest(bench.store, stays, progress=False)
    before = held(bench.store)
    ingest(bench.store, goes, progress=False)

    done = bench.undo(of(bench, goes)[:13])

    assert held(bench.store) == before
    assert (done.path, done.format, done.is_preview) == (str(goes), bench.imports()["format"].item(), False)


def test_a_preview_changes_nothing_and_counts_what_the_undo_does(bench: workbench.Workbench, tmp_path: Path) -> None:
    """`dry_run` gives the figures of the undo that follows, and leaves every row, version and block."""
    first, second = put(tmp_path, [("2.jsonl", claude(2)), ("5.jsonl", claude(5) + b"42\n")])
    for path in (first, second):
        ingest(bench.store, path, progress=False)
    before = rows(bench.store), sizes(bench.store)

    preview = bench.undo(of(bench, second), dry_run=True)
    after = rows(bench.store), sizes(bench.store)
    done = bench.undo(of(bench, second))

    assert after == before
    assert preview.is_preview
    assert preview.as_dict() | {"is_preview": False} == done.as_dict()
    assert (done.removed.executions, done.removed.events, done.removed.snapshots) == (0, 3, 3)
    assert (done.n_rebuilt, done.n_bad, done.n_blocks) == (1, 1, 1)
    assert done.freed_bytes > 0
    assert "Would remove" in str(preview)
    assert "3 events" in str(done)


def test_what_was_done_to_its_runs_since_is_told(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A renamed run, an event added by hand, a run recorded on it: the preview names them, and the last one stays."""
    first, second = put(tmp_path, [("2.jsonl", claude(2)), ("5.jsonl", claude(5))])
    for path in (first, second):
        ingest(bench.store, path, progress=False)
    unchanged = bench.undo(of(bench, second), dry_run=True)
    run = bench.execution(bench.executions()["id"][0])
    bench.records.executions.update(run.id, name="mine", row_version=run.row_version)
    bench.records.events.create(execution_id=run.id, step_number=9, event_type="log", data={})
    child = bench.records.executions.create(agent_type="clerk", status="running", parent_execution_id=run.id)

    kept = bench.undo(of(bench, second), dry_run=True)
    bench.undo(of(bench, second))
    parent = bench.execution(child.id).parent_execution_id
    gone = bench.undo(of(bench, first))

    assert (unchanged.changed, unchanged.n_added, unchanged.children) == ((), 0, ())
    assert (kept.changed, kept.n_added, kept.children) == ((str(run.id),), 1, ())
    assert "changes made since" in str(kept)
    assert parent == run.id
    assert gone.children == (str(child.id),)
    assert bench.execution(child.id).parent_execution_id is None


def test_without_the_originals_of_the_others_nothing_is_changed(bench: workbench.Workbench, tmp_path: Path) -> None:
    """What must be built anew from a file that is gone cannot be; the error names that import, and every row stays."""
    first, second = put(tmp_path, [("2.jsonl", claude(2)), ("5.jsonl", claude(5))])
    for path in (first, second):
        ingest(bench.store, path, progress=False, keep_originals=False)
    own, other, before = of(bench, second), of(bench, first), held(bench.store)
    content = first.read_bytes()

    first.write_bytes(content + b"\n")
    with pytest.raises(NotFoundError, match=f"nothing was changed: .* {other} .* is another one now"):
        bench.undo(own)
    first.unlink()
    with pytest.raises(NotFoundError, match=f"nothing was changed: .* {other} .* cannot be read any more"):
        bench.undo(own)
    after = held(bench.store)
    first.write_bytes(content)
    bench.undo(own)

    assert after == before
    assert bench.imports()["id"].to_list() == [other]
    assert bench.events().height == 2


def test_a_damaged_original_of_another_changes_nothing(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A kept file that is damaged in the store is not built from."""
    first, second = put(tmp_path, [("2.jsonl", claude(2)), ("5.jsonl", claude(5))])
    for path in (first, second):
        ingest(bench.store, path, progress=False)
    with bench.store.raw() as connection:
        connection.execute("UPDATE workbench.file_blocks SET data = 'x'")
    before = held(bench.store)

    with pytest.raises(NotFoundError, match=r"nothing was changed: .* is damaged in the database"):
        bench.undo(of(bench, second))

    assert held(bench.store) == before


def test_a_task_that_somebody_changed_stays(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A task of an import that a person worked on is not taken away with it."""
    [path] = put(tmp_path, [("a.json", tau_bench())])
    ingest(bench.store, path, progress=False)
    task = bench.records.tasks.get(bench.tasks()["id"][0])
    bench.records.tasks.update(task.id, priority="high", row_version=task.row_version)

    done = bench.undo(of(bench, path))

    assert bench.tasks()["id"].to_list() == [str(task.id)]
    assert done.n_tasks == 1
    assert bench.executions().is_empty()


def test_blocks_of_a_grown_file_stay_with_the_other(bench: workbench.Workbench, tmp_path: Path) -> None:
    """Of two states of a long file, the undone one takes only the block that the other has not."""
    long = b"".join(dumps(claude_line(n, "x" * 2000)) + b"\n" for n in range(1200))
    first, second = put(tmp_path, [("a.jsonl", long), ("b.jsonl", long + dumps(claude_line(1200)) + b"\n")])
    for path in (first, second):
        ingest(bench.store, path, progress=False)

    done = bench.undo(of(bench, first))

    with bench.store.raw() as connection:
        row = connection.execute("SELECT blocks, sha256 FROM workbench.imports").fetchone()
        assert row is not None
        kept = b"".join(originals.read(connection, row[0], sha256=row[1], name="b"))
    assert (done.n_blocks, len(row[0])) == (1, 3)
    assert kept == second.read_bytes()


def test_undoing_and_ingesting_again_gives_the_same(bench: workbench.Workbench, tmp_path: Path) -> None:
    """What was undone can come back: the same rows as before."""
    paths = put(tmp_path, FAMILIES["claude grown"])
    for path in paths:
        ingest(bench.store, path, progress=False)
    before = held(bench.store)

    bench.undo(of(bench, paths[2]))
    ingest(bench.store, paths[2], progress=False)

    assert held(bench.store) == before


@pytest.mark.parametrize("which", ["abc", "ffffffff", "not an id"])
def test_an_unknown_import(which: str, bench: workbench.Workbench) -> None:
    """An id that no import has is an error that says where they are listed."""
    with pytest.raises(NotFoundError, match=r"List them with bench.imports\(\)"):
        bench.undo(which)


def test_a_table_is_read_again_by_the_columns_of_then(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A table whose columns the user named needs no naming when it is built anew."""
    named = {"run": "chat", "text": "said", "role": "who"}
    first, second = put(
        tmp_path, [("1.csv", b"chat,who,said\na,user,hi\n"), ("2.csv", b"chat,who,said\na,user,hi\na,user,more\n")]
    )
    ingest(bench.store, first, progress=False, columns=named)
    before = held(bench.store)
    ingest(bench.store, second, progress=False, columns=named)

    bench.undo(of(bench, second))

    assert held(bench.store) == before
    assert bench.events().height == 1
