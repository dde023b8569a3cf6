"""The values of checkpoints in the store: each content once per thread, as a delta on an earlier one where it is less.

Values are found by a digest of what they are, so what is remembered in this process can never be another process's
older content. See :mod:`workbench.data.store.deltas` for how a line of versions is kept short to rebuild.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import psycopg

from workbench.data.store import graph_statements as sql
from workbench.data.store.deltas import base_position, delta, pack, unpack
from workbench.errors import StoreError

_REMEMBERED_BYTES = 64 * 1024 * 1024
_REMEMBERED_LINES = 10_000
_SMALL = 256  # bytes: as a delta a value of this size would save nothing


class Encoded(NamedTuple):
    """A value as the serializer wrote it."""

    kind: str
    data: bytes

    @property
    def digest(self) -> bytes:
        """What tells it from every other value."""
        return hashlib.blake2b(self.kind.encode() + b"\0" + self.data, digest_size=16).digest()


class Line(NamedTuple):
    """How a stored value is rebuilt: its own digest, then those it builds on, down to a whole one."""

    position: int
    chain: tuple[bytes, ...]

    @property
    def base(self) -> bytes | None:
        """The value that this one is a delta on."""
        return self.chain[1] if len(self.chain) > 1 else None


class Values:
    """What one process remembers of the values in a store. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, Encoded] = OrderedDict()
        self._n_bytes = 0
        self._lines: OrderedDict[tuple[str, bytes], Line] = OrderedDict()

    def packed(
        self, connection: psycopg.Connection, thread: str, digest: bytes, value: Encoded, before: bytes | None
    ) -> tuple[bytes, Line]:
        """A value as it is stored, and how it is rebuilt; ``before`` is the digest of the version before it."""
        line = None
        if before is not None and before != digest and len(value.data) > _SMALL:
            line = self._line(connection, thread, before)
        if line is not None:
            position = line.position + 1
            # Of the version before, the chain holds what the next one builds on.
            chain = line.chain[len(line.chain) - 1 - base_position(position).bit_count() :]
            base = self._value(connection, thread, chain[0])
            found = None if base is None else delta(value.data, base.data)
            if found is not None:
                return found, Line(position, (digest, *chain))
        return pack(value.data), Line(0, (digest,))

    def load(self, connection: psycopg.Connection, thread: uuid.UUID, digests: Iterable[bytes]) -> dict[bytes, Encoded]:
        """Values by their digests; what is remembered is not asked for again.

        Raises
        ------
        StoreError
            One is damaged, or not there.
        """
        with self._lock:
            known = {own: self._values[own] for own in digests if own in self._values}
        missing = [own for own in digests if own not in known]
        if not missing:
            return known
        rows = connection.execute(sql.CHAINS, {"thread": thread, "digests": missing}, binary=True).fetchall()
        stored = {bytes(own): (base and bytes(base), kind, data) for own, base, _, kind, data in rows}
        for own in missing:
            known[own] = _rebuilt(own, stored, known)
            self.remember(own, known[own])
        return known

    def remember(self, digest: bytes, value: Encoded) -> None:
        """Keep a value at hand, and let go of those not asked for longest."""
        with self._lock:
            if digest in self._values:
                self._values.move_to_end(digest)
                return
            self._values[digest] = value
            self._n_bytes += len(value.data)
            while self._n_bytes > _REMEMBERED_BYTES and len(self._values) > 1:
                _, old = self._values.popitem(last=False)
                self._n_bytes -= len(old.data)

    def are_stored(self, thread: str, lines: Mapping[bytes, Line]) -> None:
        """Note how values of a thread are stored."""
        with self._lock:
            self._lines |= {(thread, own): line for own, line in lines.items()}
            while len(self._lines) > _REMEMBERED_LINES:
                self._lines.popitem(last=False)

    def forget(self, thread: str) -> None:
        """What of a thread is stored has changed."""
        with self._lock:
            for key in [key for key in self._lines if key[0] == thread]:
                del self._lines[key]

    def _line(self, connection: psycopg.Connection, thread: str, digest: bytes) -> Line | None:
        with self._lock:
            found = self._lines.get((thread, digest))
        if found is not None:
            return found
        rows = connection.execute(sql.LINE, {"thread_id": thread, "digest": digest}).fetchall()
        if not rows:
            return None
        by_own = {bytes(own): base and bytes(base) for own, base, _ in rows}
        position = next(place for own, _, place in rows if bytes(own) == digest)
        chain, at = [], digest
        while at is not None:
            chain.append(at)
            at = by_own[at]
        return Line(position, tuple(chain))

    def _value(self, connection: psycopg.Connection, thread: str, digest: bytes) -> Encoded | None:
        with self._lock:
            if digest in self._values:
                return self._values[digest]
        row = connection.execute(sql.THREAD, {"thread_id": thread}).fetchone()
        return None if row is None else self.load(connection, row[0], [digest])[digest]


def _rebuilt(
    digest: bytes, stored: Mapping[bytes, tuple[bytes | None, str, bytes]], known: dict[bytes, Encoded]
) -> Encoded:
    chain, at = [], digest
    while at not in known:
        if at not in stored:
            raise _damaged(digest, f"{at.hex()}, on which it builds, is not there")
        chain.append(at)
        base = stored[at][0]
        if base is None:
            break
        at = base
    value = known.get(at)
    for own in reversed(chain):
        _, kind, data = stored[own]
        value = known[own] = Encoded(kind, unpack(data, value and value.data))
    assert value is not None
    if value.digest != digest:
        raise _damaged(digest, "its bytes have changed")
    return value


def _damaged(digest: bytes, how: str) -> StoreError:
    return StoreError(f"The value {digest.hex()} in the store is damaged: {how}. Restore the database from a backup.")
