"""The span exporter: real spans of the OpenTelemetry SDK, the same runs as from a file, and never a word in the way."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Status, StatusCode

import workbench
from workbench.data.store.engine import Store
from workbench.data.telemetry import exporter as module
from workbench.data.telemetry.exporter import WorkbenchSpanExporter


def spans(provider: TracerProvider | None = None) -> Sequence[ReadableSpan]:
    """Two traces of an agent with model calls, tools, an error, events and a link; the outer spans end last."""
    memory = InMemorySpanExporter()
    provider = provider or TracerProvider(resource=Resource.create({"service.name": "shop-agent"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("my.agent", "1.2")
    links: list[Link] = []
    for turn in range(2):
        with tracer.start_as_current_span("invoke_agent shop", links=links) as root:
            root.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"})
            for n in range(3):
                with tracer.start_as_current_span(f"chat acme-{n}") as call:
                    call.set_attributes({
                        "gen_ai.operation.name": "chat", "gen_ai.request.model": "acme-1",
                        "gen_ai.usage.input_tokens": 10 + n, "gen_ai.usage.output_tokens": 3,
                        "gen_ai.input.messages": json.dumps(
                            [{"role": "user", "parts": [{"type": "text", "content": f"turn {turn}"}]}]),
                        "gen_ai.output.messages": json.dumps(
                            [{"role": "assistant", "parts": [{"type": "text", "content": f"answer {n}"}]}]),
                    })  # fmt: skip
                with tracer.start_as_current_span("execute_tool look") as tool:
                    tool.set_attributes({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"})
                    if n == 1:
                        tool.record_exception(ValueError("no such order"))
                        tool.set_status(Status(StatusCode.ERROR, "no such order"))
        links = [Link(root.get_span_context())]
    return memory.get_finished_spans()


def told(bench: workbench.Workbench) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """All that frames tell of runs, events and states, without what says when and by which import it came."""
    frames = [bench.executions(), bench.events(), bench.snapshots()]
    return tuple(  # type: ignore[return-value]
        frame.drop([name for name in ("import_id", "created_at", "row_version") if name in frame.columns])
        .sort(pl.all())
        .to_dicts()
        for frame in frames
    )


@pytest.fixture
def other(server: Any, database_url: str) -> Iterator[workbench.Workbench]:
    """A second workbench, for what is imported from a file."""
    name = f"file_{abs(hash(database_url)) % 10**9}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE workbench_template")
    with workbench.connect(server.url(database=name)) as bench:
        yield bench
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("encoding", ["json", "pb"])
def test_live_is_the_same_as_from_a_file(
    bench: workbench.Workbench, other: workbench.Workbench, tmp_path: Path, encoding: str
) -> None:
    """Exported in one batch, or span by span in any order, a trace is the run that is imported from an OTLP file."""
    made = list(spans())
    request = encode_spans(made)
    data = request.SerializeToString() if encoding == "pb" else MessageToJson(request).encode()
    (tmp_path / f"trace.{encoding}").write_bytes(data)
    other.ingest(tmp_path / f"trace.{encoding}", progress=False)
    random.Random(encoding).shuffle(made)
    exporter = WorkbenchSpanExporter(bench)

    size = 4 if encoding == "pb" else 1
    results = [exporter.export(made[at : at + size]) for at in range(0, len(made), size)]

    assert set(results) == {SpanExportResult.SUCCESS}
    assert told(bench) == told(other)
    assert bench.executions()["parent_execution_id"].null_count() == 1  # the second trace goes on from the first
    assert bench.imports().height == 0


def test_exported_and_imported_is_one_run(bench: workbench.Workbench, tmp_path: Path) -> None:
    """The file of a trace that was exported live brings nothing new, and exporting it again neither."""
    made = spans()
    exporter = WorkbenchSpanExporter(bench.store)
    exporter.export(made)
    before = told(bench)
    (tmp_path / "trace.pb").write_bytes(encode_spans(made).SerializeToString())

    report = bench.ingest(tmp_path / "trace.pb", progress=False)
    exporter.export(made)

    assert (report.files[0].new.executions, report.files[0].new.events) == (0, 0)
    assert told(bench) == before


def test_a_live_program_is_recorded(bench: workbench.Workbench) -> None:
    """Through a batch processor all spans of several threads arrive, in one tree per trace, when it is shut down."""
    provider = TracerProvider(resource=Resource.get_empty())
    provider.add_span_processor(BatchSpanProcessor(WorkbenchSpanExporter(bench), max_export_batch_size=3))
    threads = [threading.Thread(target=spans, args=[provider]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    provider.shutdown()

    runs = bench.executions()
    assert (runs.height, bench.events().height) == (6, 42)
    assert set(runs["agent_type"]) == {"shop"}
    assert bench.events()["mark"].null_count() == 42


def test_writing_makes_no_spans(bench: workbench.Workbench) -> None:
    """With the driver instrumented, exporting ends: our own statements make no spans, in no thread of ours."""
    provider = TracerProvider()
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    made = spans()
    PsycopgInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
    try:
        store = Store.open(bench.store.settings)
        with store.raw() as connection:  # the driver does make spans
            connection.execute("SELECT 1")
        n_before = len(memory.get_finished_spans())
        memory.clear()

        result = WorkbenchSpanExporter(store).export(made)

        n_after = len(memory.get_finished_spans())
        store.close()
    finally:
        PsycopgInstrumentor().uninstrument()
    assert (n_before > 0, result, n_after) == (True, SpanExportResult.SUCCESS, 0)


def test_spans_of_our_own_are_left_out(bench: workbench.Workbench) -> None:
    """What the tracer of Workbench itself makes is no run."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name in ("workbench", "workbench.store", "workbenches"):
        with provider.get_tracer(name).start_as_current_span(f"of {name}"):
            pass

    WorkbenchSpanExporter(bench).export(memory.get_finished_spans())

    assert bench.executions()["name"].to_list() == ["of workbenches"]


def test_a_dead_database_is_a_failure_and_loses_nothing(
    server: Any, database_url: str, bench: workbench.Workbench
) -> None:
    """While no answer comes, ``export`` says FAILURE and holds the spans; with the database back they are delivered."""
    exporter = WorkbenchSpanExporter(bench)
    made = spans()
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as root:
        root.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        root.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        failed = [exporter.export(made[:7]), exporter.export(made[7:])]
        flushed = [exporter.force_flush()]
        root.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        flushed.append(exporter.force_flush())

    assert failed == [SpanExportResult.FAILURE] * 2
    assert flushed == [False, True]
    assert bench.events().height == len(made)


def test_nothing_is_taken_after_shutdown(bench: workbench.Workbench) -> None:
    """After ``shutdown`` an export is a FAILURE and writes nothing; shutting down twice is nothing."""
    exporter = WorkbenchSpanExporter(bench)
    exporter.shutdown()
    exporter.shutdown()

    assert exporter.export(spans()) is SpanExportResult.FAILURE
    assert bench.executions().height == 0


def test_what_is_no_span_costs_itself(bench: workbench.Workbench, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and told, the result is FAILURE, and the spans beside it are stored."""
    exporter = WorkbenchSpanExporter(bench)
    made = list(spans())

    assert exporter.export([*made[:5], NoSpan(), *made[5:]]) is SpanExportResult.FAILURE  # type: ignore[list-item]
    assert "1 spans are lost" in caplog.text
    assert (exporter.n_refused, exporter.n_dropped, exporter.put_aside) == (1, 1, None)
    assert bench.events().height == len(made)
    assert exporter.export(made) is SpanExportResult.SUCCESS


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool folder of this test's own, for a workbench that is opened after it."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def test_what_the_store_refuses_is_put_aside_and_the_rest_stored(
    spool: Path, bench: workbench.Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    """A constraint that two of the spans break: the others are there, those two in a file that is ingested later."""
    made = list(spans())
    with bench.store.raw() as connection:
        connection.execute(
            "ALTER TABLE workbench.observability_events ADD CONSTRAINT no_acme CHECK (data->>'model' <> 'acme-1'"
            " OR data->'usage'->>'input_tokens' <> '11')"
        )
    exporter = WorkbenchSpanExporter(bench)

    assert exporter.export(made) is SpanExportResult.FAILURE
    assert (exporter.n_refused, exporter.n_aside, exporter.n_dropped) == (2, 2, 0)
    assert bench.events().height == len(made) - 2
    assert exporter.put_aside is not None
    assert exporter.put_aside.is_relative_to(spool)
    assert exporter.put_aside.stat().st_mode & 0o077 == 0
    assert f"bench.ingest('{exporter.put_aside}') reads them" in caplog.text
    assert exporter.force_flush()

    with bench.store.raw() as connection:
        connection.execute("ALTER TABLE workbench.observability_events DROP CONSTRAINT no_acme")
    report = bench.ingest(exporter.put_aside, progress=False)
    assert report.files[0].new.events == 2
    assert bench.events().height == len(made)
    assert bench.executions().height == 2


def test_what_waits_at_the_end_is_put_aside(
    spool: Path, server: Any, database_url: str, bench: workbench.Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shut down while the database is away, and more than can be held: all is in the file, and no span is lost."""
    monkeypatch.setattr(module, "_HELD_SPANS", 4)
    exporter = WorkbenchSpanExporter(bench)
    made = spans()
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as root:
        root.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        root.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for span in made:
            assert exporter.export([span]) is SpanExportResult.FAILURE
        assert exporter.n_aside == len(made) - 4
        exporter.shutdown()
        root.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert (exporter.n_aside, exporter.n_refused, exporter.n_dropped) == (len(made), 0, 0)
    bench.ingest(spool, progress=False)
    assert bench.events().height == len(made)


class NoSpan:
    instrumentation_scope = None
