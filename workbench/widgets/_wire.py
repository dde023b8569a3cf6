"""The wire between a widget and its browser half: requests by id, answers as typed buffers.

The browser asks (``static/_lib/wire.js``), one handler per verb answers::

    browser → {"kind": "request", "id": 7, "verb": "tiles", "args": {…}}
    kernel  → {"kind": "answer",  "id": 7, "result": {…}}  + at most one buffer, see :func:`pack`
            | {"kind": "failure", "id": 7, "error": "…", "type": "ValueError"}
    kernel  → {"kind": "push", "topic": "…", "result": {…}}  + at most one buffer

JSON carries names and small facts, the buffer carries numbers: 100 k events are 12 MB of JSON but 1.1 MB of arrays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

# NumPy dtype → the browser's typed array. 64-bit integers do not exist there as plain numbers: send float64.
_DTYPES = {"u1": "u8", "i1": "i8", "u2": "u16", "i2": "i16", "u4": "u32", "i4": "i32", "f4": "f32", "f8": "f64"}
_ALIGN = 8


class Answer(NamedTuple):
    """What a handler gives back: JSON facts and arrays by name."""

    result: Mapping[str, Any] = {}
    arrays: Mapping[str, np.ndarray] = {}


def pack(arrays: Mapping[str, np.ndarray], **facts: Any) -> bytes:
    """Arrays and facts in one block of bytes.

    Layout, little-endian: length of the header (u32), header (JSON: ``{"facts", "arrays": [[name, dtype, length]]}``,
    padded with spaces to a multiple of 8 with its length word), then each array at the next multiple of 8.

    Raises
    ------
    TypeError
        An array of a dtype the browser has no plain numbers for (int64, bool, object).
    """
    listed, parts = [], []
    for name, array in arrays.items():
        kind = array.dtype.str[1:]
        if kind not in _DTYPES:
            raise TypeError(f"Array {name!r} is {array.dtype}; the wire carries {', '.join(sorted(_DTYPES))}.")
        listed.append([name, _DTYPES[kind], int(array.size)])
        body = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        parts.append(body + b"\0" * (-len(body) % _ALIGN))
    header = json.dumps({"facts": facts, "arrays": listed}, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-(len(header) + 4) % _ALIGN)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def unpack(block: bytes | memoryview) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The inverse of :func:`pack`: facts and arrays."""
    data = bytes(block)
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + size])
    back = {short: dtype for dtype, short in _DTYPES.items()}
    arrays, at = {}, 4 + size
    for name, kind, length in header["arrays"]:
        array = np.frombuffer(data, dtype="<" + back[kind], count=length, offset=at)
        arrays[name] = array
        at += array.nbytes + (-array.nbytes % _ALIGN)
    return header["facts"], arrays


class Wire:
    """Answers the browser's requests with the handlers of one widget."""

    def __init__(
        self, send: Callable[..., None], handlers: Mapping[str, Callable[..., Answer | Mapping[str, Any] | None]]
    ) -> None:
        self._send = send
        self._handlers = dict(handlers)

    def receive(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        """Answer one message. A handler's exception reaches the widget's error pane and then the kernel's log."""
        if content.get("kind") != "request":
            return
        number, verb = content.get("id"), content.get("verb")
        try:
            if verb not in self._handlers:
                raise LookupError(f"This widget answers no {verb!r}; it answers {', '.join(sorted(self._handlers))}.")
            answer = self._handlers[verb](**content.get("args", {}))
        except BaseException as error:
            # Interrupts too: whoever pressed "stop" must see in the widget that this answer will not come.
            self._send({"kind": "failure", "id": number, "error": str(error), "type": type(error).__name__})
            raise
        self._deliver({"kind": "answer", "id": number}, answer)

    def push(self, topic: str, answer: Answer | Mapping[str, Any] | None = None) -> None:
        """Tell the browser something it did not ask for."""
        self._deliver({"kind": "push", "topic": topic}, answer)

    def _deliver(self, head: dict[str, Any], answer: Answer | Mapping[str, Any] | None) -> None:
        full = answer if isinstance(answer, Answer) else Answer(answer or {})
        buffers = [pack(full.arrays)] if full.arrays else None
        self._send({**head, "result": dict(full.result)}, buffers)
