"""Any value becomes JSON that Postgres accepts, and every kind of change is named."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.store import storable as s
from workbench.data.store.engine import Store
from workbench.data.store.storable import pack, storable, storable_text, unpack

ordinary = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner, max_size=5)
    ),
    max_leaves=20,
)
# Whatever Python can hold: NUL, lone surrogates, NaN, integers of any size.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.sampled_from("a\0\ud800\udfff…")),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=20,
)


@given(ordinary)
def test_ordinary_values_pass_unchanged(value: Any) -> None:
    """What JSON can say comes back equal, and nothing is reported as changed."""
    stored = storable(value)

    assert (orjson.loads(stored.text), stored.changed) == (value, ())


@given(anything)
def test_anything_becomes_strict_json(value: Any) -> None:
    """The text is strict JSON without NUL and surrogates; unchanged exactly when the value comes back equal."""
    stored = storable(value)

    again = json.loads(stored.text)
    assert orjson.loads(stored.text) == again
    assert "\\u0000" not in stored.text.replace("\\\\", "")
    stored.text.encode()
    assert stored.changed or again == value


def test_everything_is_accepted_by_postgres(store: Store) -> None:
    """Postgres takes what storable makes of the values it refuses, and gives the same back."""
    values = [
        "\0",
        "\ud800",
        math.nan,
        math.inf,
        2**80,
        10**5000,
        {"\0\udc00": [-math.inf]},
        _nested(20_000),
        "x" * 2_000_000,
    ]
    with store.raw() as connection:
        for value in values:
            stored = storable(value)
            row = connection.execute("SELECT %s::jsonb", [stored.text]).fetchone()

            assert row is not None
            assert row[0] == json.loads(stored.text)
            assert stored.changed


def _nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "stored", "changed"),
    [
        ("a\0b", "a␀b", s.NUL),
        ("a\ud800b", "a\ufffdb", s.SURROGATE),
        ("\ud83d\ude00", "😀", s.SURROGATE),
        (math.nan, "NaN", s.NOT_FINITE),
        ([None, -math.inf], [None, "-Infinity"], s.NOT_FINITE),
        (2**64, "18446744073709551616", s.BIG_INT),
        (-(2**63) - 1, "-9223372036854775809", s.BIG_INT),
        ({1: "a"}, {"1": "a"}, s.KEY),
        pytest.param({"x", "y"}, ["x", "y"], s.FOREIGN, id="set"),  # its order is another in each process
        (b"bytes", "bytes", s.FOREIGN),
        ("x" * 11, "x" * 10 + " … [cut: 11 characters]", s.LONG),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_each_kind_of_change(value: Any, stored: Any, changed: str) -> None:
    """Each thing that jsonb refuses has one stored form and one name."""
    result = storable(value, limit=10)

    assert (json.loads(result.text), result.changed) == (stored, (changed,))


def test_depth_is_cut_to_text() -> None:
    """What is nested too deeply is kept as its JSON text."""
    result = storable({"ok": 1, "deep": _nested(3000)})

    value = json.loads(result.text)
    assert (value["ok"], result.changed) == (1, (s.DEEP,))
    inner = value["deep"]
    while isinstance(inner, list):
        [inner] = inner
    assert inner.strip("[]") == '"core"'


def test_ordinary_python_values() -> None:
    """Dates, ids, enums and dataclasses of a captured run need no report."""

    class Colour(Enum):
        RED = "red"

    @dataclass
    class Point:
        x: int

    value = {"at": datetime(2026, 1, 2, tzinfo=UTC), "id": UUID(int=1), "colour": Colour.RED, "point": Point(3)}

    result = storable(value)
    changed = storable(value | {"nul": "\0"})
    plain = {"at": "2026-01-02T00:00:00+00:00", "id": str(UUID(int=1)), "colour": "red", "point": {"x": 3}}
    assert (json.loads(result.text), result.changed) == (plain, ())
    assert (json.loads(changed.text), changed.changed) == (plain | {"nul": "␀"}, (s.NUL,))


def test_finite_is_a_promise() -> None:
    """Told that there is no NaN, storable does not look for one; not told, it finds it beside a null."""
    assert storable([None, math.nan]).changed == (s.NOT_FINITE,)
    assert storable([None, 1.5], finite=True).text == "[null,1.5]"


@given(st.text(st.characters()))
def test_texts_for_text_columns(text: str) -> None:
    """A text column gets text without NUL and surrogates; other text is untouched."""
    stored = storable_text(text)

    assert stored is not None
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert stored == text or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)


@given(st.binary())
def test_raw_bytes_come_back(data: bytes) -> None:
    """What is packed into a raw column comes out as it was."""
    assert unpack(pack(data)) == data
