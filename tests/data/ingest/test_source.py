"""Files as readers see them: lines, documents, damage, and JSON that a strict parser refuses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.outline import outline
from workbench.data.ingest.reading.parse import BAD_NUMBER, CONTROL, DUPLICATE_KEY, NOT_UTF8, parse
from workbench.data.ingest.reading.source import Record, Source
from workbench.data.store.storable import DEEP
from workbench.errors import IngestError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def split(source: Source) -> tuple[list[Any], list[BadLine]]:
    """The values and the bad lines of a source."""
    records = list(source.records())
    return [r.value for r in records if isinstance(r, Record)], [r for r in records if isinstance(r, BadLine)]


@given(json_values, st.booleans())
def test_valid_json_is_read_as_json_reads_it(value: Any, is_compact: bool) -> None:
    """Any valid JSON, compact or spaced, escaped or not, gives the value of Python's own parser, unchanged."""
    text = json.dumps(value, separators=(",", ":") if is_compact else None, ensure_ascii=is_compact)

    parsed = parse(text.encode())

    assert (parsed.value, parsed.changed) == (json.loads(text), ())


@pytest.mark.parametrize(
    ("text", "value", "changed"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}, DUPLICATE_KEY),
        (b'[{"a":1,"b":{"c":1,"c":2}}]', [{"a": 1, "b": {"c": 2}}], DUPLICATE_KEY),
        (b'{"a": Infinity}', {"a": float("inf")}, BAD_NUMBER),
        (b'{"a": 1e999}', {"a": float("inf")}, BAD_NUMBER),
        (b'{"a": "\xff"}', {"a": "\ufffd"}, NOT_UTF8),
        (b'{"a": "x\x01"}', {"a": "x\x01"}, CONTROL),
    ],
)
def test_json_that_is_not_quite(text: bytes, value: Any, changed: str) -> None:
    """What orjson refuses or silently loses is read and named."""
    parsed = parse(text)

    assert (parsed.value, parsed.changed) == (value, (changed,))


def test_integers_of_any_size_are_exact() -> None:
    """Integers beyond 64 bits are not rounded to floats."""
    assert parse(b'{"n": 123456789012345678901234567890}').value == {"n": 123456789012345678901234567890}
    assert parse(b'{"n":' + b"9" * 5000 + b"}").value == {"n": "9" * 5000}


def test_depth_20000_is_read() -> None:
    """Nesting beyond every parser's stack is read: what lies deep is kept as its text."""
    parsed = parse(b'{"ok": "[{", "deep": ' + b"[" * 20_000 + b'"]"' + b"]" * 20_000 + b', "after": 1}')

    value = parsed.value["deep"]
    while isinstance(value, list):
        [value] = value
    assert (parsed.value["ok"], parsed.value["after"], parsed.changed) == ("[{", 1, (DEEP,))
    assert value.strip("[]") == '"]"'


@pytest.mark.parametrize("text", [b"[" * 20_000, b'{"a": "x', b"nope", b"", b'{"a": 1} x', b'"\\x"'])
def test_what_is_not_json_is_one_value_error(text: bytes) -> None:
    """No input gives anything but a ValueError that says where."""
    with pytest.raises(ValueError, match=r"character \d+|deeply"):
        parse(text)


def test_lines_are_numbered_and_bad_ones_reported() -> None:
    """Scalars, lists, rubbish and a cut last line are reported by number; every object is read."""
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n42\n[1]\n"text"\nnull\n{"b": "\xff"}\nnope\n{"c": 3}\n{"d": "cut'

    values, bad = split(Source.from_bytes(content))

    assert values == [{"a": 1}, {"b": "\ufffd"}, {"c": 3}]
    assert [(line.line, line.reason.split(":")[0]) for line in bad] == [
        (3, "expected a JSON object, found a number"),
        (4, "expected a JSON object, found a list"),
        (5, "expected a JSON object, found a string"),
        (6, "expected a JSON object, found null"),
        (8, "not JSON"),
        (10, "cut off"),
    ]


def test_gzip_is_transparent(tmp_path: Path) -> None:
    """A gzipped file is told by its bytes, whatever its name, and reads as if it were not gzipped."""
    content = b'{"a": 1}\n{"b": 2}\n'
    path = tmp_path / "trace.jsonl"
    path.write_bytes(gzip.compress(content))

    source = Source.of(path)

    assert split(source) == ([{"a": 1}, {"b": 2}], [])
    assert source.read_bytes() == content
    assert source.head.data == content
    assert source.size_bytes == path.stat().st_size


def test_truncated_gzip_keeps_the_complete_lines(tmp_path: Path) -> None:
    """Of a gzip stream that breaks off, all complete lines are read and the damage is reported with its line."""
    content = b"".join(b'{"n": %d, "pad": "%s"}\n' % (n, str(n * 7919).encode() * 20) for n in range(5000))
    packed = gzip.compress(content)
    source = Source.from_bytes(packed[: len(packed) // 2])

    values, bad = split(source)

    assert [value["n"] for value in values] == list(range(len(values)))
    assert 1000 < len(values) < 5000
    assert bad == []
    assert source.damage == [BadLine(len(values) + 1, "the gzip stream is cut off or damaged from here")]


def test_damaged_gzip_document_is_one_error() -> None:
    """A whole document whose gzip stream breaks off is one clear error."""
    packed = gzip.compress(json.dumps(list(range(100_000))).encode())

    with pytest.raises(IngestError, match="gzip stream is cut off"):
        Source.from_bytes(packed[:20_000], name="runs.json.gz").document()


def test_a_line_of_100_mb() -> None:
    """One line of 100 MB is one record, with the lines around it."""
    content = b'{"n": 1}\n{"big": "' + b"x" * 100_000_000 + b'"}\n{"n": 3}\n'

    values, bad = split(Source.from_bytes(content))

    assert [len(value.get("big", "")) for value in values] == [0, 100_000_000, 0]
    assert bad == []


def test_a_file_ends_where_it_ended_when_first_seen(tmp_path: Path) -> None:
    """What a live session appends while it is read belongs to the next ingest: checksum, size and lines agree."""
    path = tmp_path / "live.jsonl"
    path.write_bytes(b'{"n": 1}\n')
    source = Source.of(path)
    before = (source.size_bytes, source.sha256)
    with path.open("ab") as file:
        file.write(b'{"n": 2}\n')

    assert split(source) == ([{"n": 1}], [])
    assert source.read_bytes() == b'{"n": 1}\n'
    assert before == (9, source.sha256)


def test_missing_file_is_an_ingest_error(tmp_path: Path) -> None:
    """A path that does not exist is named in the error."""
    with pytest.raises(IngestError, match=r"Cannot read .*nowhere"):
        Source.of(tmp_path / "nowhere.jsonl")


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "." not in key), json_values, max_size=5), st.data())
def test_outline_of_a_cut_document(value: dict[str, Any], data: st.DataObject) -> None:
    """Whole, a document's outline has all its top keys; cut anywhere, it has some of them and never another."""
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text)))

    whole = {path for path in outline(text) if path in value}
    part = {path for path in outline(text[:cut]) if "." not in path}

    assert whole == set(value)
    assert part <= outline(text)


def test_outline_of_a_cut_string() -> None:
    """A head that breaks off inside a long string full of escaped quotes has its keys; a quadratic scan would hang."""
    text = b'{"a": 1, "b": "' + b'\\"' * 2_000_000

    assert outline(text) == {"a", "b"}


def test_outline_looks_through_lists() -> None:
    """A list counts as its first element, at the top and below."""
    text = b'[{"runs": [{"id": 1, "log": {"deep": {"deeper": 1}}}, {"other": 2}]}, {"second": 1}, {"cut": '

    assert outline(text) == {"runs", "runs.id", "runs.log", "runs.log.deep"}


@pytest.mark.parametrize(
    "value", ['"\\ud800"', "123456789012345678901234", "1" + "0" * 400, "NaN", "1e400", '{"a": 1, "a": 2}']
)
def test_a_record_read_again_is_the_record(value: str) -> None:
    """What orjson refuses, or rounds silently, is read the second time as it was the first time."""
    source = Source.from_bytes(f'{{"a": 1}}\n{{"b": {value}}}\n'.encode())
    first = list(source.records())

    assert repr(list(source.again(source.records()))) == repr(first)
