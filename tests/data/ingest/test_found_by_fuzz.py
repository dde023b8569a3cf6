"""What the fuzzer found, each as the smallest file that showed it."""

from __future__ import annotations

import gzip
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from good_files import good_files
from histories import KINDS, claude_line, counts, dumps, gemini, inspect_eval, otlp_request, otlp_span, tau2

import workbench
from workbench.data.ingest import batch, ingest
from workbench.data.ingest.detect import choose, reader
from workbench.data.ingest.formats import claude_code, langgraph, otlp, swe_agent
from workbench.data.ingest.formats import tau2 as tau2_reader
from workbench.data.ingest.formats.inspect_archive import Archive
from workbench.data.ingest.ids import key
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.columns import check_columns
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import FileReport, Item
from workbench.data.store.engine import Store
from workbench.errors import IngestError, QueryError


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def long_id(start: str) -> str:
    """One that does not compress: an index keeps compressed what does."""
    return start + "".join(f"{n * 2654435761 % 2**32:08x}" for n in range(600))


def test_a_type_that_is_no_text_is_no_claude_line() -> None:
    """A line whose type is a list or an object is passed by when files are told apart."""
    for kind in ([1], {"a": 1}):
        line = dumps({"type": kind, "message": {"content": "x"}})
        assert claude_code.detect(Source.from_bytes(line).head) == 0


def test_an_integer_that_orjson_refuses_in_a_web_export() -> None:
    """An entry of a web export with an integer over 64 bits is a step like others."""
    data = dumps({"loglines": [claude_line(0, big=10**30), claude_line(1)]})

    [run] = claude_code.read(Source.from_bytes(data, "export.json"))

    assert isinstance(run, Run)
    assert len(run.steps) == 2


def test_a_termination_reason_that_is_no_text() -> None:
    """A reason that is a list is one that the format does not know: the run failed."""
    data = tau2().replace(b'"user_stop"', b'["user_stop"]')

    runs = [item for item in tau2_reader.read(Source.from_bytes(data, "results.json")) if isinstance(item, Run)]

    assert {run.status for run in runs} == {"failed"}


@pytest.mark.parametrize("start", [b"\xff\xfe", b"\xfe\xff"])
def test_a_log_with_the_mark_of_utf16(start: bytes) -> None:
    """A ``.eval`` file that begins as UTF-16 text does is refused as no zip, or read as far as it goes."""
    from workbench.data.ingest.formats import inspect_log

    with pytest.raises(IngestError, match=r"log\.eval"):
        list(inspect_log.read(Source.from_bytes(start + b"not a zip at all", "log.eval")))


def test_an_entry_that_lies_before_its_archive() -> None:
    """A zip whose beginning is lost is read as far as its directory is true; the rest is said to be damaged."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(name, name * 500)
    data = out.getvalue()
    last = data.index(b"PK\x03\x04", 600)

    with Archive(Source.from_bytes(data[last:], "log.eval")) as archive:
        entries = [archive.read(name) for name in archive.names()]

    assert any(entry.problem and "damaged" in entry.problem for entry in entries)
    assert len(inspect_eval()) > 100


def test_a_hollow_gzip_is_said_to_be_damaged_not_empty() -> None:
    """What a cut gzip stream holds nothing of is damaged, in a document and in a database."""
    packed = gzip.compress(KINDS["swe-agent"].make())[:12]

    for module, name in ((swe_agent, "run.traj"), (langgraph, "memory.sqlite")):
        with pytest.raises(IngestError, match=rf"{name} cannot be read: the gzip stream is cut off"):
            list(module.read(Source.from_bytes(packed, name)))


def test_a_damaged_thread_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of checkpoints in which one thread cannot be decoded, the other threads are read."""
    data = next(seed.data for seed in good_files() if seed.name == "memory.sqlite")
    whole = list(langgraph.read(Source.from_bytes(data, "m.sqlite")))

    def read_thread(tables: Any, thread: str, source: Source) -> Any:
        if thread == "1":
            raise langgraph.sqlite3.DatabaseError("database disk image is malformed")
        return real(tables, thread, source)

    real = langgraph.read_thread
    monkeypatch.setattr(langgraph, "read_thread", read_thread)
    bad, *others = langgraph.read(Source.from_bytes(data, "m.sqlite"))

    assert bad == BadLine(None, "thread '1': SQLite: database disk image is malformed")
    assert len(others) == len(whole) - 1


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"resourceSpans": {"a": 1}}, "resourceSpans is an object, not a list"),
        ({"resourceSpans": ["x"]}, "resourceSpans holds text, not an object"),
        ({"resourceSpans": [{"d": 1}]}, "resourceSpans holds an object without scopeSpans: it has 'd'"),
        ({"resourceSpans": [{"scopeSpans": [7]}]}, "scopeSpans holds a number, not an object"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}, "spans is text, not a list"),
        ({"resourceSpans": [{"scopeSpans": [{"x": 1}]}]}, "scopeSpans holds an object without spans: it has 'x'"),
    ],
)
def test_what_stands_in_the_place_of_spans_is_reported(request_: Any, reason: str) -> None:
    """A part of a request that leads to no span is a bad line; one that is empty is not."""
    empty = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": []}]}]}
    good = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp_span(0)]}]}]}
    source = Source.from_bytes(b"\n".join(map(dumps, (good, request_, empty))), "trace.jsonl")

    bad = [item for item in otlp.read(source) if isinstance(item, BadLine)]

    assert bad == [BadLine(2, reason)]


@pytest.mark.parametrize("kind", ["openinference", "langsmith", "otlp", "hub-chat"])
def test_a_damaged_first_line_does_not_hide_the_format(kind: str) -> None:
    """Files of lines are told by a later line where the first is damaged; other text is still something else."""
    lines = KINDS[kind].make(5).splitlines()

    spoilt = b"\n".join([b'{"broken": &', *lines[1:]])

    assert kind == choose(Source.from_bytes(spoilt, KINDS[kind].name)).FORMAT
    with pytest.raises(IngestError, match="not agent history"):
        choose(Source.from_bytes(b"# Notes\n\nOne span:\n" + lines[1], "notes.txt"))


@pytest.mark.parametrize("kind", ["tau2", "otlp", "gemini-cli"])
def test_ids_longer_than_an_index_takes(store: Store, tmp_path: Path, kind: str) -> None:
    """Long ids of tasks, traces and sessions are stored cut, with a digest; read again nothing is added."""
    made = {
        "tau2": tau2().replace(b'"task_id": "0"', b'"task_id": "%s"' % long_id("t").encode()),
        "otlp": dumps(
            {"resourceLogs": [{"scopeLogs": [{"logRecords": [
                {"body": {"stringValue": "x"}, "timeUnixNano": "1700000000000000000", "attributes": [
                    {"key": "session.id", "value": {"stringValue": long_id("s")}}]}]}]}]}
        ),
        "gemini-cli": gemini().replace(b'"5e551000"', b'"%s"' % long_id("g").encode()),
    }  # fmt: skip
    path = put(tmp_path, "trace.jsonl" if kind == "otlp" else "results.json", made[kind])

    first, again = (ingest(store, path, progress=False).files[0] for _ in range(2))

    assert (first.outcome, again.outcome) == ("new", "already there")
    assert any("longer than an index takes" in item.why for item in first.changed)


def test_keys_are_told_apart_and_stay_what_they_are() -> None:
    """Two long ids with one beginning make two keys, a short one is its own, and a key is its own key."""
    a, b = key(long_id("x") + "a"), key(long_id("x") + "b")

    assert a != b
    assert (key(a), key("short"), key("a\0\ud800")) == (a, "short", "a␀�")
    assert len(a.encode()) < 2_000


def test_what_a_report_quotes_can_be_shown(bench: workbench.Workbench, tmp_path: Path) -> None:
    """Surrogates and NUL in keys, reasons and file names make no report that cannot be printed or be a table."""
    line = json.dumps(claude_line(0)).encode()[:-1] + b', "\\ud800\\u0000": 1}'
    name = b"s\xff.jsonl".decode("utf-8", "surrogateescape")

    report = bench.ingest(put(tmp_path, name, line), progress=False)
    quoting = FileReport("x", bad=(BadLine(1, "no \ud800"),), lost=(Item("\ud800", 1, "\0"),), error="\udfff")

    [file] = report.files
    assert file.unknown
    assert not [key for key in file.unknown if "\ud800" in key or "\0" in key]
    assert report.fidelity().height
    for text in (quoting.error, quoting.bad[0].reason, str(quoting.lost[0])):
        assert (text or "").encode()
    assert "\0" not in str(quoting.lost[0])


def test_a_number_of_31_digits_can_be_exported(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A float that Postgres writes as a long integer comes back as a float, in a trajectory too."""
    bench.ingest(put(tmp_path, "session.jsonl", dumps(claude_line(0, size=1e30)) + b"\n"), progress=False)

    [run] = bench.executions()["id"].to_list()
    document = json.loads(bench.export(run, format="atif"))  # type: ignore[arg-type]
    with bench.store.raw() as connection:
        [(value,)] = connection.execute("SELECT data->'extra'->'size' FROM workbench.observability_events").fetchall()

    assert (value, type(value)) == (1e30, float)
    assert "1e+30" in json.dumps(document)


def test_a_depth_that_orjson_does_not_write_can_be_exported(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A value 300 levels deep is in the trajectory of its run."""
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    bench.ingest(put(tmp_path, "session.jsonl", dumps(claude_line(0, deep=deep)) + b"\n"), progress=False)

    [run] = bench.executions()["id"].to_list()

    assert b"bottom" in bench.export(run, format="atif")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), f"{batch.DEFECT}: KeyError at batch.py:"),
        (QueryError("index row size 4840 exceeds"), "the database refused what was read of it. index row size 4840"),
    ],
)
def test_a_defect_costs_one_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """What nobody foresaw makes its file a failed one, with what happened and where; the others are read."""
    first = put(tmp_path, "a.jsonl", KINDS["claude-code"].make())
    put(tmp_path, "b.jsonl", KINDS["otlp"].make())

    def read(source: Source) -> Any:
        raise error

    monkeypatch.setattr(claude_code, "read", read)
    report = ingest(store, tmp_path, progress=False)

    assert [file.outcome for file in report.files] == ["failed", "new"]
    assert said in (report.files[0].error or "")
    assert counts(store) == (1, 4)
    with pytest.raises(IngestError, match=r"a\.jsonl"):
        ingest(store, first, progress=False)


def runs_of(format: str, name: str, data: bytes) -> list[Run]:
    """What a reader makes of a file, its bad parts left out."""
    return [item for item in reader(format).read(Source.from_bytes(data, name)) if isinstance(item, Run)]


def test_totals_beyond_any_float_are_compared() -> None:
    """A trajectory whose total is an integer of 400 digits is read."""
    document = json.loads(KINDS["atif"].make())
    document["steps"].append({
        "step_id": 5, "source": "agent", "message": "Hi.", "metrics": {"prompt_tokens": 1, "completion_tokens": 1},
    })  # fmt: skip
    document["final_metrics"] = {"total_prompt_tokens": 10**400, "total_cost_usd": 10**400}

    assert len(runs_of("atif", "trajectory.json", dumps(document))) == 1


@pytest.mark.parametrize("own", [["a"], {"a": 1}, 1.5])
def test_the_id_of_a_tool_message_may_be_anything(own: Any) -> None:
    """A tool message of tau2 whose id is no text is read, and so is the call of the same id."""
    document = json.loads(tau2(1))
    call = {"id": own, "name": "look", "arguments": {}}
    document["simulations"][0]["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "id": own, "content": "found"},
    ]

    [run] = runs_of("tau2", "results.json", dumps(document))

    assert [step.name for step in run.steps[-2:]] == ["look", "look"]


@pytest.mark.parametrize("tasks", [1.5, "x", {"a": 1}, True])
def test_tasks_may_be_no_list(tasks: Any) -> None:
    """Results of tau2 whose tasks are no list are read without them."""
    assert len(runs_of("tau2", "results.json", dumps({**json.loads(tau2(2)), "tasks": tasks}))) == 2


def test_parts_of_a_trace_with_a_time_of_more_than_64_bits(store: Store, tmp_path: Path) -> None:
    """What is stored of such a time is text; the parts of its trace are put together all the same."""
    late = {"startTimeUnixNano": str(2**70), "endTimeUnixNano": str(2**70 + 1)}
    parts = [otlp_request(otlp_span(0, **late)), otlp_request(otlp_span(1)), otlp_request(otlp_span(2))]

    outcomes = [
        ingest(store, put(tmp_path, f"{n}.jsonl", dumps(part) + b"\n"), progress=False).files[0]
        for n, part in enumerate(parts)
    ]

    assert [file.error for file in outcomes] == [None] * 3
    with store.raw() as connection:
        rows = connection.execute("SELECT name FROM workbench.observability_events ORDER BY step_number").fetchall()
    assert [name for (name,) in rows] == ["span 1", "span 2", "span 0"]


def test_the_model_may_be_no_text() -> None:
    """Results of tau2 whose model is a list are read as those of a model that nobody names."""
    document = json.loads(tau2(1))
    document["info"]["agent_info"]["llm"] = ["gpt-4.1"]

    [run] = runs_of("tau2", "results.json", dumps(document))

    assert run.model is None
    assert {step.model for step in run.steps} == {None}


def test_an_error_about_columns_stays_short() -> None:
    """The columns of a damaged table are listed, each cut, and not all of them."""
    there = ["x" * 10_000, *(f"column {n}" for n in range(500))]

    with pytest.raises(IngestError, match=r"has no column 'said'.* and 451 more\.$") as refused:
        check_columns({"text": "said"}, there, "log.csv")

    assert len(str(refused.value)) < 2_000


def test_samples_may_be_no_list() -> None:
    """An Inspect log whose samples are a number says that it holds none."""
    document = {**json.loads(KINDS["inspect-json"].make()), "samples": 7}

    found = list(reader("inspect").read(Source.from_bytes(dumps(document), "log.json")))

    assert found == [BadLine(None, "the log holds no samples")]


def test_versions_of_a_session_do_not_win_it_back_in_turns(store: Store, tmp_path: Path) -> None:
    """Two copies, one with a log line where the other has a message: read again, neither adds anything."""
    lines = [claude_line(n) for n in range(4)]
    first = put(tmp_path, "a.jsonl", b"".join(dumps(line) + b"\n" for line in lines))
    lines[2] = {**lines[2], "type": "noise"}
    second = put(tmp_path, "b.jsonl", b"".join(dumps(line) + b"\n" for line in lines))
    ingest(store, [first], progress=False)
    ingest(store, [second], progress=False)

    again = [ingest(store, [path], progress=False).files[0].outcome for path in (first, second, first)]

    assert again == ["already there"] * 3


def test_an_infinite_number_where_otlp_has_an_integer() -> None:
    """A count, a time or a value of ``1e999`` in OTLP JSON is no integer, and no total is made of it."""
    said = '[{"key": "session.id", "value": {"stringValue": "s1"}}, {"key": "type", "value": {"stringValue": "input"}}]'
    for field in ("asInt", "asDouble", "timeUnixNano"):
        point = f'{{"timeUnixNano": "1700000000000000000", "attributes": {said}, "{field}": 1e999}}'
        metric = f'{{"name": "claude_code.token.usage", "sum": {{"dataPoints": [{point}]}}}}'
        data = f'{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{metric}]}}]}}]}}'.encode()

        [run] = otlp.read(Source.from_bytes(data, "metrics.json"))

        assert isinstance(run, Run)
        assert run.reported_usage is None
    span = dumps(otlp_span(0)).replace(b'"kind"', b'"kind": 1e999, "was"')
    data = b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + span + b"]}]}]}"
    assert any(isinstance(found, Run) for found in otlp.read(Source.from_bytes(data, "trace.json")))
