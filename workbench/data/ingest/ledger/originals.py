"""The files themselves, kept in the store: cut into blocks, each stored once however many files hold it.

A block is 1 MiB of the file as it lies on disk, its key the SHA-256 of these bytes. A session that went on shares all
whole blocks with what was read of it before.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import zstandard

from workbench.data.ingest.ledger.turns import BLOCKS, shared
from workbench.data.ingest.reading.source import Source
from workbench.errors import IngestError, NotFoundError

if TYPE_CHECKING:
    from uuid import UUID

BLOCK_BYTES = 1024 * 1024
_AT_ONCE = 4  # blocks in memory


def keep(connection: psycopg.Connection, source: Source) -> list[bytes]:
    """Store the blocks of a file that are not there yet, inside the connection's transaction.

    Returns
    -------
    list of bytes
        The digests of the file's blocks in order; store them in the same transaction, or they are dropped one day.

    Raises
    ------
    IngestError
        The file is not what it was when its checksum was taken.
    """
    shared(connection, BLOCKS)  # nobody may drop a block that this file is about to name
    whole, digests = hashlib.sha256(), []
    compress = zstandard.ZstdCompressor(level=3).compress
    chunks = source.chunks(BLOCK_BYTES)
    while blocks := list(islice(chunks, _AT_ONCE)):
        by_digest = {}
        for block in blocks:
            whole.update(block)
            digest = hashlib.sha256(block).digest()
            digests.append(digest)
            by_digest[digest] = block
        known = {digest for (digest,) in connection.execute(_KNOWN, [list(by_digest)])}
        new = [(digest, compress(block)) for digest, block in sorted(by_digest.items()) if digest not in known]
        if new:
            connection.cursor().executemany(_INSERT, new)
    if whole.hexdigest() != source.sha256:
        raise source.rewritten()
    return digests


def read(connection: psycopg.Connection, digests: Sequence[bytes], *, sha256: str, name: str) -> Iterator[bytes]:
    """The bytes of a kept file, block by block, each checked against its digest and the whole against ``sha256``.

    Raises
    ------
    NotFoundError
        A block is not in the store.
    IngestError
        A block, or the whole, is not what was stored.
    """
    whole = hashlib.sha256()
    for number, digest in enumerate(digests):
        row = connection.execute("SELECT data FROM workbench.file_blocks WHERE digest = %s", [digest]).fetchone()
        where = f"block {number} ({bytes(digest).hex()[:12]}…) of the kept original of {name}"
        if row is None:
            raise NotFoundError(f"There is no {where} in the store. Restore the database from a backup.", path=name)
        try:
            block = zstandard.ZstdDecompressor().decompress(row[0], max_output_size=BLOCK_BYTES)
        except zstandard.ZstdError as error:
            raise _damaged(where, name) from error
        if hashlib.sha256(block).digest() != bytes(digest):
            raise _damaged(where, name)
        whole.update(block)
        yield block
    if whole.hexdigest() != sha256:
        raise _damaged(f"kept original of {name}", name)


def _damaged(what: str, name: str) -> IngestError:
    return IngestError(
        f"The {what} is damaged in the database: its bytes are not those that were stored. Restore it from a backup, or"
        " undo the import and ingest the file again.",
        path=name,
    )


@contextmanager
def opened(connection: psycopg.Connection, digests: Sequence[bytes], *, path: str, sha256: str) -> Iterator[Source]:
    """A file as it was when it was ingested: its kept blocks, or what lies at its path if that is still the same.

    The source has the name of then, from which some readers take a hint.

    Raises
    ------
    NotFoundError
        It was not kept, and at its path there is nothing, or something else.
    """
    if not digests:
        yield _still_there(path, sha256)
        return
    handle, name = tempfile.mkstemp(prefix="workbench-original-")
    copy = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for block in read(connection, digests, sha256=sha256, name=path):
                file.write(block)
        yield Source(name=path, path=copy, origin=path)
    finally:
        copy.unlink()


def _still_there(path: str, sha256: str) -> Source:
    told = f"The original of {path} was not kept"
    try:
        source = Source.of(path)
        if source.sha256 == sha256:
            return source
    except IngestError as error:
        raise NotFoundError(f"{told}, and its file cannot be read any more: {error}", path=path) from error
    except OSError as error:
        raise NotFoundError(f"{told}, and its file cannot be read any more: {error.strerror}.", path=path) from error
    raise NotFoundError(f"{told}, and the file at its path is another one now.", path=path)


def drop_unnamed(connection: psycopg.Connection, digests: Sequence[bytes]) -> tuple[int, int]:
    """Delete those of some blocks that no import and no row of the quarantine names; how many, and their stored bytes.

    The caller holds ``exclusive(connection, BLOCKS)``.
    """
    row = connection.execute(_DROP, {"digests": list(digests)}).fetchone()
    return row if row is not None else (0, 0)


def record(connection: psycopg.Connection, import_id: UUID, digests: Sequence[bytes]) -> None:
    """Let an import name the blocks of its file."""
    connection.execute("UPDATE workbench.imports SET blocks = %s WHERE id = %s", [list(digests), import_id])


_KNOWN = "SELECT digest FROM workbench.file_blocks WHERE digest = ANY(%s)"
_INSERT = "INSERT INTO workbench.file_blocks (digest, data) VALUES (%b, %b) ON CONFLICT DO NOTHING"
_DROP = """
WITH dropped AS (
  DELETE FROM workbench.file_blocks b WHERE digest = ANY(%(digests)s)
    AND NOT EXISTS (SELECT FROM workbench.imports i WHERE i.blocks @> ARRAY[b.digest])
    AND NOT EXISTS (SELECT FROM workbench.quarantine q WHERE q.blocks @> ARRAY[b.digest])
  RETURNING octet_length(data) AS size)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM dropped
"""
