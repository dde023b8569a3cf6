"""The files themselves in the store: block by block, each once, as they lay on disk; and copies told by their bytes."""

from __future__ import annotations

import gzip
import hashlib
import random
from pathlib import Path

import pytest
from histories import KINDS, claude, counts, rows

from workbench.data.ingest import ingest
from workbench.data.ingest.ledger import originals
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError, NotFoundError

BLOCK = originals.BLOCK_BYTES


def fetch(store: Store, query: str) -> list[tuple]:
    with store.raw() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def kept(store: Store, path: Path) -> bytes:
    """What the store gives back of a file."""
    with store.raw() as connection:
        row = connection.execute(
            "SELECT blocks, sha256 FROM workbench.imports WHERE path = %s", [str(path.resolve())]
        ).fetchone()
        assert row is not None
        return b"".join(originals.read(connection, row[0], sha256=row[1], name=path.name))


def noise(n: int) -> bytes:
    return random.Random(n).randbytes(n)


@pytest.mark.parametrize("name", KINDS)
def test_every_file_is_kept_as_it_is(name: str, store: Store, tmp_path: Path) -> None:
    """Of each format, plain and gzipped, the store gives back the very bytes."""
    kind = KINDS[name]
    plain, zipped = tmp_path / kind.name, tmp_path / f"{kind.name}.gz"
    plain.write_bytes(kind.make())
    zipped.write_bytes(gzip.compress(kind.make(text="other")))

    ingest(store, [plain, zipped], progress=False)

    assert [kept(store, path) for path in (plain, zipped)] == [plain.read_bytes(), zipped.read_bytes()]


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 7])
def test_blocks_are_of_fixed_size_and_addressed_by_content(size: int, store: Store) -> None:
    """A file becomes blocks of 1 MiB and a rest, each under the SHA-256 of its bytes."""
    content = noise(size)
    source = Source.from_bytes(content)

    with store.raw() as connection:
        digests = originals.keep(connection, source)
        again = b"".join(originals.read(connection, digests, sha256=source.sha256, name="x"))

    cut = [content[at : at + BLOCK] for at in range(0, size, BLOCK)]
    assert digests == [hashlib.sha256(block).digest() for block in cut]
    assert again == content


def test_a_grown_file_shares_its_whole_blocks(store: Store) -> None:
    """Of a file that went on, only the last block is stored anew."""
    content = noise(3 * BLOCK + 10)
    with store.raw() as connection:
        before = originals.keep(connection, Source.from_bytes(content))
        after = originals.keep(connection, Source.from_bytes(content + b"more"))

    assert before[:3] == after[:3]
    assert fetch(store, "SELECT count(*) FROM workbench.file_blocks") == [(5,)]


def test_equal_blocks_of_one_file_are_stored_once(store: Store) -> None:
    """A file that repeats itself takes the room of one block."""
    with store.raw() as connection:
        digests = originals.keep(connection, Source.from_bytes(b"x" * (6 * BLOCK)))

    assert (len(digests), len(set(digests))) == (6, 1)
    assert fetch(store, "SELECT count(*) FROM workbench.file_blocks") == [(1,)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE workbench.file_blocks SET data = 'x'", IngestError),
        ("UPDATE workbench.file_blocks SET data = (SELECT min(data) FROM workbench.file_blocks)", IngestError),
        ("DELETE FROM workbench.file_blocks WHERE octet_length(data) < 1000", NotFoundError),
    ],
)
def test_damage_is_told(change: str, error: type[Exception], store: Store) -> None:
    """A block that is not what was stored, or is not there, is an error that names file and block."""
    source = Source.from_bytes(noise(BLOCK) + b"rest", name="s.jsonl")
    with store.raw() as connection:
        digests = originals.keep(connection, source)
    with store.raw() as connection:
        connection.execute(change)  # type: ignore[arg-type]

    with store.raw() as connection, pytest.raises(error, match=r"block \d .*original of s\.jsonl"):
        list(originals.read(connection, digests, sha256=source.sha256, name="s.jsonl"))


def test_a_file_that_is_rewritten_meanwhile_is_not_kept(store: Store, tmp_path: Path) -> None:
    """Bytes that are not those of the checksum are an error, and nothing of them stays."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"before")
    source = Source.of(path)
    assert source.sha256
    path.write_bytes(b"AFTER.")

    with pytest.raises(IngestError, match="rewritten while it was being read"), store.raw() as connection:
        originals.keep(connection, source)
    assert fetch(store, "SELECT count(*) FROM workbench.file_blocks") == [(0,)]


def test_without_originals_no_block_is_stored(store: Store, tmp_path: Path) -> None:
    """`keep_originals=False` stores runs alone; the same file ingested again by default is then kept."""
    path = tmp_path / "session.jsonl"
    path.write_bytes(claude())

    ingest(store, path, progress=False, keep_originals=False)
    without = fetch(store, "SELECT count(*) FROM workbench.file_blocks")
    report = ingest(store, path, progress=False)

    assert without == [(0,)]
    assert report.files[0].outcome == "already there"
    assert kept(store, path) == path.read_bytes()


def test_a_live_session_is_kept_as_far_as_it_was_read(store: Store, tmp_path: Path) -> None:
    """What is appended while a file is read belongs to the next ingest, in its rows and in its bytes."""
    path = tmp_path / "session.jsonl"
    path.write_bytes(claude(3))
    source = Source.of(path)
    assert source.sha256
    path.write_bytes(claude(4))

    with store.raw() as connection:
        digests = originals.keep(connection, source)
        found = b"".join(originals.read(connection, digests, sha256=source.sha256, name="x"))

    assert found == claude(3)


def test_only_blocks_that_nobody_names_are_dropped(store: Store, tmp_path: Path) -> None:
    """A block stays as long as an import names it."""
    path = tmp_path / "session.jsonl"
    path.write_bytes(claude())
    ingest(store, path, progress=False)

    with store.raw() as connection:
        (digests,) = connection.execute("SELECT blocks FROM workbench.imports").fetchone() or ([],)
        named = originals.drop_unnamed(connection, digests)
        connection.execute("DELETE FROM workbench.imports")
        unnamed = originals.drop_unnamed(connection, digests)

    assert (named[0], unnamed[0]) == (0, 1)
    assert fetch(store, "SELECT count(*) FROM workbench.file_blocks") == [(0,)]


@pytest.mark.parametrize("name", KINDS)
def test_renamed_and_gzipped_copies_are_recognised(name: str, store: Store, tmp_path: Path) -> None:
    """The same bytes under another name are the same import, and the report says of what; gzipped, they add no row."""
    kind = KINDS[name]
    first = tmp_path / kind.name
    first.write_bytes(kind.make())
    renamed = tmp_path / f"elsewhere{first.suffix}"
    renamed.write_bytes(kind.make())
    zipped = tmp_path / f"{kind.name}.gz"
    zipped.write_bytes(gzip.compress(kind.make()))
    [original] = ingest(store, first, progress=False).files
    before = rows(store)

    [copy] = ingest(store, renamed, progress=False).files
    after_copy = rows(store)
    [gz] = ingest(store, zipped, progress=False).files
    after_gz = rows(store)

    assert (original.outcome, original.copy_of) == ("new", None)
    assert (copy.outcome, copy.copy_of, copy.path) == ("already there", str(first.resolve()), str(renamed))
    assert after_copy == before
    assert (gz.outcome, gz.copy_of, gz.counts) == ("already there", None, original.counts)
    assert {k: v for k, v in after_gz.items() if k != "imports"} == {k: v for k, v in before.items() if k != "imports"}
    assert counts(store) == (kind.n_runs, kind.n_events)
    assert "a copy of" in str(copy)


def test_a_bad_line_says_the_same_with_its_bytes() -> None:
    """The bytes of a bad line are no part of what it says."""
    assert BadLine(1, "x", b"1") == BadLine(1, "x")
