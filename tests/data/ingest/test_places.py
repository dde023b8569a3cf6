"""Sessions whose times go back again and again: put in order within bounded memory, or refused with one clear error."""

from __future__ import annotations

import gzip
import os
import resource
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from histories import claude_line, dumps
from test_large_session import run_of

from workbench.data.ingest import ingest
from workbench.data.ingest.batch import ingest_source
from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.normal import Steps
from workbench.data.ingest.reading import places
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": partial(gzip.compress, compresslevel=1),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "utf-16 in gzip": lambda data: gzip.compress(data.decode().encode("utf-16"), compresslevel=1),
    "with a mark": lambda data: b"\xef\xbb\xbf" + data,
    "Windows": lambda data: data.replace(b"\n", b"\r\n"),
    "without an end": lambda data: data.rstrip(b"\n"),
    "cut gzip": lambda data: gzip.compress(data, compresslevel=1)[:-2_000],
}


def wrapped(n: int, *, hour: int = 60, words: int = 10) -> bytes:
    """A session whose times begin anew every ``hour`` lines, with lines that are none between them."""
    lines = []
    for k in range(n):
        at = f"2026-01-01T00:{k % hour // 60:02d}:{k % hour % 60:02d}.{k % 7}00Z"
        lines.append(dumps(claude_line(k, f"prompt {k} ü " + "word " * words, timestamp=at)) + b"\n")
        if k % 25 == 3:
            lines.append(b"\n" if k % 2 else b"no line of JSON\n")
    return b"".join(lines)


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session is read twice, and no line is held back."""
    monkeypatch.setattr(claude_code, "HELD_BYTES", 0)
    monkeypatch.setattr(places, "HELD_BYTES", 0)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bound", [0, 10_000_000], ids=["read from its place", "held back"])
def test_lines_out_of_order_are_those_held(encoding: str, bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are put in order by reading them again give the steps of a session that is held, walked twice."""
    data = ENCODINGS[encoding](wrapped(400))
    held = run_of(one := Source.from_bytes(data))
    monkeypatch.setattr(claude_code, "HELD_BYTES", 0)
    monkeypatch.setattr(places, "HELD_BYTES", bound)
    again = run_of(source := Source.from_bytes(data))

    assert isinstance(again.steps, Steps)
    assert list(again.steps) == held.steps
    assert list(again.steps) == held.steps
    assert again.steps[-1] == held.steps[-1]
    assert (source.notes, source.damage) == (one.notes, one.damage)


@pytest.mark.parametrize("encoding", ["plain", "gzip", "utf-16"])
def test_memory_does_not_grow_with_lines_out_of_order(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 32 MB whose times go back again and again, a small part is held at one time."""
    path = tmp_path / "session.jsonl"
    path.write_bytes(ENCODINGS[encoding](wrapped(6_000, words=1_000)))
    monkeypatch.setattr(claude_code, "HELD_BYTES", 0)
    monkeypatch.setattr(places, "HELD_BYTES", 100_000)
    run = run_of(Source.of(path))

    tracemalloc.start()
    n = sum(1 for _ in run.steps)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n == 6_000
    assert peak < 8_000_000


def test_lines_a_little_out_of_order_need_no_copy(
    tmp_path: Path, nothing_held: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compressed session is copied nowhere where few lines have to wait; where many do, it is."""
    monkeypatch.setattr(places, "HELD_BYTES", 10_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    few, many = wrapped(60).split(b"\n"), wrapped(400)
    few[4], few[5] = few[5], few[4]
    run = run_of(Source.from_bytes(gzip.compress(b"\n".join(few))))
    far = run_of(Source.from_bytes(gzip.compress(many)))

    assert len(list(run.steps)) == 60
    with pytest.raises(
        IngestError, match=r"trace\.jsonl cannot be read: .*no such folder.*No such file or directory.*TMPDIR"
    ):
        list(far.steps)


def test_a_full_disk_is_one_error(store: Store, tmp_path: Path, nothing_held: None) -> None:
    """Where the copy of a compressed session finds no room, nothing is stored, and reading it later works."""
    path = tmp_path / "session.jsonl.gz"
    path.write_bytes(gzip.compress(wrapped(2_000, words=300), compresslevel=1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))  # as on a disk that has that much room
    try:
        with pytest.raises(
            IngestError, match=r"cannot be read: .*File too large\. Nothing of it was stored\. Make room"
        ):
            ingest(store, path, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    stored = counts(store)
    report = ingest(store, path, progress=False)

    assert stored == (0, 0)
    assert report.totals.events == 2_000
    assert counts(store) == (1, 2_000)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "rewritten": (lambda path: path.write_bytes(path.read_bytes().replace(b"prompt 1", b"PROMPT 1")), "was rewritten"),
    "cut": (lambda path: os.truncate(path, 1_000_000), "was rewritten"),
    "begun anew": (lambda path: path.write_bytes(b"{}\n" * 3_000_000), "was rewritten"),
    "removed": (lambda path: path.unlink(), "Cannot read .*No such file"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("bound", [0, 10_000_000], ids=["read from its place", "held back"])
def test_a_file_that_changes_between_the_passes_is_one_error(
    change: str, bound: int, store: Store, tmp_path: Path, nothing_held: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is rewritten, cut or removed after its first reading is refused, and the store left as it was."""
    monkeypatch.setattr(places, "HELD_BYTES", bound)
    spoil, said = CHANGES[change]
    source = with_end(tmp_path, spoil)

    with pytest.raises(IngestError, match=said):
        ingest_source(store, source, keep_originals=False)
    assert counts(store) == (0, 0)


def test_a_file_that_grows_between_the_passes_is_read_as_it_was(
    store: Store, tmp_path: Path, nothing_held: None
) -> None:
    """What a live session appends meanwhile is left to the next ingest."""
    source = with_end(tmp_path, lambda path: path.write_bytes(path.read_bytes() + wrapped(5)))

    assert ingest_source(store, source).events == 2_000
    assert counts(store) == (1, 2_000)


def with_end(folder: Path, change: Callable[[Path], object]) -> Source:
    """A session of 3 MB that is changed as soon as it has been read to its end for the first time."""
    path = folder / "session.jsonl"
    path.write_bytes(wrapped(2_000, words=300))
    source, is_done = Source.of(path), []

    def on_read(n: int) -> None:
        if not n and not is_done:
            is_done.append(True)
            change(path)

    source.on_read = on_read
    return source


def counts(store: Store) -> tuple[int, int]:
    """How many runs and events there are."""
    with store.raw() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM workbench.agent_executions), count(*) FROM workbench.observability_events"
        ).fetchone()
    assert row is not None
    return row
