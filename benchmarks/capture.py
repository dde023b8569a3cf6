"""Overhead of the capture in the agent, per event, beside a call that does nothing and spans of OpenTelemetry.

The peers write to nowhere: OpenTelemetry's SDK hands its spans to a processor that drops them (its cost whatever
the exporter) or to its batch processor with an exporter that drops them. Ours write to a spool on disk that survives
``kill -9``, and deliver to a real Postgres meanwhile. Target: an event within 5 times a span that is dropped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks._bench import scratch_store, table

TEXT = "The customer wants to change the address of order W4301 before it is sent. " * 3
STATE = {"messages": [{"role": "user", "content": TEXT} for _ in range(60)], "plan": ["look", "act"], "n": 0}
BATCH = 200


def run(quick: bool = False) -> None:
    """Measure and print one table."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from workbench.replay.capture import record

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    dropped, batched = TracerProvider(), TracerProvider()
    dropped.add_span_processor(SpanProcessor())
    batched.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracers = {"dropped": dropped.get_tracer("b"), "batched": batched.get_tracer("b")}

    def span_of(tracer: Any) -> None:
        with tracer.start_as_current_span("search") as span:
            span.set_attribute("text", TEXT)

    with scratch_store() as store, record(store, agent_type="benchmark") as recording:

        def tool() -> None:
            with recording.tool("search", {"to": "OSL"}) as call:
                call.result = TEXT

        ways: dict[str, Callable[[], Any]] = {
            "a function that does nothing": lambda: None,
            "OpenTelemetry: a span, dropped": lambda: span_of(tracers["dropped"]),
            "OpenTelemetry: a span, batched": lambda: span_of(tracers["batched"]),
            "event with 230 characters": lambda: recording.event("message", role="user", text=TEXT),
            "span": lambda: recording.span("search").__enter__().__exit__(None, None, None),
            "tool call and result": tool,
            "state of 15 KB": lambda: recording.step(STATE),
        }
        measured = _measured(ways, rounds=5 if quick else 40)
    peer = statistics.median(measured["OpenTelemetry: a span, dropped"])
    lines = [
        (name, f"{statistics.median(ns):,.0f}", f"{_late(ns):,.0f}", f"{statistics.median(ns) / peer:.2f}×")
        for name, ns in measured.items()
    ]
    table("Capture, ns per call in the agent's thread", ["call", "median", "99 %", "÷ OpenTelemetry span"], lines)
    batched.shutdown()


def _measured(ways: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, list[int]]:
    """Every way in turn, so that a slow moment of the machine slows all of them."""
    found: dict[str, list[int]] = {name: [] for name in ways}
    clock = time.perf_counter_ns
    for number in range(rounds + 1):
        for name, call in ways.items():
            for _ in range(BATCH):
                began = clock()
                call()
                lasted = clock() - began
                if number:  # the first round warms up
                    found[name].append(lasted)
    return found


def _late(ns: list[int]) -> int:
    return sorted(ns)[int(len(ns) * 0.99)]
