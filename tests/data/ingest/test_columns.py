"""Tables whose columns the user names: CSV and its kin, JSON lines, Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from histories import counts
from histories import rows as stored
from mutations import mutations

from workbench.data.ingest import FIELDS, ingest
from workbench.data.ingest.formats import columns as reader
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.columns import checked
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.retry import retry
from workbench.data.ingest.writing.fidelity import class_of
from workbench.data.ingest.writing.rows import RowMaker
from workbench.data.store.engine import Store
from workbench.errors import ConfigurationError, IngestError

NAMED = {
    "run": "session", "time": "ts", "role": "who", "text": "said", "tool": "tool", "arguments": "args", "result": "out",
    "error": "err", "model": "model", "input_tokens": "in", "output_tokens": "out_tok", "cost_usd": "cost",
    "task": "task", "score": "score", "status": "state", "parent": "above", "duration_ms": "ms",
}  # fmt: skip
HEADER = [*NAMED.values(), "note"]
NOON = "2025-05-01T12:00:00Z"


def row(**cells: Any) -> dict[str, Any]:
    return {name: cells.get(name, "") for name in HEADER}


TALK = [
    row(session="a", ts=NOON, who="user", said="List.", note="n1"),
    row(session="a", ts="2025-05-01T12:00:01Z", who="gpt", said="I look.", tool="bash", args='{"command": "ls"}',
        model="m", **{"in": 10}, out_tok=2, cost="0.5", ms=1.5),
    row(session="a", ts="2025-05-01T12:00:02Z", who="tool", tool="bash", out="a.py", task="t1", score=1,
        state="success"),
    row(session="b", ts="2025-05-01T12:00:03Z", who="assistant", said="Hi.", err="boom", state="error", above="a"),
]  # fmt: skip


def as_csv(*rows: dict[str, Any], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps({k: v for k, v in row.items() if v != ""}).encode() + b"\n" for row in rows)


def as_parquet(*rows: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame([{k: None if v == "" else str(v) for k, v in row.items()} for row in rows]).write_parquet(out)
    return out.getvalue()


def read(
    content: bytes, name: str = "log.csv", columns: dict[str, str] | None = None
) -> tuple[dict[str, Run], list[BadLine], Source]:
    source = Source.from_bytes(content, name)
    source.columns = checked(NAMED if columns is None else columns)
    items = list(reader.read(source))
    runs = {str(item.metadata.get("run")): item for item in items if isinstance(item, Run)}
    return runs, [item for item in items if isinstance(item, BadLine)], source


def notes(source: Source) -> dict[str, str]:
    return {note.what: note.why for note in source.notes if note.kind == "changed"}


FILES: dict[str, Callable[..., bytes]] = {
    "log.csv": as_csv,
    "log.tsv": lambda *rows: as_csv(*rows, delimiter="\t"),
    "log.txt": lambda *rows: as_csv(*rows, delimiter=";"),
    "log.csv.gz": lambda *rows: gzip.compress(as_csv(*rows)),
    "marked.csv": lambda *rows: b"\xef\xbb\xbf" + as_csv(*rows),
    "wide.csv": lambda *rows: b"\xff\xfe" + as_csv(*rows).decode().encode("utf-16-le"),
    "log.jsonl": as_lines,
    "log.json": lambda *rows: json.dumps([{k: v for k, v in row.items() if v != ""} for row in rows]).encode(),
    "log.parquet": as_parquet,
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_table(name: str) -> None:
    """Whatever file the rows are in, they make the same runs and steps."""
    runs, bad, _ = read(FILES[name](*TALK), name)

    a, b = runs["a"], runs["b"]
    assert bad == []
    assert [step.event_type for step in a.steps] == ["message", "tool_call", "tool_result"]
    assert [step.role for step in a.steps] == ["user", "assistant", "tool"]
    assert a.steps[0].extra == {"note": "n1"}
    assert a.steps[1].tool == {"name": "bash", "arguments": {"command": "ls"}}
    assert a.steps[1].extra == {"who": "gpt"}
    assert a.steps[2].tool == {"name": "bash", "result": "a.py"}
    assert (a.usage, a.cost_usd, a.model, a.score, a.status) == (Usage(10, None, None, 2), 0.5, "m", 1.0, "completed")
    assert (a.steps[1].duration_ms, a.started_at) == (1.5, datetime(2025, 5, 1, 12, tzinfo=UTC))
    assert a.task is not None
    assert a.task.source_id == "t1"
    assert (b.status, b.error, b.parent_source_id) == ("failed", "boom", a.source_id)
    assert b.steps[0].severity == "error"


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_ids_do_not_depend_on_the_file(name: str) -> None:
    """Runs and rows have the same ids in any order of rows and columns, and in a file with more of them."""
    runs, _, _ = read(FILES[name](*TALK), name)
    turned = [dict(reversed(row.items())) for row in reversed(TALK)]
    others, _, _ = read(FILES[name](*turned, row(session="c", said="new")), "other-" + name)

    assert [step.source_id for step in others["a"].steps] == [step.source_id for step in runs["a"].steps]
    assert [others[key].source_id for key in "ab"] == [runs[key].source_id for key in "ab"]


def test_rows_are_put_into_the_order_of_time() -> None:
    """Rows are sorted by time; equal times keep their order, and a row without one follows the one before."""
    said = [("late", "2025-05-01T12:00:09Z"), ("after late", ""), ("early", NOON), ("also early", NOON)]
    runs, _, source = read(as_csv(*(row(session="a", said=text, ts=ts) for text, ts in said)))

    assert [step.text for step in runs["a"].steps] == ["early", "also early", "late", "after late"]
    assert "order" in notes(source)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2025-05-01T12:00:00Z", "2025-05-01T12:00:00+00:00"),
        ("2025-05-01 14:00:00+02:00", "2025-05-01T12:00:00+00:00"),
        ("2025-05-01 14:00:00 +0200", "2025-05-01T12:00:00+00:00"),
        ("2025-05-01 12:00:00 UTC", "2025-05-01T12:00:00+00:00"),
        ("2025-05-01 12:00:00", "2025-05-01T12:00:00+00:00"),
        ("1746100800", "2025-05-01T12:00:00+00:00"),
        ("1746100800.25", "2025-05-01T12:00:00.250000+00:00"),
        ("1746100800250", "2025-05-01T12:00:00.250000+00:00"),
        ("1746100800250001", "2025-05-01T12:00:00.250001+00:00"),
        ("1746100800250001999", "2025-05-01T12:00:00.250001+00:00"),
        ("20250501", "2025-05-01T00:00:00+00:00"),
    ],
)
def test_times(cell: str, moment: str) -> None:
    """ISO with a zone or none, and numbers whose size tells their unit; what was assumed is in the report."""
    runs, _, source = read(as_csv(row(session="a", ts=cell)))

    found = runs["a"].steps[0].timestamp
    assert found is not None
    assert found.isoformat() == moment
    if cell == "2025-05-01 12:00:00":
        assert notes(source)["time"] == "has no zone in the source: taken as UTC"
    if cell.replace(".", "").isdigit() and len(cell) > 8:
        assert any("since 1970, told by their size" in note.why for note in source.notes)


def test_a_format_of_times() -> None:
    """A format of one's own is used, and what is not in it is noted with its line."""
    content = as_csv(row(session="a", ts="01/05/2025 12:00"), row(session="a", ts=NOON))
    runs, _, source = read(content, columns={**NAMED, "time_format": "%d/%m/%Y %H:%M"})

    first, second = runs["a"].steps
    assert first.timestamp == datetime(2025, 5, 1, 12, tzinfo=UTC)
    assert (second.timestamp, second.extra) == (None, {"ts": NOON})
    assert "(line 3)" in notes(source)["time (ts)"]


def test_a_wrong_cell_costs_only_itself() -> None:
    """A cell that is not what its column should hold is kept in extra and named by its line; the row stays."""
    wrong = row(session="a", ts="soon", said="x", out_tok="-1", cost="free", ms="nan", score="great", state="odd")
    wrong["in"] = "ten"
    runs, bad, source = read(as_csv(*[wrong] * 8))

    run = runs["a"]
    assert bad == []
    assert len(run.steps) == 8
    assert len({step.source_id for step in run.steps}) == 8
    assert run.steps[0].extra == {"ts": "soon", "in": "ten", "out_tok": "-1", "cost": "free", "ms": "nan"}
    assert (run.usage, run.cost_usd, run.score, run.status) == (None, None, None, "completed")
    assert run.metadata == {"run": "a", "score": "great", "status": "odd"}
    fields = {"time (ts)", "input_tokens (in)", "output_tokens (out_tok)", "cost_usd (cost)", "duration_ms (ms)"}
    assert notes(source).keys() == fields | {"score", "state"}
    assert notes(source)["input_tokens (in)"].endswith("(lines 2, 3, 4, 5, 6 and 3 more)")
    assert {class_of(name) for name in fields} == {"times", "tokens", "cost"}


def test_numbers_as_text() -> None:
    """Whole numbers may be written as floats, and prices with a dollar sign."""
    cells = row(session="a", cost="$0.25", out_tok=" 7 ")
    cells["in"] = "12.0"
    runs, _, _ = read(as_csv(cells))

    assert (runs["a"].usage, runs["a"].cost_usd) == (Usage(12, None, None, 7), 0.25)


def test_a_price_that_is_missing_leaves_the_run_unpriced() -> None:
    """Where one of the rows that used tokens has no cost, the run's is unknown, and that is said."""
    runs, _, source = read(as_csv(row(session="a", cost="1", out_tok=1), row(session="a", out_tok=1)))

    assert runs["a"].cost_usd is None
    assert "not taken for the run's" in notes(source)["cost"]


def test_nested_columns() -> None:
    """A dotted path leads into objects and lists; what lies beside it stays in extra."""
    record = {
        "meta": {"session": "a", "tags": ["x"]},
        "message": {"content": [{"type": "text", "text": "hi"}], "author": {"name": "gpt"}},
        "a.b": 7,
    }
    named = {"run": "meta.session", "text": "message.content.0.text", "role": "message.author.name", "id": "a.b"}
    runs, _, _ = read(as_lines(record, {"meta": {"session": "a"}}), "log.jsonl", named)

    first, second = runs["a"].steps
    assert (first.text, first.role, first.source_id) == ("hi", "assistant", "7")
    assert first.extra == {
        "meta": {"tags": ["x"]},
        "message": {"content": [{"type": "text", "text": "hi"}]},
        "message.author.name": "gpt",
    }
    assert (second.text, second.extra) == (None, None)


def test_nested_columns_of_parquet() -> None:
    """Structs, times and bytes of Parquet are read, and what is not named stays as JSON has it."""
    frame = pl.DataFrame(
        {
            "run": [1, None], "at": [datetime(2025, 5, 1, 12), None], "m": [{"role": "user", "text": "hi"}] * 2,
            "raw": [b"\xff", None], "n": [1.5, float("nan")], "seen": [[datetime(2025, 5, 1)], None],
        }
    )  # fmt: skip
    out = io.BytesIO()
    frame.write_parquet(out)
    runs, _, _ = read(out.getvalue(), "log.parquet", {"run": "run", "time": "at", "role": "m.role", "text": "m.text"})

    assert runs.keys() == {"1", "None"}
    [step] = runs["1"].steps
    assert (step.role, step.text, step.timestamp) == ("user", "hi", datetime(2025, 5, 1, 12, tzinfo=UTC))
    assert step.extra == {"raw": "\\xff", "n": 1.5, "seen": ["2025-05-01T00:00:00"]}


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"txt": "said"}, r"There is no field 'txt'\. Did you mean 'text'\? Fields: run, id, time, .*status\. Options"),
        ({"text": 7}, r"columns\['text'\] is 7"),
        ({}, "No column is named"),
        ({"time_format": "%d"}, "No column is named"),
        ({"text": "said", "delimiter": "||"}, "one character"),
    ],
)
def test_a_wrong_mapping_is_an_error(columns: dict[str, Any], said: str, store: Store, tmp_path: Path) -> None:
    """A field that there is not is named with the nearest and all there are, before anything is read."""
    path = tmp_path / "log.csv"
    path.write_bytes(as_csv(*TALK))

    with pytest.raises(ConfigurationError, match=said):
        ingest(store, path, columns=columns, progress=False)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_a_column_that_is_not_there_is_an_error(name: str) -> None:
    """The text names the nearest column and all there are."""
    with pytest.raises(
        IngestError, match=r"no column 'Sayd' \(named for 'text'\)\. Did you mean 'said'\? Columns: .*note"
    ):
        read(FILES[name](*TALK), name, {"text": "Sayd"})


def test_a_column_may_come_late_in_json() -> None:
    """A field that only a later line has is a column of the file."""
    records = [{"run": "a", "n": n} for n in range(2_000)] + [{"run": "a", "text": "at last"}]

    runs, _, _ = read(
        b"".join(json.dumps(r).encode() + b"\n" for r in records), "x.jsonl", {"run": "run", "text": "text"}
    )

    assert runs["a"].steps[-1].text == "at last"


def test_a_table_without_named_columns_says_what_to_do(store: Store, tmp_path: Path) -> None:
    """Given alone it is an error that tells how; asked for by format, one that lists the columns."""
    path = tmp_path / "log.csv"
    path.write_bytes(as_csv(*TALK))

    with pytest.raises(IngestError, match=r"a table: name its columns, ingest\(path, columns="):
        ingest(store, path, progress=False)
    with pytest.raises(IngestError, match=r"Columns: session, ts, who, .*, note\. Fields: run, id"):
        ingest(store, path, format="columns", progress=False)
    with pytest.raises(ConfigurationError, match="format='otlp' needs none"):
        ingest(store, path, format="otlp", columns=NAMED, progress=False)


def test_ragged_rows_are_bad_lines() -> None:
    """A row with more or fewer cells than the header is named by its line; the others are read."""
    lines = as_csv(*TALK).splitlines(keepends=True)
    content = b"".join([lines[0], b"a,b\r\n", lines[1], b"\r\n", lines[2][:-2] + b",more\r\n", *lines[3:]])

    runs, bad, _ = read(content)

    assert [(item.line, item.reason) for item in bad] == [
        (2, "2 cells where the header has 18"), (5, "19 cells where the header has 18"),
    ]  # fmt: skip
    assert [len(run.steps) for run in runs.values()] == [2, 1]


def test_a_quote_that_is_not_closed_costs_its_own_line() -> None:
    """The lines behind it are read; a cell may hold lines, blank ones and quotes among them."""
    good = row(session="a", said='one\n\n"three"', note="x")
    content = as_csv(good, row(session="a", said="BROKEN"), *TALK).replace(b"BROKEN", b'"broken')

    runs, bad, _ = read(content)

    assert [(item.line, "quote" in item.reason) for item in bad] == [(5, True)]
    assert runs["a"].steps[0].text == 'one\n\n"three"'
    assert [len(run.steps) for run in runs.values()] == [4, 1]


def test_bytes_that_are_no_text_are_kept() -> None:
    """They are replaced in the cell, and the row's own bytes are kept in raw."""
    runs, bad, source = read(as_csv(row(session="a", said="caf?")).replace(b"?", b"\xe9"))

    [step] = runs["a"].steps
    assert bad == []
    assert step.text == "caf\ufffd"
    assert b"caf\xe9" in (step.raw or b"")
    assert "text" in notes(source)


def test_names_of_columns_are_told_apart() -> None:
    """A header that repeats a name or leaves one out still names each column; nothing is lost."""
    runs, _, _ = read(b"text,text,,x\nhi,there,you,1\n", columns={"text": "text"})

    [step] = runs["None"].steps
    assert (step.text, step.extra) == ("hi", {"text#2": "there", "column 3": "you", "x": "1"})


@pytest.mark.parametrize("content", [b"", b"\n\n", b'"'])
def test_a_file_without_a_header(content: bytes) -> None:
    """Nothing to name columns by is one readable error."""
    with pytest.raises(IngestError, match=r"has no column 'said'|header"):
        read(content, columns={"text": "said"})


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet", "log.csv.gz"])
def test_spoilt_files(name: str) -> None:
    """Whatever is wrong in a file, only a readable error is raised, and every bad line says why."""
    content = FILES[name](*TALK, row(session="a", said='a\n"b"'))
    survived = 0
    spoilt = mutations(content, n=300) if name == "log.jsonl" else _spoilt(content, 300)
    for data in spoilt:
        source = Source.from_bytes(data, name)
        source.columns = checked(NAMED)
        try:
            items = list(reader.read(source))
        except IngestError:
            continue
        maker = RowMaker(reader.FORMAT, source, None)
        for item in items:
            if isinstance(item, Run):
                assert maker.execution(item)
                assert len(list(maker.events(item))) == len(item.steps)
                survived += 1
            else:
                assert item.reason

    assert survived > 50


def _spoilt(content: bytes, n: int) -> list[bytes]:
    """Bits flipped and pieces cut out, always the same ones."""
    dice, out = random.Random(7), []
    for _ in range(n):
        data = bytearray(content)
        at = dice.randrange(len(data))
        if dice.random() < 0.5:
            data[at] ^= 1 << dice.randrange(8)
        else:
            del data[at : at + dice.randrange(20)]
        out.append(bytes(data))
    return out


# -- in the store ------------------------------------------------------------------------------------------------------


def test_a_grown_table_adds_only_what_is_new(store: Store, tmp_path: Path) -> None:
    """Read again it adds nothing; grown, its new rows; with a column named better, the same rows are corrected."""
    path = tmp_path / "log.csv"
    path.write_bytes(as_csv(*TALK))
    named = {field: NAMED[field] for field in NAMED if field != "text"}

    outcomes = [ingest(store, path, columns=named, progress=False).files[0] for _ in range(2)]
    path.write_bytes(as_csv(*TALK, row(session="b", ts="2025-05-01T12:00:04Z", said="More."), row(session="c")))
    outcomes.append(ingest(store, path, columns=named, progress=False).files[0])
    outcomes.append(ingest(store, path, columns=NAMED, progress=False).files[0])
    before = stored(store)
    outcomes.append(ingest(store, path, columns=NAMED, progress=False).files[0])

    assert [(each.outcome, each.new.events) for each in outcomes] == [
        ("new", 4), ("already there", 0), ("new", 2), ("extended", 0), ("already there", 0),
    ]  # fmt: skip
    assert counts(store) == (3, 6)
    assert stored(store) == before
    with store.raw() as connection:
        linked = connection.execute(
            "SELECT child.source_id, parent.source_id FROM workbench.agent_executions child "
            "JOIN workbench.agent_executions parent ON parent.id = child.parent_execution_id"
        ).fetchall()
        texts = connection.execute(
            "SELECT count(*) FROM workbench.observability_events WHERE data->>'text' = 'More.'"
        ).fetchall()
    assert linked == [("session=b", "session=a")]
    assert texts == [(1,)]


def test_a_table_is_read_again_by_the_columns_that_were_named(store: Store, tmp_path: Path) -> None:
    """A retry of its bad rows needs no mapping: that of the import is kept."""
    path = tmp_path / "log.csv"
    path.write_bytes(as_csv(*TALK) + b"ragged,row\r\n")
    ingest(store, path, columns=NAMED, progress=False)
    before = stored(store)

    [file] = retry(store).files

    assert (file.error, file.events, file.new.events, file.n_bad) == (None, 4, 0, 1)
    assert stored(store) == before


def test_a_long_table_hands_on_each_run_when_it_is_whole() -> None:
    """Of a file too long to hold, a run comes when its last row was read, not at the end, and with the same steps."""
    rows = [row(session=f"s{n // 10}", said=f"row {n}", ts=NOON) for n in range(200)] + [row(session="s0", said="late")]
    padding = [row(session="pad", said="x" * 200_000) for _ in range(170)]
    short, _, _ = read(as_csv(*rows))

    source = Source.from_bytes(as_csv(*rows, *padding), "log.csv")
    source.columns = checked(NAMED)
    items = [item for item in reader.read(source) if isinstance(item, Run)]

    assert [run.metadata["run"] for run in items] == [*(f"s{n}" for n in range(1, 20)), "s0", "pad"]
    assert all(run.steps == short[run.metadata["run"]].steps for run in items[:-1])
    assert len(items[-1].steps) == 170


def test_a_folder_of_tables(store: Store, tmp_path: Path) -> None:
    """Tables in a folder are read, what is none by its name is passed over, one without the columns has failed."""
    (tmp_path / "a.csv").write_bytes(as_csv(*TALK))
    (tmp_path / "b.csv").write_bytes(b"x,y\n1,2\n")
    (tmp_path / "notes.md").write_bytes(b"# notes")

    report = ingest(store, tmp_path, columns=NAMED, progress=False)

    assert [(Path(file.path).name, file.outcome) for file in report.files] == [("a.csv", "new"), ("b.csv", "failed")]
    assert [Path(skipped.path).name for skipped in report.skipped] == ["notes.md"]


def test_every_field_is_read() -> None:
    """Each documented field changes what is read of a row that has it."""
    plain = {name: f"{n}" for n, name in enumerate(FIELDS, 1)} | {"time": NOON, "role": "user", "event_type": "state"}
    content = json.dumps(plain).encode() + b"\n"

    for field, meaning in FIELDS.items():
        source = Source.from_bytes(content, "x.jsonl")
        source.columns = checked({field: field})
        [run] = reader.read(source)
        assert isinstance(run, Run)
        assert field not in (run.steps[0].extra or {}), field
        assert len(run.steps[0].extra or {}) == len(plain) - 1
        assert meaning
