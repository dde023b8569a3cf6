"""Files of one format that are written at once: beside each other where they share nothing, else in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from histories import claude_line, dumps, rows
from sessions import SESSION, put, session

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.ledger.turns import NeedsTurn, Turn
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import IngestReport
from workbench.data.ingest.writing.writer import Writer
from workbench.data.store import schema
from workbench.data.store.engine import Store

FORMAT = claude_code.FORMAT
# A session that asked for a lock, did not get it, and pauses before it asks again.
ASKS = (
    "SELECT FROM pg_stat_activity WHERE query LIKE '{}%' AND state = 'idle in transaction' "
    "AND query_start < clock_timestamp() - interval '0.1 s'"
)
AGENT = {"agentId": "abc", "isSidechain": True, "sessionId": SESSION}


def lines(n: int) -> bytes:
    return b"".join(dumps(claude_line(i)) + b"\n" for i in range(n))


@contextmanager
def being_written(store: Store, path: Path, *, is_finished: bool = True) -> Iterator[psycopg.Connection]:
    """A file written beside others, in a transaction that is committed at the end; linked, or not yet."""
    with store.raw() as connection:
        turn = Turn(connection, FORMAT, is_alone=False)
        turn.take()
        source = Source.of(path)
        with Writer(connection, claude_code, source, turn) as writer:
            for run in claude_code.read(source):
                writer.add(run)  # type: ignore[arg-type]
            if is_finished:
                writer.finish()
        yield connection


def in_a_thread(work: Callable[[], IngestReport]) -> tuple[threading.Thread, list[IngestReport]]:
    done: list[IngestReport] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    return thread, done


def wait_until(store: Store, query: str) -> None:
    """Wait until a query about the server finds something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with store.raw() as connection:
            if connection.execute(query).fetchone() is not None:  # type: ignore[arg-type]
                return
        time.sleep(0.01)
    pytest.fail(f"nothing within 60 s: {query}")


def ingested_alone(store: Store, *paths: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that the files leave in an empty store, read one after the other."""
    schema.downgrade(store, "base")
    schema.upgrade(store)
    ingest(store, paths, progress=False)
    return rows(store, without_versions=True)


def test_a_file_is_written_beside_another_of_its_format(store: Store, tmp_path: Path) -> None:
    """While one file is being written, another that shares no run with it is read, stored and seen."""
    first, second = put(tmp_path, "a.jsonl", lines(4)), put(tmp_path, "b.jsonl", session().bytes())

    with being_written(store, first, is_finished=False):
        thread, done = in_a_thread(lambda: ingest(store, second, progress=False))
        thread.join(60)

        assert [report.files[0].outcome for report in done] == ["new"]


def test_a_grown_file_waits_for_the_others(store: Store, tmp_path: Path) -> None:
    """A file whose run is stored already is added to when no other file of its format is being written."""
    path, other = put(tmp_path, "a.jsonl", lines(2)), put(tmp_path, "b.jsonl", session().bytes())
    ingest(store, path, progress=False)
    path.write_bytes(lines(4))

    with being_written(store, other):
        thread, done = in_a_thread(lambda: ingest(store, path, progress=False))
        wait_until(store, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'")
        assert not done
    thread.join(60)

    assert [report.files[0].outcome for report in done] == ["extended"]


@pytest.mark.parametrize("n", [2, 6])
def test_two_files_with_the_same_run_at_once(store: Store, tmp_path: Path, n: int) -> None:
    """The second of two files that bring one run at the same time is read again, and adds what it has more."""
    first, second = put(tmp_path, "a.jsonl", lines(4)), put(tmp_path, "b.jsonl", lines(n))

    with being_written(store, first):
        thread, done = in_a_thread(lambda: ingest(store, second, progress=False))
        wait_until(store, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    thread.join(60)

    assert [report.files[0].outcome for report in done] == ["extended" if n > 4 else "already there"]
    assert rows(store, without_versions=True) == ingested_alone(store, first, second)


def test_a_run_and_the_run_that_started_it_at_once(store: Store, tmp_path: Path) -> None:
    """A session and its agent's file, written at the same time, are linked by whichever comes second."""
    agent = put(tmp_path, "agent-abc.jsonl", session(**AGENT).bytes())
    parent = put(tmp_path, f"{SESSION}.jsonl", session().bytes())

    with being_written(store, agent):
        thread, done = in_a_thread(lambda: ingest(store, parent, progress=False))
        wait_until(
            store, "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory%' AND state <> 'active'"
        )
    thread.join(60)

    assert done
    linked = rows(store, without_versions=True)
    assert [row[2] is not None for row in linked["agent_executions"]].count(True) == 1
    assert linked == ingested_alone(store, agent, parent)


def test_a_known_run_beside_others_is_refused(store: Store, tmp_path: Path) -> None:
    """A writer that is not alone stops at a run that is stored already, before it adds to it."""
    ingest(store, put(tmp_path, "a.jsonl", lines(2)), progress=False)

    with pytest.raises(NeedsTurn, match=FORMAT), being_written(store, put(tmp_path, "b.jsonl", lines(4))):
        pass


def test_who_wants_to_be_alone_goes_before_those_who_come_later(store: Store) -> None:
    """While a file waits for its turn alone, no further one begins beside those that are being written."""
    with store.raw() as writing, store.raw() as waiting, store.raw() as later:
        Turn(writing, FORMAT, is_alone=False).take()
        alone = threading.Thread(target=Turn(waiting, FORMAT, is_alone=True).take, daemon=True)
        alone.start()
        wait_until(store, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'")
        beside = threading.Thread(target=Turn(later, FORMAT, is_alone=False).take, daemon=True)
        beside.start()
        wait_until(store, ASKS.format("%SELECT CASE"))

        writing.rollback()
        alone.join(60)

        assert not alone.is_alive()
        assert beside.is_alive()
        waiting.rollback()
        beside.join(60)
        assert not beside.is_alive()
