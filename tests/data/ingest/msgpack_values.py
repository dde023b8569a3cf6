"""Values as LangGraph's serializer writes them, some of them hostile."""

from __future__ import annotations

import dataclasses
import enum
import os
import pickle
import random
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import ormsgpack
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langgraph.types import Send


class _Opened:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._mark}",)


def extension(code: int, *inside: Any) -> bytes:
    return ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(inside)))


def hostile(mark: Path) -> list[tuple[str, bytes]]:
    """Values that make a trusting reader write a file: a call of a function, and a pickle."""
    return [
        ("msgpack", extension(0, "os", "system", f"touch {mark} && echo long enough to be told apart")),
        ("pickle", pickle.dumps(_Opened(mark))),
    ]


def turned(data: bytes, dice: random.Random) -> bytes:
    """The bytes with one bit the other way round."""
    spoilt = bytearray(data)
    spoilt[dice.randrange(len(spoilt))] ^= 1 << dice.randrange(8)
    return bytes(spoilt)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Plan:
    goal: str
    steps: list[str]


def everything() -> dict[str, Any]:
    return {
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "id": uuid.UUID(int=7),
        "price": Decimal("1.10"),
        "set": {1},
        "path": Path("/tmp/a"),
        "bytes": b"\x00\x01",
        "colour": Colour.RED,
        "plan": Plan("win", ["look", "leap"]),
        "message": HumanMessage("hi", id="m1"),
        "document": Document("text", id="d1"),
        "send": Send("worker", {"n": 1}),
        "keys": {1: "one", "1": "text"},
        "array": np.array([1, 2], dtype="<i2"),
    }


_MODULE = __name__
EVERYTHING = {
    "at": "2026-01-02T03:04:05+00:00",
    "day": "2026-01-02",
    "id": "00000000-0000-0000-0000-000000000007",
    "price": "1.10",
    "set": [1],
    "path": "/tmp/a",
    "bytes": {"__type__": "bytes", "base64": "AAE="},
    "colour": {"__type__": f"{_MODULE}.Colour", "value": "red"},
    "plan": {"__type__": f"{_MODULE}.Plan", "goal": "win", "steps": ["look", "leap"]},
    "message": HumanMessage("hi", id="m1").model_dump(),
    "document": {"__type__": "langchain_core.documents.base.Document", **Document("text", id="d1").model_dump()},
    "send": {"__type__": "langgraph.types.Send", "node": "worker", "arg": {"n": 1}},
    "keys": {"1": "one", "1'": "text"},
    "array": {"__type__": "numpy.ndarray", "dtype": "<i2", "shape": [2], "order": "C", "base64": "AQACAA=="},
}
