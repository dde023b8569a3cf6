"""Values of agents as JSON: whatever they are, the store takes what is made of them and the agent never notices."""

from __future__ import annotations

import base64
import decimal
import enum
import json
import math
import queue
import threading
import weakref
from collections import OrderedDict, UserDict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from workbench.data.store.engine import Store
from workbench.data.store.storable import unpack
from workbench.replay.capture.values import MAX_DEPTH, described, encoded, plain


class Color(enum.Enum):
    RED = "red"
    DEEP = ("a", 1)


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    def __len__(self) -> int:
        raise SystemError("no length")

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        raise SystemError("no bytes")


class Ask(BaseModel):
    name: str
    score: float = 1.0
    given: Any = None


@dataclass
class Node:
    name: str
    score: float | None = None
    next: Any = None


@dataclass
class Late:
    there: int = 1
    missing: int = field(init=False)


Pair = namedtuple("Pair", "a b")


class Raises:
    """Raises what it is made of, whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.__dict__["error"] = error

    def __repr__(self) -> str:
        raise self.__dict__["error"]

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise self.__dict__["error"]


class Liar:
    """Says of itself that it is another class, and raises when it is asked for it."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise OSError("no class")


class NotText:
    def __repr__(self) -> Any:  # type: ignore[override]
        return 7


class SaysText:
    def __repr__(self) -> str:
        return Text("said")


class YesToAll:
    """Has every attribute, each of which can be called, as mocks and proxies of services have."""

    def __getattr__(self, name: str) -> Any:
        return YesToAll()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return YesToAll()

    def __iter__(self) -> Any:
        return iter(())


class Endless:
    """Has itself as a part, a new one each time."""

    def model_dump(self, mode: str = "") -> dict[str, Any]:
        return {"again": Endless()}


class Hidden(dict):
    def items(self) -> Any:
        raise RuntimeError("changed while it was read")


class NoZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta | None:
        raise ValueError("no offset")


def dead() -> Any:
    return weakref.proxy(Node("gone"))


HOSTILE: list[Any] = [
    Raises(KeyError("x")), Raises(SystemExit(3)), Raises(GeneratorExit()), Raises(RecursionError("deep")),
    Raises(MemoryError()), Liar(), NotText(), SaysText(), Text("text"), Endless(), Hidden(a=1), dead(), Late(),
    type("\u00e9", (), {"__module__": None})(), type("A", (), {"__qualname__": "\ud800"})(),
    datetime(2026, 1, 1, tzinfo=NoZone()), time(1, 2, tzinfo=NoZone()), object(), object, len, print, iter([1]),
    threading.Lock(), queue.Queue(), Path("/tmp"), memoryview(b"abc")[::2], bytearray(b"\x00\xff"), 10**5000, -(2**80),
    math.nan, math.inf, -0.0, 1e308, complex(1, 2), decimal.Decimal("NaN"), decimal.Decimal("1.10"), "\0", "\ud800x",
    YesToAll(), Ask(name="a", score=math.nan, given=object()), Ask.model_construct(),
    Pair(1, math.nan), deque([1, {2}]), {1, "1", None}, frozenset({(1, 2)}), OrderedDict(a=1), UserDict(b=2),
    Color.DEEP, Level.LOW, UUID(int=1), date(2026, 1, 1), timedelta(days=1), ValueError("why"),
    ExceptionGroup("g", [KeyError(1)]),
    np.array([1.0, math.nan]), np.zeros((200, 200)), np.array([object(), None]), np.float32(1.5), np.int64(7),
    np.datetime64("2026-01-01"), np.array([(1, b"x")], dtype=[("a", int), ("b", "S1")]), np.bool_(True),
    pl.DataFrame({"a": [1.0, math.nan], "b": [b"x", None]}), pl.Series([1, None]), pl.DataFrame({"o": [object()]}),
    pl.LazyFrame({"a": [1]}), NotImplemented, ..., (x for x in ()),
]  # fmt: skip


def values() -> st.SearchStrategy[Any]:
    """Trees of all that agents have and worse."""
    scalars = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(max_size=20),
        st.datetimes(timezones=st.just(UTC)), st.uuids(), st.decimals(),
        st.integers(0, len(HOSTILE) - 1).map(lambda n: HOSTILE[n]),  # to draw from them would ask for their repr
    )  # fmt: skip
    keys = st.one_of(st.text(max_size=3), st.integers(), st.none(), st.floats(), st.sampled_from([Color.RED, (1, 2)]))
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(keys, inner, max_size=4),
            st.tuples(inner, inner),
            st.builds(Node, st.just("n"), st.floats(), inner),
            st.builds(lambda given: Ask.model_construct(name="n", given=given), inner),
            st.builds(lambda a, b: Pair(a, b), inner, inner),
        ),
        max_leaves=12,
    )


def checked(value: Any) -> Any:
    """What is made of a value, strict JSON in text that is UTF-8."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    data, raw = encoded(value)
    said = json.loads(data.decode("utf-8"), parse_constant=refuse)
    assert b"\\u0000" not in data
    if raw is not None:
        unpack(raw).decode("ascii")
    return said


@pytest.mark.parametrize("n", range(len(HOSTILE)))
def test_each_value_alone_inside_others_and_beside_a_cycle(n: int) -> None:
    """Its neighbours are kept as they are, on the fast way and on the slow one."""
    value = HOSTILE[n]
    checked(value)
    described(ValueError(value))
    assert checked({"before": [1, None], "it": value, "after": "x"})["after"] == "x"
    ring: dict[str, Any] = {"it": [value], "after": {"n": None}}
    ring["self"] = ring
    said = checked(ring)

    assert said["self"] == {"$type": "cycle", "path": ""}
    assert said["after"] == {"n": None}


@settings(max_examples=300)
@given(values())
@example({1: "a", "1": "b", None: 0, "None": 1})
def test_any_value_becomes_json(value: Any) -> None:
    """Never an error, never what is no JSON; what comes out says itself."""
    said = checked(value)

    assert checked(said) == said
    assert checked([value, value])[0] == said


def test_the_store_takes_all_of_it(store: Store) -> None:
    """Postgres reads each of them as jsonb."""
    with store.raw() as connection:
        for value in [*HOSTILE, {"all": HOSTILE[:20]}]:
            data, _ = encoded({"value": value})
            (kind,) = connection.execute("SELECT jsonb_typeof(%s::jsonb)", [data.decode()]).fetchone() or (None,)
            assert kind == "object"


def test_what_json_can_say_is_said() -> None:
    """Models, dataclasses, named tuples, enums, dates, sets, arrays and numbers become their values."""
    given = {
        "model": Ask(name="a"), "node": Node("n", 1.5, Node("m")), "pair": Pair(1, [2]), "enum": Color.DEEP,
        "level": Level.LOW, "date": date(2026, 1, 2), "set": {3, 1, 2}, "array": np.arange(6).reshape(2, 3),
        "number": np.float32(1.5), "series": pl.Series([1, None]), "queue": deque([1]), "map": UserDict(b=2),
        "decimal": decimal.Decimal("1.10"), "path": Path("/tmp/x"),
    }  # fmt: skip
    said = plain(given)

    assert said == {
        "model": {"name": "a", "score": 1.0, "given": None},
        "node": {"name": "n", "score": 1.5, "next": {"name": "m", "score": None, "next": None}},
        "pair": {"a": 1, "b": [2]}, "enum": ["a", 1], "level": 1, "date": "2026-01-02", "set": [1, 2, 3],
        "array": [[0, 1, 2], [3, 4, 5]], "number": 1.5, "series": [1, None], "queue": [1], "map": {"b": 2},
        "decimal": "1.10", "path": "/tmp/x",
    }  # fmt: skip


def test_the_same_whether_or_not_a_cycle_is_near() -> None:
    """The fast way and the slow one say the same of one value."""
    for value in [Ask(name="a"), Node("n", 1.5), Pair(1, [2]), {3, 1}, np.arange(3), Level.LOW, {1: 2}, b"x", Late()]:
        ring: list[Any] = [value]
        ring.append(ring)
        assert plain(ring)[0] == plain([value])[0]


@pytest.mark.parametrize(
    "value",
    [Node("n", math.nan), Pair(1, math.nan), Ask(name="a", score=math.nan), {math.nan, 1.0}, deque([math.nan]),
     np.array([math.nan]), UserDict(a=math.nan), [math.nan, None], pl.DataFrame({"a": [math.nan]})],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_no_number_is_not_said_to_be_nothing(value: Any) -> None:
    """NaN and null are two things, wherever NaN stands."""
    for given_value in (value, {"in": [value]}):
        data, _ = encoded(given_value)
        assert b"NaN" in data


def test_placeholders_say_what_they_stand_for() -> None:
    """Bytes, errors, arrays that are too large, frames, what has only a repr, and what raises in it."""
    said = plain({
        "bytes": b"\x00" * 100_000, "error": KeyError("x"), "large": np.zeros((200, 200)),
        "frame": pl.DataFrame({"a": range(50)}), "object": SaysText(), "raises": Raises(KeyError("x")),
        "yes": YesToAll(),
    })  # fmt: skip

    assert (said["bytes"]["$type"], said["bytes"]["size_bytes"]) == ("bytes", 100_000)
    assert len(base64.b64decode(said["bytes"]["base64"])) == 48_000
    assert said["error"] == {"$type": "builtins.KeyError", "message": "'x'"}
    assert (said["large"]["$type"], said["large"]["shape"]) == ("numpy.ndarray", [200, 200])
    assert (said["frame"]["shape"], len(said["frame"]["head"])) == ([50, 1], 20)
    assert said["object"]["repr"] == "said"
    assert said["raises"]["repr"] == "<KeyError in its repr>"
    assert said["yes"]["$type"].endswith(".YesToAll")


def test_keys_that_are_the_same_as_text_are_two() -> None:
    """No member of a mapping is lost to another one."""
    said = plain({"1": "text", 1: "number", 1.5: "f", "None": 0, None: 1, Color.RED: "r", "red": "s"})

    assert sorted(map(str, said.values())) == sorted(["text", "number", "f", "0", "1", "r", "s"])
    assert (said["1"], said["1 (int)"]) == ("text", "number")


def test_cycles_and_depth() -> None:
    """Where a value is inside itself its place is told; 100,000 levels are cut; one value twice is no cycle."""
    node = Node("a")
    node.next = {"back": node}
    twice = [1]
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    assert plain({"x/y": node})["x/y"]["next"]["back"] == {"$type": "cycle", "path": "/x~1y"}
    assert plain({"a": twice, "b": twice}) == {"a": [1], "b": [1]}
    said, levels = plain(deep), 0
    while isinstance(said, list):
        said, levels = said[0], levels + 1
    assert (levels, said["$type"]) == (MAX_DEPTH, "deep")
    while deep:  # taken apart here: to free it at once is deeper than some interpreters go
        deep = deep.pop()


def test_the_users_own_interrupt_goes_through() -> None:
    """Ctrl-C while a value is looked at ends the program as ever."""
    for value in (Raises(KeyboardInterrupt()), [Raises(KeyboardInterrupt())]):
        with pytest.raises(KeyboardInterrupt):
            encoded(value)


def test_an_agent_records_all_of_it(bench) -> None:
    """Every call takes every value, wherever one can be given; the run is whole and no record was dropped."""
    long = "é" * 50_000_000
    with bench.record(agent_type="planner", input=HOSTILE, metadata={"m": HOSTILE}) as run:
        for value in HOSTILE:
            run.event("log", name=value, text=value, data={"value": value}, usage={"input_tokens": value})
            with run.tool("look", {"value": value}) as call:
                call.result = value
            with run.llm_call(value, input=value) as call:
                call.output = call.usage = call.cost_usd = value
            run.step({"value": value})
        run.event("log", text=long)
        run.finish(output=HOSTILE, score=HOSTILE[0], error=HOSTILE[1], error_type=HOSTILE[2])

    n = len(HOSTILE) * 4 + 1
    assert "capture" not in bench.execution(run.id).metadata
    assert bench.events(run.id)["step_number"].to_list() == list(range(n))
    assert bench.snapshots(run.id).height == len(HOSTILE)
    assert bench.executions()["status"].to_list() == ["failed"]
    kept = json.loads(bench.events(run.id, where=f"step_number = {n - 1}")["data"][0])["text"]
    assert kept.startswith("ééé")
    assert kept.endswith("[cut: 50000000 characters]")
