"""Random cuts of real sessions into parts, and what the store holds when the parts were read in every order."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

from tests.data.ingest.test_any_order import tree
from workbench.data.ingest import ingest
from workbench.data.ingest.detect import reader
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.source import Ordered, Source
from workbench.data.store.engine import Store

_LONGEST = 80  # lines of a session that is cut
_ORDERS = 6  # of four parts, of which there are 24
_WITH_HEADER = ("codex", "pi")  # whose first line alone names the session
FOLDERS = {"claude-code": "claude-code", "codex": "codex", "pi": "pi"}


@dataclass(frozen=True)
class Cut:
    """Parts of a stretch of a session, as files of the name that the session has."""

    path: Path
    format: str
    name: str
    about: str
    whole: bytes
    parts: tuple[bytes, ...]

    def orders(self, chance: random.Random) -> list[tuple[bytes, ...]]:
        """All orders of up to three parts, some of four."""
        found = list(permutations(self.parts))
        return found if len(found) <= _ORDERS else chance.sample(found, _ORDERS)


def sessions(folder: Path) -> list[tuple[str, Path]]:
    """The files of sessions by lines, with their formats."""
    return [
        (format, path)
        for format, name in FOLDERS.items()
        for path in sorted((folder / name).rglob("*"))
        if path.name.removesuffix(".gz").endswith(".jsonl")
    ]


def lines_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return [line for line in data.split(b"\n") if line.strip()]


def cut(format: str, path: Path, chance: random.Random) -> Cut | None:
    """One cut of a file; ``None`` where a part is of another run, or where no part tells what the whole is."""
    lines = lines_of(path)
    n = len(lines) - (format in _WITH_HEADER)
    if n < 2:
        return None
    length = min(n, chance.randint(2, _LONGEST))
    start = chance.choice([0, chance.randint(0, n - length)])
    return cut_at(format, path, (start, start + length), _spans(length, chance))


def cut_at(format: str, path: Path, stretch: tuple[int, int], spans: Sequence[tuple[int, int]]) -> Cut | None:
    """The cut of a stretch of a file into these parts of it; numbers of lines are those behind the header."""
    lines = lines_of(path)
    header = lines[:1] if format in _WITH_HEADER else []
    window = lines[len(header) :][slice(*stretch)]
    spans = [(a, min(b, len(window))) for a, b in spans]
    parts = tuple(_file(header, window[a:b]) for a, b in spans)
    whole = _file(header, [window[n] for n in sorted({n for a, b in spans for n in range(a, b)})])
    own = run_of(format, whole, "trace.jsonl")
    if own is None or len(set(parts)) < len(parts) or whole in parts:
        return None
    name = f"{own.source_id.rsplit('/', 1)[-1]}.jsonl".replace(":", "-")
    runs = [run_of(format, data, name) for data in (whole, *parts)]
    if any(run is None or run.source_id != own.source_id for run in runs):
        return None
    if not (_can_be_told(format, whole, parts) and _can_be_placed(format, window, spans)):
        return None
    return Cut(path, format, name, f"{path.name}{list(stretch)} {list(spans)}", whole, parts)


def _can_be_told(format: str, whole: bytes, parts: Sequence[bytes]) -> bool:
    """Whether a line that repeats an id, or all of an earlier one, stands with that in some part.

    Otherwise nobody can tell it from the other part's telling of the very line.
    """
    held = [_keys(format, part) for part in parts]
    return all(any(keys[key] == n for keys in held) for key, n in _keys(format, whole).items() if n > 1)


def _can_be_placed(format: str, window: Sequence[bytes], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether the times say which parts stand before which others, where no part holds the end of one and the next."""
    times = [line.at for line in lines_in(format, _file([], window))]
    for edge in range(1, len(window)):
        before, after = [span for span in spans if span[1] <= edge], [span for span in spans if span[0] >= edge]
        if len(before) + len(after) < len(spans) or not before or not after:
            continue
        old, new = ([[at for at in times[a:b] if at is not None] for a, b in side] for side in (before, after))
        if not all(old) or not all(new):
            return False
        last, first = max(map(max, old)), min(map(min, new))
        if last > first:
            return False
        if last == first and any(min(at) == last for at in old) and any(max(at) == first for at in new):
            return False
    return True


def _keys(format: str, data: bytes) -> Counter[str | bytes]:
    return Counter(line.own or line.data for line in lines_in(format, data))


def lines_in(format: str, data: bytes) -> list[Ordered]:
    """What the lines of a file are."""
    return [*reader(format).lines(Source.from_bytes(data))]  # pyright: ignore[reportAttributeAccessIssue]


def _spans(length: int, chance: random.Random) -> list[tuple[int, int]]:
    n = min(chance.randint(2, 4), length)
    at = [0, *sorted(chance.sample(range(1, length), n - 1)), length]
    spans = []
    for a, b in pairwise(at):
        more = chance.choice([0, 0, 1, 3, length // 3])
        spans.append((max(a - chance.choice([0, 0, more]), 0), min(b + more, length)))
    if n > 2 and chance.random() < 0.15:  # what stands between two parts is in none
        spans.pop(chance.randrange(1, n - 1))
    return spans


def _file(header: list[bytes], lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in [*header, *lines])


def run_of(format: str, data: bytes, name: str) -> Run | None:
    """The run that a file of these bytes and this name holds."""
    runs = [item for item in reader(format).read(Source.from_bytes(data, name)) if isinstance(item, Run)]
    return runs[0] if len(runs) == 1 else None


def stored(store: Store, folder: Path, cut: Cut, files: Sequence[bytes]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows after the files were read one after the other into an empty store."""
    with store.raw() as connection:
        connection.execute("DELETE FROM workbench.imports")
        connection.execute("DELETE FROM workbench.agent_executions")
    for n, data in enumerate(files):
        path = folder / f"{n}" / cut.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        ingest(store, path, format=cut.format, progress=False)
    return tree(store)


def differences(store: Store, folder: Path, cut: Cut, chance: random.Random) -> Iterator[str]:
    """What is otherwise than after the whole was read, one text for each order in which something is."""
    expected = stored(store, folder, cut, [cut.whole])
    for order in cut.orders(chance):
        found = stored(store, folder, cut, order)
        if found != expected:
            places = [cut.parts.index(part) for part in order]
            yield f"{cut.about} in order {places}: {_first(found, expected)}"


def _first(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> str:
    for table, rows in expected.items():
        if found[table] == rows:
            continue
        if len(found[table]) != len(rows):
            return f"{len(found[table])} rows of {table}, not {len(rows)}"
        one, other = next((a, b) for a, b in zip(found[table], rows, strict=True) if a != b)
        return f"{table} " + "; ".join(f"{a!r} is not {b!r}"[:300] for a, b in zip(one, other, strict=True) if a != b)
    return "nothing"
