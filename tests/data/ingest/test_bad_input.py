"""Bad input through the whole ingest into a real database: one clear error or a reported line; nothing else is lost."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from histories import (
    DOCUMENTS,
    EVAL,
    KINDS,
    LINES,
    claude_line,
    counts,
    dumps,
    inspect_eval,
    inspect_sample,
    otlp,
    otlp_request,
    otlp_span,
    rows,
    tau_run,
    texts,
)

from workbench.data.ingest import ingest
from workbench.data.ingest.report import Counts, FileReport
from workbench.data.store.engine import Store
from workbench.data.store.storable import unpack
from workbench.errors import IngestError, UnknownFormatError

NUL, SURROGATE = "a\0b", "a\ud800b"


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read(store: Store, path: Path) -> FileReport:
    (report,) = ingest(store, path, progress=False).files
    return report


def raws(store: Store) -> list[bytes]:
    with store.raw() as connection:
        found = connection.execute(
            "SELECT raw FROM workbench.observability_events WHERE raw IS NOT NULL ORDER BY step_number"
        ).fetchall()
    return [unpack(raw) for (raw,) in found]


# -- every format: good, again, empty ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_ingest_changes_nothing(store: Store, tmp_path: Path, kind: str) -> None:
    """The same file read twice leaves every row as it was, row by row."""
    made = KINDS[kind]
    path = put(tmp_path, made.name, made.make())

    first = read(store, path)
    before = rows(store)
    second = read(store, path)

    assert (first.outcome, first.executions, first.events, first.bad) == ("new", made.n_runs, made.n_events, ())
    assert counts(store) == (made.n_runs, made.n_events)
    assert second.outcome == "already there"
    assert rows(store) == before


def test_an_empty_file_is_one_error(store: Store, tmp_path: Path) -> None:
    """An empty file, plain or gzipped, is said to be empty; nothing is stored."""
    for name, data in (("a.jsonl", b""), ("b.jsonl.gz", gzip.compress(b"")), ("c.json", b" \n\n")):
        with pytest.raises(IngestError, match=rf"{name}: empty"):
            ingest(store, put(tmp_path, name, data), progress=False)

    assert counts(store) == (0, 0)
    assert rows(store)["imports"] == []


def test_an_unknown_format_is_named_with_the_known_ones(store: Store, tmp_path: Path) -> None:
    """A named file that nobody reads is an error that lists what can be read; in a folder it is skipped."""
    path = put(tmp_path, "notes.txt", b"dear diary")
    put(tmp_path, "trace.jsonl", otlp())

    with pytest.raises(UnknownFormatError, match="tau-bench, tau2, claude-code, inspect, otlp"):
        ingest(store, path, progress=False)
    report = ingest(store, tmp_path, progress=False)

    assert [file.format for file in report.files] == ["otlp"]
    assert [(Path(s.path).name, "not agent history" in s.reason) for s in report.skipped] == [("notes.txt", True)]


def test_one_broken_file_does_not_stop_the_others(store: Store, tmp_path: Path) -> None:
    """Of several files, the broken one is reported as failed with its reason and the others are stored."""
    broken = put(tmp_path, "broken.json", KINDS["tau-bench"].make()[:-10])
    good = put(tmp_path, "good.jsonl", otlp())

    report = ingest(store, [broken, good], progress=False)

    assert [file.outcome for file in report.files] == ["failed", "new"]
    assert "cannot be read: cut off" in (report.files[0].error or "")
    assert counts(store) == (1, 4)
    assert not report.ok


# -- cut off -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LINES)
def test_a_cut_last_line_costs_only_itself(store: Store, tmp_path: Path, kind: str) -> None:
    """The line in which a file breaks off is reported with its number; the whole file, read later, completes it."""
    made = KINDS[kind]
    whole = made.make()
    path = put(tmp_path, made.name, whole[:-30])

    report = read(store, path)

    assert [(bad.line, bad.reason.partition(":")[0]) for bad in report.bad] == [(4, "cut off")]
    assert counts(store) == (1, 3)
    path.write_bytes(whole)
    again = read(store, path)
    assert (again.outcome, again.bad) == ("extended", ())
    assert counts(store) == (1, 4)


@pytest.mark.parametrize("kind", LINES)
def test_a_truncated_gzip_gives_its_complete_lines(store: Store, tmp_path: Path, kind: str) -> None:
    """Of a cut gzip stream every complete line is stored and the place of the cut is reported."""
    noise = os.urandom(30_000).hex()  # does not compress: a cut in the middle of the file is one of the text
    packed = gzip.compress(KINDS[kind].make(4, noise))
    path = put(tmp_path, KINDS[kind].name + ".gz", packed[: len(packed) * 5 // 8])

    report = read(store, path)

    assert [(bad.line, bad.reason) for bad in report.bad] == [(3, "the gzip stream is cut off or damaged from here")]
    assert counts(store) == (1, 2)
    path.write_bytes(packed)
    assert read(store, path).outcome == "extended"
    assert counts(store) == (1, 4)


@pytest.mark.parametrize("kind", LINES)
def test_a_damaged_gzip_gives_the_lines_before_the_damage(store: Store, tmp_path: Path, kind: str) -> None:
    """Of a gzip stream with flipped bits every line before them is stored and their place is reported."""
    packed = bytearray(gzip.compress(KINDS[kind].make(4, os.urandom(30_000).hex())))
    where = len(packed) * 5 // 8
    packed[where : where + 400] = bytes(byte ^ 0x55 for byte in packed[where : where + 400])

    report = read(store, put(tmp_path, KINDS[kind].name + ".gz", bytes(packed)))

    # Flipped bits may still decompress to something; the checksum tells in the end.
    assert report.bad[-1].reason == "the gzip stream is cut off or damaged from here"
    assert all(bad.line is not None and bad.line >= 3 for bad in report.bad)
    assert counts(store)[1] >= 2


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_cut_document_is_one_error(store: Store, tmp_path: Path, kind: str) -> None:
    """A JSON document that breaks off is one error that names file and place; the store stays as it was."""
    made = KINDS[kind]
    whole = made.make()
    for data in (whole[:-7], gzip.compress(os.urandom(50_000).hex().encode() + whole)[:20_000]):
        with pytest.raises(IngestError, match=r"cut off|not agent history"):
            ingest(store, put(tmp_path, made.name, data), progress=False)
    assert (counts(store), rows(store)["imports"], rows(store)["tasks"]) == ((0, 0), [], [])

    report = read(store, put(tmp_path, made.name, whole))

    assert report.outcome == "new"
    assert counts(store) == (made.n_runs, made.n_events)


def test_a_truncated_zip_gives_its_whole_samples(store: Store, tmp_path: Path) -> None:
    """Of a cut .eval file every whole sample is stored; the file, copied again, completes the log."""
    whole = inspect_eval(4)
    cut = whole[: whole.index(b"samples/3_epoch_1.json") + 40]
    path = put(tmp_path, "log.eval", cut)

    report = read(store, path)

    assert (report.executions, report.n_bad) == (3, 2)
    assert "cut off" in report.bad[0].reason
    assert report.bad[1].reason.startswith("samples/3_epoch_1.json")
    path.write_bytes(whole)
    again = read(store, path)
    assert (again.outcome, again.new.executions, again.n_bad) == ("new", 1, 0)
    assert counts(store)[0] == 4


# -- lines and elements that are something else ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LINES)
def test_scalars_as_lines_are_reported(store: Store, tmp_path: Path, kind: str) -> None:
    """Lines that hold a number, a text, null, a list or no JSON at all are reported; the others are stored."""
    good = KINDS[kind].make().splitlines()
    lines = [good[0], b"17", b'"text"', good[1], b"null", b"[1]", b"{{", *good[2:]]

    report = read(store, put(tmp_path, KINDS[kind].name, b"\n".join(lines)))

    assert [bad.line for bad in report.bad] == [2, 3, 5, 6, 7]
    assert [bad.reason for bad in report.bad[:4]] == [
        f"expected a JSON object, found {what}" for what in ("a number", "a string", "null", "a list")
    ]
    assert counts(store) == (1, 4)


def test_scalars_as_elements_are_reported(store: Store, tmp_path: Path) -> None:
    """Runs and samples that are no objects are reported by their place; the others are stored."""
    tau = put(tmp_path, "gpt-4o-airline.json", dumps([tau_run(0), 17, None, tau_run(1)]))
    log = {"version": 2, "status": "success", "eval": EVAL, "samples": [inspect_sample(0), "sample", [1]]}
    inspect = put(tmp_path, "log.json", dumps(log))

    first, second = ingest(store, [tau, inspect], progress=False).files

    assert [bad.reason.partition(":")[0] for bad in first.bad] == ["element 1", "element 2"]
    assert [bad.reason.partition(":")[0] for bad in second.bad] == ["sample 1", "sample 2"]
    assert counts(store)[0] == 3


# -- values that jsonb refuses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "stored"), [(NUL, "a␀b"), (SURROGATE, "a�b"), (float("nan"), "NaN")])
def test_what_jsonb_refuses_is_stored_otherwise(
    store: Store, tmp_path: Path, kind: str, value: Any, stored: str
) -> None:
    """NUL, a lone surrogate and NaN are replaced, the change is in the report, and the original is kept in raw."""
    made = KINDS[kind]
    n = 2
    path = put(tmp_path, made.name, made.make(n, value if isinstance(value, str) else {"x": value}))

    report = read(store, path)

    assert report.error is None
    assert report.bad == ()
    assert counts(store)[0] == made.n_runs
    assert any(stored in text for text in texts(store))
    assert report.changed
    kept = b"".join(raws(store))
    assert (b"NaN" if not isinstance(value, str) else b"\\u0000" if value == NUL else b"\\ud800") in kept
    assert read(store, path).outcome == "already there"


@pytest.mark.parametrize("kind", LINES)
def test_nul_bytes_and_bytes_that_are_no_text(store: Store, tmp_path: Path, kind: str) -> None:
    """A raw NUL byte inside a string, bytes that are not UTF-8 and a block of NULs cost at most their own line."""
    lines = KINDS[kind].make().splitlines()
    lines[1] = lines[1].replace(b"hello", b"a\0b")
    lines[2] = lines[2].replace(b"hello", b"a\xff\xfeb")
    lines.insert(3, b"\0" * 512)

    report = read(store, put(tmp_path, KINDS[kind].name, b"\n".join(lines)))

    assert [bad.line for bad in report.bad] == [4]
    assert counts(store) == (1, 4)
    assert sum("a␀b" in text for text in texts(store)) == 1
    assert [raw for raw in raws(store) if b"\xff\xfe" in raw]


@pytest.mark.parametrize("kind", ["claude-code", "otlp", "inspect-eval"])
def test_a_string_of_100_mb(store: Store, tmp_path: Path, kind: str) -> None:
    """A text of 100 MB is cut with a marker that says how long it was; the whole is kept in raw."""
    made = KINDS[kind]
    size = 100 * 1024 * 1024
    path = put(tmp_path, made.name, made.make(1, "x" * size))

    report = read(store, path)

    assert (report.error, report.bad) == (None, ())
    assert counts(store)[0] == 1
    long = max(texts(store), key=len)
    assert f"[cut: {size} characters]" in long
    assert len(long) < 4_000_000
    assert max(map(len, raws(store))) > size


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "inspect-eval"])  # compressed: the same JSON
def test_a_depth_of_20_000(store: Store, tmp_path: Path, kind: str) -> None:
    """A value nested 20,000 deep is kept as text from some depth on; everything else is stored as ever."""
    made = KINDS[kind]
    deep = b'{"d":' * 20_000 + b"1" + b"}" * 20_000
    path = put(tmp_path, made.name, made.make(2, "DEEP").replace(b'"DEEP"', deep))

    report = read(store, path)

    assert (report.error, report.bad) == (None, ())
    assert counts(store)[0] == made.n_runs
    assert any("deep nesting" in f"{item.what} {item.why}" for item in report.changed)
    assert any('{\\"d\\":' in text or '{\\\\\\"d' in text for text in texts(store))


# -- times -------------------------------------------------------------------------------------------------------------


def test_times_without_zone_and_unparsable_times(store: Store, tmp_path: Path) -> None:
    """A time without zone is taken as UTC, one that cannot be read is null; the line stays and the report says so."""
    lines = [
        claude_line(0, timestamp="2025-05-01T12:00:00"),
        claude_line(1, timestamp="yesterday"),
        claude_line(2, timestamp="2025-13-45T99:00:00Z"),
        claude_line(3, timestamp=10**30),
        claude_line(4, timestamp=["2025"]),
    ]

    report = read(store, put(tmp_path, "session.jsonl", b"\n".join(map(dumps, lines))))

    with store.raw() as connection:
        connection.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        stamps = connection.execute(
            "SELECT extract(epoch FROM timestamp)::bigint FROM workbench.observability_events ORDER BY step_number"
        ).fetchall()
    assert stamps == [(1746100800,), (None,), (None,), (None,), (None,)]
    assert {(item.count, "zone" in item.why) for item in report.changed if item.what == "time"} == {
        (1, True),
        (4, False),
    }


def test_span_times_that_are_none(store: Store, tmp_path: Path) -> None:
    """Spans without, with unreadable, with backward and with impossible times are all stored."""
    spans = [
        otlp_span(0, startTimeUnixNano="0"),
        otlp_span(1, startTimeUnixNano="soon"),
        otlp_span(2, endTimeUnixNano="1"),
        otlp_span(3, startTimeUnixNano=str(2**64 - 1), endTimeUnixNano=str(2**70)),
    ]

    report = read(store, put(tmp_path, "trace.jsonl", dumps(otlp_request(*spans))))

    assert (report.error, report.bad, counts(store)) == (None, (), (1, 4))


# -- the same thing twice ----------------------------------------------------------------------------------------------


def test_duplicate_ids_lose_nothing(store: Store, tmp_path: Path) -> None:
    """Lines, spans, events and runs that share an id are all stored, and reading them again changes nothing."""
    same = dumps(claude_line(1, "first")) + b"\n" + dumps(claude_line(1, "second")) + b"\n"
    spans = otlp_request(otlp_span(0, "first"), otlp_span(0, "second"), otlp_span(0, "third"))
    runs = [tau_run(0, "first"), tau_run(0, "second")]
    paths = [
        put(tmp_path, "session.jsonl", same),
        put(tmp_path, "trace.jsonl", dumps(spans)),
        put(tmp_path, "gpt-4o-airline.json", dumps(runs)),
    ]

    first = ingest(store, paths, progress=False)
    before = rows(store)
    second = ingest(store, paths, progress=False)

    assert first.ok
    found = " ".join(texts(store))
    assert [found.count(word) for word in ("first", "second", "third")] == [3, 3, 1]
    assert second.new.events == 0
    assert rows(store) == before


def test_late_spans_of_a_trace_complete_its_run(store: Store, tmp_path: Path) -> None:
    """Spans that come in another file join the same run, in the order of time, whichever file is read first."""
    usage = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "10"}},
    ]
    early = [otlp_span(0), otlp_span(2, attributes=usage, parentSpanId=f"{1:016x}")]
    late = [otlp_span(1, attributes=usage, parentSpanId=f"{1:016x}"), otlp_span(3, parentSpanId=f"{1:016x}")]
    a, b = put(tmp_path, "a.jsonl", dumps(otlp_request(*early))), put(tmp_path, "b.jsonl", dumps(otlp_request(*late)))
    whole = put(tmp_path, "c.jsonl", dumps(otlp_request(*early, *late)))

    one, two = read(store, a), read(store, b)
    again = ingest(store, [a, b], progress=False)

    assert (one.outcome, two.outcome) == ("new", "extended")
    assert again.new.events == 0
    with store.raw() as connection:
        events = connection.execute(
            "SELECT step_number, name FROM workbench.observability_events ORDER BY step_number"
        ).fetchall()
        run = connection.execute(
            "SELECT token_usage->>'input_tokens', name, execution_time_ms FROM workbench.agent_executions"
        ).fetchall()
    assert events == [(0, "span 0"), (1, "span 1"), (2, "span 2"), (3, "span 3")]
    assert run == [("20", "span 0", 4000.0)]
    assert read(store, whole).outcome == "already there"


def test_a_root_span_that_comes_last_names_and_judges_the_run(store: Store, tmp_path: Path) -> None:
    """Children are exported before their root: when it comes, in a later file, it gives the run its name and status."""
    child = otlp_span(1, parentSpanId=f"{1:016x}")
    root = otlp_span(0, name="order flow", status={"code": 2, "message": "gave up"})
    a, b = put(tmp_path, "a.jsonl", dumps(otlp_request(child))), put(tmp_path, "b.jsonl", dumps(otlp_request(root)))

    read(store, a)
    read(store, b)

    with store.raw() as connection:
        run = connection.execute(
            "SELECT name, status, error, metadata ? 'missing_parent_span_id' FROM workbench.agent_executions"
        ).fetchall()
    assert run == [("order flow", "failed", "gave up", False)]
    before = rows(store)
    ingest(store, [a, b], progress=False)
    assert rows(store) == before


def test_parts_of_a_trace_make_the_run_that_the_whole_makes(store: Store, tmp_path: Path) -> None:
    """However the spans are spread over files, and in whichever order they are read, the run is that of one file."""

    def attributes(**values: Any) -> list[dict[str, Any]]:
        value = {int: "intValue", str: "stringValue"}
        return [{"key": f"gen_ai.{k.replace('__', '.')}", "value": {value[type(v)]: str(v)}} for k, v in values.items()]

    root_id, agent_id = f"{1:016x}", f"{2:016x}"
    agent = attributes(operation__name="invoke_agent", agent__name="planner", usage__input_tokens=30)
    call = attributes(operation__name="chat", request__model="m", usage__input_tokens=15, completion="done")
    spans = [
        otlp_span(0),
        otlp_span(1, attributes=agent, parentSpanId=root_id),
        otlp_span(2, attributes=call, parentSpanId=agent_id),
        otlp_span(3, attributes=call, parentSpanId=agent_id),
        otlp_span(4, parentSpanId=root_id, status={"code": 2, "message": "gave up"}),
    ]
    columns = "name, agent_type, model, status, error, input, output, token_usage, started_at, completed_at, metadata"
    found = []
    for n, order in enumerate([[[0, 1, 2, 3, 4]], [[2, 3], [0, 1], [4]], [[1, 4], [2], [0], [3]]]):
        trace_id = f"{n + 1:032x}"
        for m, places in enumerate(order):
            part = dumps(otlp_request(*(spans[place] | {"traceId": trace_id} for place in places)))
            assert read(store, put(tmp_path, f"{n}-{m}.jsonl", part)).error is None
        with store.raw() as connection:
            run = connection.execute(
                f"SELECT {columns} FROM workbench.agent_executions WHERE trace_id = %s",  # type: ignore[arg-type]
                [trace_id],
            ).fetchone()
            events = connection.execute(
                "SELECT e.step_number, e.name, e.agent, e.data->'usage', s.is_derived "
                "FROM workbench.observability_events e LEFT JOIN workbench.execution_snapshots s "
                "USING (execution_id, step_number) WHERE e.trace_id = %s ORDER BY e.step_number",
                [trace_id],
            ).fetchall()
        found.append((run, events))

    assert found[1] == found[0]
    assert found[2] == found[0]
    (name, agent_type, model, status, error, *_), events = found[0]
    assert (name, agent_type, model, status, error) == ("span 0", "shop", "m", "failed", "gave up")
    assert [lane for _, _, lane, *_ in events] == ["shop", "planner", "planner", "planner", "shop"]
    assert [usage for *_, usage, _ in events] == [None, None, {"input_tokens": 15}, {"input_tokens": 15}, None]
    assert [derived for *_, derived in events] == [None, None, True, True, None]


# -- two at once -------------------------------------------------------------------------------------------------------

INGEST = """
import json, sys
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.settings import Settings

url, *paths = sys.argv[1:]
store = Store.open(Settings.load(database_url=url))
print("ready", flush=True)
sys.stdin.readline()
report = ingest(store, paths, progress=False)
print(json.dumps({"new": report.new.events, "ok": report.ok}))
store.close()
"""


@pytest.mark.parametrize("order", ["same", "opposite"])
def test_two_ingests_at_once_write_everything_once(store: Store, database_url: str, tmp_path: Path, order: str) -> None:
    """Two processes that read the same files at the same moment, in any order, leave each row once."""
    made = {"claude-code": (1_500, "x" * 300), "otlp": (1_500, "x" * 300), "tau-bench": (300,), "inspect-eval": (300,)}
    paths = [put(tmp_path, KINDS[kind].name, KINDS[kind].make(*how)) for kind, how in made.items()]
    orders = [paths, paths if order == "same" else paths[::-1]]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", INGEST, database_url, *map(str, these)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for these in orders
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outcomes
    said = [json.loads(out) for out, _ in outcomes]
    assert all(item["ok"] for item in said)
    n_events = 1_500 + 1_500 + 600 + 600
    assert sum(item["new"] for item in said) == n_events
    assert counts(store)[1] == n_events
    before = rows(store)
    assert ingest(store, paths, progress=False).new == Counts()
    assert rows(store) == before
