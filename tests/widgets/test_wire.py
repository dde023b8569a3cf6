"""Requests and typed buffers between a widget and its browser half."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_javascript import node
from workbench.widgets._text import one_line, plain
from workbench.widgets._wire import Answer, Wire, pack, unpack

LIB = Path(__file__).parents[2] / "workbench/widgets/static/_lib"


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.tuples(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]), st.integers(0, 40)),
        max_size=5,
    )
)
def test_pack_round_trip(shape: dict[str, tuple[str, int]]) -> None:
    """What is packed comes back with the same names, dtypes and numbers."""
    arrays = {name: np.arange(size).astype(dtype) for name, (dtype, size) in shape.items()}

    facts, back = unpack(pack(arrays, n=3))

    assert facts == {"n": 3}
    assert {name: (a.dtype, a.tolist()) for name, a in back.items()} == {
        n: (a.dtype, a.tolist()) for n, a in arrays.items()
    }


def test_pack_refuses_what_a_browser_cannot_hold() -> None:
    """64-bit integers would be rounded silently, so they are refused."""
    with pytest.raises(TypeError, match="'rows' is int64"):
        pack({"rows": np.arange(3)})


def test_browser_reads_what_the_kernel_packs() -> None:
    """The JavaScript twin reads the very bytes."""
    block = pack({"a": np.array([1.5, -2]), "b": np.array([7, 8, 9], "u1"), "c": np.array([-5], "i4")}, title="ä")
    script = f"""
      import {{ unpack }} from {json.dumps((LIB / "wire.js").as_uri())};
      const {{ facts, arrays }} = unpack(Uint8Array.from({list(block)}));
      console.log(JSON.stringify([facts.title, [...arrays.a], [...arrays.b], [...arrays.c]]));
    """
    ran = subprocess.run([node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True)

    assert json.loads(ran.stdout) == ["ä", [1.5, -2], [7, 8, 9], [-5]]


def test_text_twins_agree() -> None:
    """Python and JavaScript clean the same text the same way."""
    hostile = [
        "\x1b[1;31mred\x1b[0m",
        "\x1b]0;title\x07x",
        "a\x00b\x07\x7f\r\nc",
        "pay \u202efdp.exe",
        "\x1bP1$r0m\x1b\\y",
        "\x9b2Jz",
        "plain äöü 😀",
        "\x1b",
    ]
    script = f"""
      import {{ oneLine, plainText }} from {json.dumps((LIB / "text.js").as_uri())};
      console.log(JSON.stringify({json.dumps(hostile)}.map((t) => [plainText(t), oneLine(t, 8)])));
    """
    ran = subprocess.run([node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True)

    assert json.loads(ran.stdout) == [[plain(text), one_line(text, 8)] for text in hostile]


def test_requests_are_answered_by_verb() -> None:
    """A request gets its handler's answer under its id, arrays as one buffer."""
    sent: list[tuple] = []
    wire = Wire(lambda content, buffers=None: sent.append((content, buffers)), {"tile": _tile})

    wire.receive(None, {"kind": "request", "id": "v.1", "verb": "tile", "args": {"n": 2}}, [])
    wire.receive(None, {"kind": "hello"}, [])

    assert [content for content, _ in sent] == [{"kind": "answer", "id": "v.1", "result": {"n": 2}}]
    assert unpack(sent[0][1][0])[1]["x"].tolist() == [0, 1]


def _tile(n: int) -> Answer:
    return Answer({"n": n}, {"x": np.arange(n, dtype="u2")})


def test_a_failing_handler_is_told_to_the_browser() -> None:
    """The error pane gets the text, the kernel's log gets the exception."""
    sent: list[dict] = []

    def fails() -> None:
        raise ValueError("no such lane")

    wire = Wire(lambda content, buffers=None: sent.append(content), {"x": fails})
    with pytest.raises(ValueError, match="no such lane"):
        wire.receive(None, {"kind": "request", "id": 1, "verb": "x"}, [])
    with pytest.raises(LookupError, match="answers no 'y'; it answers x"):
        wire.receive(None, {"kind": "request", "id": 2, "verb": "y"}, [])

    assert sent[0] == {"kind": "failure", "id": 1, "error": "no such lane", "type": "ValueError"}
    assert sent[1]["id"] == 2
