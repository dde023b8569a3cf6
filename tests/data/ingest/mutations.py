"""Files spoilt at random, always the same way: what a reader has to survive."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import RowMaker
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

    return edit(data, dice, delete)


def _replace(data: bytes, dice: random.Random) -> bytes:
    def replace(parent: Any, key: Any) -> None:
        parent[key] = dice.choice(WRONG)

    return edit(data, dice, replace)


def edit(data: bytes, dice: random.Random, change: Callable[[Any, Any], None]) -> bytes:
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


# -- files spoilt in every way, for the fuzzer -------------------------------------------------------------------------

DEPTH = 20_000
# Text that is hostile to someone: to jsonb, to a terminal, to a page, to a rule for secrets, to a parser of numbers.
HOSTILE = (
    "a\0b", "\ud800", "\udfff\ud800", "\ufeff", "\x1b[2J", "<script>alert(1)</script>", "\u202e",
    "' OR 1=1 --", "{{7*7}}", "%s%n%d", "../../etc/passwd", "NaN", "-Infinity", "1e999", "null",
    "\n\r\n", "\x85\u2028", "İ", "𝟙𝟚", "١٢", "²",
    "AKIAIOSFODNN7EXAMPLF", "-----BEGIN PRIVATE KEY-----", "sk-" + "a" * 48, "password=" + "\\" * 50,
    "2025-05-01T12:00:00+99:99", "2025-13-45T99:99:99Z", "10000-01-01", "P1Y", "gpt-4o/../x", ":latest", "anthropic/",
    "claude-", "bedrock/us.anthropic.claude-3-5-sonnet-v1:0", "models/" * 40,
)  # fmt: skip
_LONG = ("x", "é", "{", "[", '"', "\\", "A1b2", "a=", "/", "-", " ", "\0", "\ud800", "eyJ", "https://a:b@")
_NUMBERS = (
    10**18, 2**63, 2**64, -(2**63) - 1, 10**40, 10**400, 1e308, -1e308, 5e-324, 1e400, float("nan"), float("inf"),
    -float("inf"), -1, -0.0, 0.1, 253402300800, 253402300800000, -62135596801, 2**53, 2**31, 10**4200,
)  # fmt: skip
_PAIR = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*"\s*:)')


@dataclass(frozen=True)
class Seed:
    """A good file: its format, its name, its bytes, the columns that a user names of it."""

    format: str
    name: str
    data: bytes
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Spoilt:
    """A file that was good."""

    seed: Seed
    how: str
    data: bytes


def spoilt(seeds: Sequence[Seed], n: int, *, seed: int) -> Iterator[Spoilt]:
    """Files spoilt once to three times; each format has as many, whatever it has of good ones."""
    dice = random.Random(seed)
    by_format: dict[str, list[Seed]] = {}
    for each in seeds:
        by_format.setdefault(each.format, []).append(each)
    formats = sorted(by_format)
    for number in range(n):
        good = dice.choice(by_format[formats[number % len(formats)]])
        ways, data = [], good.data
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            if not data:
                break
            how, data = _once(data, dice, lambda: dice.choice(seeds).data)
            ways.append(how)
        yield Spoilt(good, "+".join(ways), data)


def _once(data: bytes, dice: random.Random, other: Callable[[], bytes]) -> tuple[str, bytes]:
    inside = _opened(data)
    if inside is not None and dice.random() < 0.6:
        content, closed = inside(dice)
        if content:
            how, content = _once(content, dice, other)
            return f"inside {how}", closed(content)
    ways = list(_BYTES)
    if _is_text(data):
        ways += [*_LINES, *_VALUES, *_VALUES]
    how = dice.choice(ways)
    return how.__name__.strip("_"), how(data, dice, other)


Opened = tuple[bytes, Callable[[bytes], bytes]]


def _opened(data: bytes) -> Callable[[random.Random], Opened] | None:
    """How to get at what is packed in a file, if anything is."""
    for magic, way in ((b"\x1f\x8b", _gunzip), (b"PK", _unzip), (b"PAR1", _cell), (b"SQLite", _blob)):
        if data.startswith(magic):

            def opened(dice: random.Random, way: Callable[[bytes, random.Random], Opened] = way) -> Opened:
                try:
                    return way(data, dice)
                except Exception:  # noqa: BLE001 (it was damaged before, in any way)
                    return b"", bytes

            return opened
    return None


def _gunzip(data: bytes, dice: random.Random) -> Opened:
    return gzip.decompress(data), gzip.compress


def _unzip(data: bytes, dice: random.Random) -> Opened:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    chosen = dice.choice(list(files))

    def closed(content: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, kept in files.items():
                archive.writestr(name, content if name == chosen else kept)
        return out.getvalue()

    return files[chosen], closed


def _cell(data: bytes, dice: random.Random) -> Opened:
    table = pl.read_parquet(data)
    column = dice.choice([name for name, kind in table.schema.items() if kind == pl.String])
    row = dice.randrange(len(table))

    def closed(content: bytes) -> bytes:
        out = io.BytesIO()
        cells = table[column].to_list()
        cells[row] = content.decode("utf-8", "replace")
        table.with_columns(pl.Series(column, cells, pl.String)).write_parquet(out)
        return out.getvalue()

    return (table[column][row] or "").encode(), closed


def _blob(data: bytes, dice: random.Random) -> Opened:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(data)
        table, column = dice.choice([("checkpoints", "checkpoint"), ("checkpoints", "metadata"), ("writes", "value")])
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    row, content = dice.choice(rows)

    def closed(content: bytes) -> bytes:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(data)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [content, row])
            connection.commit()
            return connection.serialize()

    return content if isinstance(content, bytes) else str(content).encode(), closed


def _is_text(data: bytes) -> bool:
    start = data[:2000]
    if start.startswith((b"\x1f\x8b", b"PK", b"PAR1", b"SQLite")):
        return False
    return start.lstrip()[:1] in (b"{", b"[") or (data.isascii() and b"\0" not in start)


# -- bytes -------------------------------------------------------------------------------------------------------------

Other = Callable[[], bytes]


def _at(data: bytes, dice: random.Random) -> int:
    return dice.randrange(len(data) + 1)


def _mutation(data: bytes, dice: random.Random, other: Other) -> bytes:
    try:
        return next(mutations(data, n=1, seed=dice.randrange(2**32)))
    except (ValueError, IndexError, RecursionError):
        return data[: _at(data, dice)]


def _break_off(data: bytes, dice: random.Random, other: Other) -> bytes:
    return data[: _at(data, dice)]


def _behead(data: bytes, dice: random.Random, other: Other) -> bytes:
    return data[_at(data, dice) :]


def _nul(data: bytes, dice: random.Random, other: Other) -> bytes:
    where = _at(data, dice)
    return data[:where] + b"\0" * dice.choice((1, 1, 2, 512, 70_000)) + data[where:]


def _noise(data: bytes, dice: random.Random, other: Other) -> bytes:
    where = _at(data, dice)
    return data[:where] + dice.randbytes(dice.choice((1, 3, 100, 5000))) + data[where:]


def _surrogate_bytes(data: bytes, dice: random.Random, other: Other) -> bytes:
    where = _at(data, dice)
    return data[:where] + dice.choice((b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\x80", b"\xf5", b"\xe2\x82")) + data[where:]


def _mark(data: bytes, dice: random.Random, other: Other) -> bytes:
    mark = dice.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    where = 0 if dice.random() < 0.7 else _at(data, dice)
    return data[:where] + mark + data[where:]


def _wide(data: bytes, dice: random.Random, other: Other) -> bytes:
    codec = dice.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"))
    return data.decode("utf-8", "replace").encode(codec)


def _zip(data: bytes, dice: random.Random, other: Other) -> bytes:
    packed = bytearray(gzip.compress(data, 1))
    if dice.random() < 0.8:
        for _ in range(dice.randint(1, 8)):
            packed[dice.randrange(len(packed))] ^= 1 << dice.randrange(8)
    return bytes(packed[: dice.randrange(2, len(packed) + 1)] if dice.random() < 0.4 else packed)


def _splice(data: bytes, dice: random.Random, other: Other) -> bytes:
    with_ = other()
    return data[: _at(data, dice)] + with_[_at(with_, dice) :]


def _twice(data: bytes, dice: random.Random, other: Other) -> bytes:
    return data + dice.choice((b"", b"\n")) + data


_BYTES = (_mutation, _break_off, _behead, _nul, _noise, _surrogate_bytes, _mark, _wide, _zip, _splice, _twice)


# -- lines -------------------------------------------------------------------------------------------------------------


def _swap_lines(data: bytes, dice: random.Random, other: Other) -> bytes:
    lines = data.split(b"\n")
    a, b = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _shuffle_lines(data: bytes, dice: random.Random, other: Other) -> bytes:
    lines = data.split(b"\n")
    dice.shuffle(lines)
    return b"\n".join(lines)


def _repeat_line(data: bytes, dice: random.Random, other: Other) -> bytes:
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    return b"\n".join([*lines[:at], *[lines[at]] * dice.randint(2, 4), *lines[at + 1 :]])


def _delete_lines(data: bytes, dice: random.Random, other: Other) -> bytes:
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    return b"\n".join(lines[:at] + lines[at + dice.randint(1, 3) :])


def _strange_line(data: bytes, dice: random.Random, other: Other) -> bytes:
    lines = data.split(b"\n")
    strange = (
        b"17",
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b"[[]]",
        b"{{",
        b"\0" * 99,
        b"NaN",
        b"}",
        b'{"type":1}',
        b"[{}]",
        b"\xff",
    )
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(strange))
    return b"\n".join(lines)


def _join_lines(data: bytes, dice: random.Random, other: Other) -> bytes:
    return data.replace(b"\n", dice.choice((b"", b" ", b"\r\n", b"\r", b"\n\n", b"\xe2\x80\xa8")))


_LINES = (_swap_lines, _shuffle_lines, _repeat_line, _delete_lines, _strange_line, _join_lines)


# -- values ------------------------------------------------------------------------------------------------------------


def _put(value: Callable[[random.Random, Any], Any]) -> Callable[[bytes, random.Random, Other], bytes]:
    """A way to put another value in the place of one."""

    def put(data: bytes, dice: random.Random, other: Other) -> bytes:
        def change(parent: Any, key: Any) -> None:
            parent[key] = value(dice, parent[key])

        try:
            return edit(data, dice, change)
        except (ValueError, IndexError, RecursionError):
            return _noise(data, dice, other)

    put.__name__ = value.__name__
    return put


def _wrong(dice: random.Random, old: Any) -> Any:
    return dice.choice(WRONG)


def _hostile(dice: random.Random, old: Any) -> Any:
    return dice.choice(HOSTILE)


def _number(dice: random.Random, old: Any) -> Any:
    number = dice.choice(_NUMBERS)
    return f"{number:.0f}"[:300] if isinstance(old, str) and number == number and abs(number) < 1e300 else number


def _long(dice: random.Random, old: Any) -> Any:
    unit = dice.choice(_LONG)
    return unit * (dice.choice((1_000, 50_000, 400_000)) // len(unit))


def _wrapped(dice: random.Random, old: Any) -> Any:
    return dice.choice(([old], {"x": old}, [[old]], [old, old], {"type": old}, str(old), json.dumps(old)))


def _crowd(dice: random.Random, old: Any) -> Any:
    return [old] * 2000 if len(str(old)) < 100 else {f"k{i}": i for i in range(5000)}


def _deep(data: bytes, dice: random.Random, other: Other) -> bytes:
    """A value that is nested deeper than any stack; written as text, for no library writes it."""
    spoilt = _put(_here)(data, dice, other)
    opened, closed = dice.choice(((b"[", b"]"), (b'{"d":', b"}"), (b'[{"d":', b"}]")))
    closed = b"" if dice.random() < 0.2 else closed
    return spoilt.replace(b'"HERE-IT-IS"', opened * DEPTH + b"1" + closed * DEPTH)


def _here(dice: random.Random, old: Any) -> Any:
    return "HERE-IT-IS"


def _same_key(data: bytes, dice: random.Random, other: Other) -> bytes:
    """An object key said twice, with another value."""
    places = list(_PAIR.finditer(data[: 1 << 18]))
    if not places:
        return _noise(data, dice, other)
    place = dice.choice(places)
    value = json.dumps(dice.choice(WRONG)).encode()
    return data[: place.start() + 1] + place[1] + value + b"," + data[place.start() + 1 :]


def _rename_key(data: bytes, dice: random.Random, other: Other) -> bytes:
    def change(parent: Any, key: Any) -> None:
        value = parent[key]
        if isinstance(parent, dict):
            del parent[key]
            parent[dice.choice((*HOSTILE, "id", "type", "__class__", "", "k" * 9000))] = value
        else:
            parent[key] = None

    try:
        return edit(data, dice, change)
    except (ValueError, IndexError, RecursionError):
        return _break_off(data, dice, other)


_VALUES = (*map(_put, (_wrong, _hostile, _number, _long, _wrapped, _crowd)), _deep, _same_key, _rename_key)


def spoilt_line(line: bytes, dice: random.Random) -> bytes:
    """One line spoilt, and still one line that is not blank."""
    while True:
        _, data = _once(line, dice, lambda: line)
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
        if data != line and data.strip() and not data.startswith((b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")):
            return data
