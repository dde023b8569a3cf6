"""Several files with lines of one session, put together as one file: each line once, in an order of its own.

The order in which the files come does not matter. A reader of such files has ``lines(source)``, which says of each line
what it needs; what it reads of the file that is made here is then right because it is what it reads of any file.
"""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import BinaryIO

from workbench.data.ingest.reading.source import Ordered
from workbench.data.ingest.writing.interleave import interleave

_DIGEST_BYTES = 16


class Lines:
    """The lines of several files. They lie in a temporary file; a few numbers for each are in memory."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(prefix="workbench-lines-")  # noqa: SIM115 (closed by __exit__)
        self._ends = array("q", [0])
        self._times: list[float | None] = []
        self._numbers: dict[tuple[bytes, int], int] = {}  # digest, how often it stood in the file before → its number
        self._parts: list[tuple[bytes, array[int]]] = []
        self._ids: dict[str, list[int]] = {}  # id → the lines that have it
        self._above: dict[int, str] = {}
        self._torn: set[int] = set()  # lines with a hole, as a crash leaves it

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, lines: Iterable[Ordered]) -> None:
        """Take the lines of a file."""
        part, seen, whole = array("q"), Counter[bytes](), hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for line in lines:
            digest = hashlib.blake2b(line.data, digest_size=_DIGEST_BYTES).digest()
            whole.update(digest)
            key = digest, seen[digest]
            seen[digest] += 1
            if key not in self._numbers:
                self._numbers[key] = self._add(line)
            part.append(self._numbers[key])
        self._parts.append((whole.digest(), part))

    def _add(self, line: Ordered) -> int:
        number = len(self._times)
        self._file.write(line.data + b"\n")
        self._ends.append(self._ends[-1] + len(line.data) + 1)
        self._times.append(None if line.at is None else line.at.timestamp())
        if line.own is not None:
            self._ids.setdefault(line.own, []).append(number)
        if line.above is not None:
            self._above[number] = line.above
        if b"\0" in line.data:
            self._torn.add(number)
        return number

    def write(self, out: BinaryIO) -> int:
        """Write the one file; how many lines with a hole have no place in it, for another file has them whole."""
        n_mended = self._mend()
        self._unite()
        parts = [part for _, part in sorted(self._parts)]
        found = {number: self._ids.get(own) for number, own in self._above.items()}
        above = {number: lines[0] for number, lines in found.items() if lines and lines[0] != number}
        for number in interleave(parts, self._times, above):
            self._file.seek(self._ends[number])
            out.write(self._file.read(self._ends[number + 1] - self._ends[number]))
        return n_mended

    def _mend(self) -> int:
        """Take for a line with a hole what stands between the same two lines in another file."""
        holes = {
            (part[place - 1], part[place + 1]): number
            for _, part in self._parts
            for place, number in enumerate(part[1:-1], start=1)
            if number in self._torn
        }
        if not holes:
            return 0
        whole = {
            holes[around]: part[place]
            for _, part in self._parts
            for place in range(1, len(part) - 1)
            if (around := (part[place - 1], part[place + 1])) in holes and part[place] not in self._torn
        }
        for _, part in self._parts:
            for place, number in enumerate(part):
                part[place] = whole.get(number, number)
        return len(whole)

    def _unite(self) -> None:
        """Let a line that files tell differently be one: as the file that goes on longest tells it, whole if any does.

        Where one file has several lines of an id, that is no other version but another line.
        """
        several = {number: own for own, lines in self._ids.items() if len(lines) > 1 for number in lines}
        told: dict[str, list[tuple[bool, float, bytes, int]]] = {}
        for digest, part in self._parts:
            end = max((at for number in part if (at := self._times[number]) is not None), default=float("-inf"))
            ids = Counter(several[number] for number in part if number in several)
            for number in part:
                if (own := several.get(number)) is not None:
                    is_sound = number not in self._torn
                    version = (is_sound, end, digest, number) if ids[own] == 1 else (is_sound, end, b"", -1)
                    told.setdefault(own, []).append(version)
        chosen = {
            own: max(versions)[-1] for own, versions in told.items() if all(number >= 0 for *_, number in versions)
        }
        if not chosen:
            return
        for _, part in self._parts:
            for place, number in enumerate(part):
                if (own := several.get(number)) in chosen:
                    part[place] = chosen[own]
        self._ids |= {own: [number] for own, number in chosen.items()}
