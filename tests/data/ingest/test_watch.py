"""A folder that is watched while another process writes into it: in the end, the rows of one import of its files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from histories import claude_line, counts, rows
from sessions import put

from workbench.data.ingest import ingest
from workbench.data.ingest import watch as watching
from workbench.data.ingest.report import FileReport
from workbench.data.ingest.watch import Watch
from workbench.data.store import schema
from workbench.data.store.engine import Store
from workbench.errors import IngestError

# Appends what comes on stdin to a file in pieces of odd sizes, so that lines and characters are cut anywhere.
WRITER = """
import os, random, sys, time
path, seed = sys.argv[1:]
chance, data = random.Random(int(seed)), sys.stdin.buffer.read()
with open(path, "ab", buffering=0) as file:
    while data:
        n = chance.choice([1, 7, 50, 333, 900])
        file.write(data[:n])
        data = data[n:]
        time.sleep(chance.choice([0, 0.01, 0.05]))
"""


def lines(n: int, *, first: int = 0, session: int = 1) -> bytes:
    of = f"5e551000-0000-4000-8000-{session:012d}"
    made = (
        claude_line(i, "Zoë ✓ 日本語", uuid=f"{session:08x}-0000-4000-8000-{i:012d}", sessionId=of)
        for i in range(first, n)
    )
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in made)


@contextmanager
def watched(store: Store, folder: Path, **options: bool) -> Iterator[tuple[list[FileReport], list[str]]]:
    """Watch in another thread; what it reports and what it says."""
    reports: list[FileReport] = []
    said: list[str] = []
    watch = Watch(store, folder, on_notice=said.append, **options)

    def work() -> None:
        for report in watch:
            reports.extend(report.files)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield reports, said
    finally:
        watch.close()
        thread.join(120)
    assert not thread.is_alive()


def wait_until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert time.monotonic() < deadline, "nothing within 120 s"
        time.sleep(0.02)


def fresh(store: Store, *paths: Path) -> dict[str, list[tuple]]:
    """The rows that one import of the files leaves, but for the records of imports."""
    schema.downgrade(store, "base")
    schema.upgrade(store)
    ingest(store, paths, progress=False)
    return without_imports(store)


def without_imports(store: Store) -> dict[str, list[tuple]]:
    found = rows(store, without_versions=True)
    del found["imports"]
    return found


@pytest.mark.parametrize("force_polling", [False, True])
def test_files_that_another_process_writes(store: Store, tmp_path: Path, force_polling: bool) -> None:
    """Two sessions, written in odd pieces while they are watched, end as if imported once, and nothing was bad."""
    paths = [put(tmp_path, "old.jsonl", lines(3)), tmp_path / "new.jsonl"]
    contents = [lines(60, first=3), lines(50, session=2)]
    with watched(store, tmp_path, force_polling=force_polling) as (reports, said):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)], stdin=subprocess.PIPE)
            for n, path in enumerate(paths)
        ]
        for writer, content in zip(writers, contents, strict=True):
            assert writer.stdin is not None
            writer.stdin.write(content)
            writer.stdin.close()
        assert [writer.wait(120) for writer in writers] == [0, 0]
        wait_until(lambda: counts(store) == (2, 110))

    assert {file.outcome for file in reports} <= {"new", "extended"}
    assert not any(file.n_bad for file in reports)
    assert said == []
    assert without_imports(store) == fresh(store, *paths)


def test_a_last_line_that_stays_unfinished(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half line is left out while more may come, and is a bad line with its number when nothing does."""
    monkeypatch.setattr(watching, "_SETTLED_S", 2.0)
    path = put(tmp_path, "s.jsonl", lines(3) + lines(4, first=3)[:-30])

    with watched(store, tmp_path) as (reports, _):
        wait_until(lambda: len(reports) == 1)
        first = reports[0]
        wait_until(lambda: any(file.n_bad for file in reports) or _bad_imports(store))

    assert (first.n_bad, first.events) == (0, 3)
    assert counts(store) == (1, 3)
    assert [bad.line for bad in ingest(store, path, progress=False).files[0].bad] == [4]


def _bad_imports(store: Store) -> bool:
    with store.raw() as connection:
        return (
            connection.execute("SELECT 1 FROM workbench.imports WHERE (report->>'n_bad')::int > 0").fetchone()
            is not None
        )


def test_files_that_are_replaced_cut_and_taken_away(store: Store, tmp_path: Path) -> None:
    """Of a rotated, a cut and a vanished file it is said what happened; what was read of them stays."""
    path, gone = put(tmp_path, "s.jsonl", lines(4)), put(tmp_path, "gone.jsonl", lines(2, session=2))
    with watched(store, tmp_path) as (_, said):
        wait_until(lambda: counts(store) == (2, 6))

        put(tmp_path / ".other", "s.jsonl", lines(5, session=3)).replace(path)
        wait_until(lambda: counts(store) == (3, 11))
        path.write_bytes(lines(3, session=4))
        wait_until(lambda: counts(store) == (4, 14))
        gone.unlink()
        wait_until(lambda: len(said) >= 3)

    assert any("s.jsonl was replaced" in text for text in said)
    assert any("s.jsonl was cut" in text for text in said)
    assert any("gone.jsonl is gone" in text for text in said)


def test_a_folder_that_is_moved_and_comes_back(store: Store, tmp_path: Path) -> None:
    """A folder that is moved away is waited for, and what it brings back is imported."""
    folder, elsewhere = tmp_path / "sessions", tmp_path / "elsewhere"
    path = put(folder, "s.jsonl", lines(2))
    with watched(store, folder) as (_, said):
        wait_until(lambda: counts(store) == (1, 2))
        folder.rename(elsewhere)
        wait_until(lambda: any("is gone; waiting" in text for text in said))
        with (elsewhere / path.name).open("ab") as file:
            file.write(lines(5, first=2))
        elsewhere.rename(folder)
        wait_until(lambda: counts(store) == (1, 5))
        with path.open("ab") as file:
            file.write(lines(7, first=5))
        wait_until(lambda: counts(store) == (1, 7))

    assert any("is back" in text for text in said)


def test_a_database_that_goes_away_is_waited_for(store: Store, database_url: str, server, tmp_path: Path) -> None:
    """While the database takes no connections nothing is lost; it is said when it is away and when it is back."""
    name = database_url.rpartition("/")[2].partition("?")[0]
    path = put(tmp_path, "s.jsonl", lines(2))
    with (
        watched(store, tmp_path) as (_, said),
        psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as owner,
    ):
        wait_until(lambda: counts(store) == (1, 2))
        owner.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with path.open("ab") as file:
            file.write(lines(5, first=2))
        wait_until(lambda: any("The database is away" in text for text in said))
        owner.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        wait_until(lambda: any("The database is back" in text for text in said))
        wait_until(lambda: counts(store) == (1, 5))


def test_once_reads_what_is_there(store: Store, tmp_path: Path) -> None:
    """With `once` the files that are there are imported, half lines told as bad, and nothing is waited for."""
    put(tmp_path, "a.jsonl", lines(2))
    put(tmp_path, "b.jsonl", lines(3, session=2) + b'{"half')
    put(tmp_path, "notes.md", b"# notes")

    files = [file for report in Watch(store, tmp_path, once=True) for file in report.files]

    assert [(Path(file.path).name, file.events, file.n_bad) for file in files] == [("a.jsonl", 2, 0), ("b.jsonl", 3, 1)]
    assert list(Watch(store, tmp_path, once=True)) == []


def test_a_damaged_file_is_told_as_by_an_ingest(store: Store, tmp_path: Path) -> None:
    """Its report names the damage, without the path once more, its bytes and its size; it lies in the quarantine."""
    path = put(tmp_path, "a.jsonl", b'{"garbage')

    [report] = list(Watch(store, tmp_path, once=True))
    [file] = report.files

    assert file.outcome == "failed"
    assert (file.error or "").startswith("cut off")
    assert (file.size_bytes, len(file.sha256 or "")) == (9, 64)
    with store.raw() as connection:
        assert connection.execute("SELECT path, source FROM workbench.quarantine").fetchall() == [(str(path), None)]


def test_no_folder(store: Store, tmp_path: Path) -> None:
    """A folder that is not there is an error that names it, before anything is waited for."""
    with pytest.raises(IngestError, match=r"There is no folder .*nowhere to watch"):
        Watch(store, tmp_path / "nowhere")
