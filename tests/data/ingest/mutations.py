"""Files spoilt at random, always the same way: what a reader has to survive."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.rows import RowMaker
from workbench.data.ingest.source import Source
from workbench.errors import IngestError

# Wrong types, empty values, numbers of any size, what jsonb refuses, and times at the end of the calendar.
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "x", "a\0b", "\ud800",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", [], {}, [None], [[]], [{}], {"": None}, {"type": []},
)  # fmt: skip


def mutations(data: bytes, *, n: int, seed: int = 7) -> Iterator[bytes]:
    """The bytes with a bit flipped, a piece cut out, a key deleted or a value replaced by one of a wrong type."""
    dice = random.Random(seed)
    for _ in range(n):
        yield dice.choice((_flip, _cut, _delete, _replace, _replace))(data, dice)


def _flip(data: bytes, dice: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.randint(1, 5)):
        spoilt[dice.randrange(len(spoilt))] ^= 1 << dice.randrange(8)
    return bytes(spoilt)


def _cut(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.randrange(len(data) - start) + 1 :] if dice.random() < 0.5 else data[:start]


def _delete(data: bytes, dice: random.Random) -> bytes:
    def delete(parent: Any, key: Any) -> None:
        del parent[key]

    return _edit(data, dice, delete)


def _replace(data: bytes, dice: random.Random) -> bytes:
    def replace(parent: Any, key: Any) -> None:
        parent[key] = dice.choice(WRONG)

    return _edit(data, dice, replace)


def _edit(data: bytes, dice: random.Random, change: Callable[[Any, Any], None]) -> bytes:
    """One document, or one line of JSON lines, with one value in it changed."""
    try:
        document = json.loads(data)
    except ValueError:
        lines = data.splitlines()
        n = dice.randrange(len(lines))
        value = json.loads(lines[n])
        change(*dice.choice(list(_places(value))))
        lines[n] = json.dumps(value).encode()
        return b"\n".join(lines) + b"\n"
    change(*dice.choice(list(_places(document))))
    return json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def survives(reader: Any, data: bytes, name: str) -> tuple[list[Run], list[BadLine]]:
    """What a reader makes of spoilt bytes, down to the rows; only a readable error may be raised."""
    source = Source.from_bytes(data, name)
    try:
        reader.detect(source.head)
        found = list(reader.read(source))
    except IngestError:
        return [], []
    runs = [item for item in found if isinstance(item, Run)]
    maker = RowMaker(reader.FORMAT, source, None)
    for run in runs:
        assert maker.execution(run)
        assert len(list(maker.events(run))) == len(run.steps)
        assert sum(1 for _ in maker.snapshots(run)) <= len(run.steps)
    bad = [item for item in found if isinstance(item, BadLine)]
    assert all(item.reason for item in bad)
    return runs, bad
