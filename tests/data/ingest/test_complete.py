"""Files of many traces, longer than what is held: each trace is written when its last line has been read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from histories import SECOND_NS, START_NS, otlp_request, otlp_span

from workbench.data.ingest.detect import reader
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading import complete
from workbench.data.ingest.reading.source import Source

N_TRACES, N_SPANS = 30, 6


def trace_id(t: int) -> str:
    return f"{t + 1:032x}"


def otlp(t: int, n: int) -> Any:
    parent = {} if n == 0 else {"parentSpanId": f"{t * 100 + 1:016x}"}
    return otlp_request(otlp_span(t * 100 + n, traceId=trace_id(t), spanId=f"{t * 100 + n + 1:016x}", **parent))


def openinference(t: int, n: int) -> Any:
    return {
        "name": f"span {n}",
        "spanContext": {"traceId": trace_id(t), "spanId": f"{t * 100 + n + 1:016x}"},
        "parentId": None if n == 0 else f"{t * 100 + 1:016x}",
        "startTime": [(START_NS + n * SECOND_NS) // SECOND_NS, 0],
        "endTime": [(START_NS + (n + 1) * SECOND_NS) // SECOND_NS, 0],
        "attributes": {"text": "hello"},
    }


def langsmith(t: int, n: int) -> Any:
    return {
        "id": f"00000000-0000-4000-8000-{t * 100 + n:012d}",
        "trace_id": f"00000000-0000-4000-8000-{t * 100:012d}",
        "parent_run_id": None if n == 0 else f"00000000-0000-4000-8000-{t * 100:012d}",
        "name": f"step {n}",
        "run_type": "chain",
        "start_time": f"2025-05-01T12:00:{n:02d}Z",
        "end_time": f"2025-05-01T12:00:{n:02d}Z",
    }


def shuffled(make: Callable[[int, int], Any]) -> bytes:
    """Spans of several traces in turn, a window of them open at a time, with a bad line among them."""
    lines = [json.dumps(make(t, n)).encode() for t in range(N_TRACES) for n in range(N_SPANS)]
    dice = random.Random(5)
    for at in range(len(lines) - 20):
        other = at + dice.randrange(20)
        lines[at], lines[other] = lines[other], lines[at]
    lines.insert(50, b'{"broken": ')
    return b"\n".join(lines) + b"\n"


def read(format: str, source: Source) -> tuple[dict[str, Run], list[BadLine]]:
    found = list(reader(format).read(source))
    runs = [item for item in found if isinstance(item, Run)]
    assert len({run.source_id for run in runs}) == len(runs)
    return {run.source_id: run for run in runs}, [item for item in found if isinstance(item, BadLine)]


@pytest.mark.parametrize(
    ("format", "make"), [("otlp", otlp), ("openinference", openinference), ("langsmith", langsmith)]
)
def test_a_long_file_gives_the_runs_of_a_short_one(
    format: str, make: Callable[[int, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trace is handed on as soon as no later line speaks of it, and is what it is when the file is held."""
    data = shuffled(make)
    held = read(format, short := Source.from_bytes(data))
    monkeypatch.setattr(complete, "HELD_BYTES", 0)

    long = Source.from_bytes(data)
    assert read(format, long) == held
    assert len(held[0]) == N_TRACES
    assert long.notes == short.notes

    waiting = iter(reader(format).read(Watched.from_bytes(data)))
    first = next(item for item in waiting if isinstance(item, Run))
    assert len(first.steps) == N_SPANS
    assert Watched.n_lines < data.count(b"\n") / 2


class Watched(Source):
    """A source that says how many lines of it were read the last time."""

    n_lines = 0

    def lines(self) -> Iterator[Any]:
        for n, line in enumerate(super().lines()):
            Watched.n_lines = n
            yield line
