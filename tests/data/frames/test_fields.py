"""JSON paths as columns, extracted in SQL."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_series_equal

from workbench.data.frames.fields import Field, decode
from workbench.errors import ConfigurationError


def of(bench, run, **fields):
    return bench.events(run, columns=["step_number"], fields=fields)


def test_values_tell_the_dtype(bench, history):
    """Whole numbers, numbers, booleans and text each get theirs; what is of several kinds is text."""
    found = of(
        bench, history.runs[6],
        tokens="data.usage.input_tokens", share="data.share", flag="data.flag", text="data.text",
        tool="data.tool_calls.0.name", last="data.tool_calls.-1.name", usage="data.usage", mixed="data.mixed",
    )  # fmt: skip

    assert dict(found.schema) == {
        "step_number": pl.Int64, "tokens": pl.Int64, "share": pl.Float64, "flag": pl.Boolean, "text": pl.String,
        "tool": pl.String, "last": pl.String, "usage": pl.String, "mixed": pl.String,
    }  # fmt: skip
    assert found["tokens"].to_list() == [0, 100, 200, 300, 400, 500]
    assert found["flag"].to_list() == [True, False] * 3
    assert found["text"][3] == "é\t\\ 3"
    assert found["tool"].to_list() == found["last"].to_list() == [f"tool {n}" for n in range(6)]
    assert found["mixed"].to_list() == ["0", "s1", None, '{"k": 3}', "4", "s5"]


def test_a_dtype_can_be_asked_for(bench, history):
    """Then the column has it, also where nothing was found."""
    found = of(
        bench, history.runs[6],
        tokens=("data.usage.input_tokens", pl.Float32), text=("data.usage.input_tokens", pl.String),
        flag=("data.flag", pl.Boolean), nothing=("data.nowhere", pl.Int16),
    )  # fmt: skip

    assert found.dtypes == [pl.Int64, pl.Float32, pl.String, pl.Boolean, pl.Int16]
    assert found["text"].to_list()[:2] == ["0", "100"]
    assert found["flag"].to_list()[:2] == [True, False]
    assert found["nothing"].null_count() == 6


def test_a_value_that_is_not_of_the_dtype_is_an_error(bench, history):
    """Silence would be a wrong sum."""
    with pytest.raises(ConfigurationError, match=r"fields\['text'\].*Leave the dtype out"):
        of(bench, history.runs[6], text=("data.text", pl.Int64))
    with pytest.raises(ConfigurationError, match=r"fields\['text'\]"):
        of(bench, history.runs[6], text=("data.text", pl.Boolean))


def test_a_path_that_leads_nowhere_is_null(bench, history):
    """As a missing key is."""
    assert of(bench, history.runs[6], x="data.nowhere.at.all")["x"].null_count() == 6


def test_a_key_with_dots_stands_in_quotes(bench, history):
    """OpenTelemetry's attribute names have dots."""
    runs = bench.executions(columns=["name"], fields={"value": 'metadata.deep."a.b"', "trial": "metadata.trial"})

    assert runs.filter(name="run 7")["value"].to_list() == ["v7"]
    assert runs["trial"].dtype == pl.Int64


@pytest.mark.parametrize("path", ["data", "data.", "date.x", ".x", "data..x", 'data."x', "", "data.x\0"])
def test_what_is_no_path_is_refused(bench, path):
    """The error says what a path looks like and which columns hold JSON."""
    with pytest.raises(ConfigurationError, match=r"fields\['x'\].*is no path\. Write a JSON column \(data\)"):
        of(bench, None, x=path)


def test_a_path_is_data_not_sql(bench, history):
    """Quotes in a path find nothing and break nothing."""
    assert of(bench, history.runs[6], x="data.x'}'; DROP TABLE tasks; --")["x"].null_count() == 6
    assert bench.tasks().height == 3


def test_states_have_paths_too(bench, history):
    """Taken from the rebuilt state, not from the patch."""
    found = bench.snapshots(history.recorded, columns=["step_number"], fields={"n": "state.n", "third": "state.seen.2"})

    assert found.columns == ["step_number", "n", "third"]
    assert found["n"].to_list() == list(range(40))
    assert found["third"].to_list() == [None, None, None] + [2] * 37


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        (["1", "-2", None], pl.Series("x", [1, -2, None], dtype=pl.Int64)),
        (["1", "2.5e3"], pl.Series("x", [1.0, 2500.0])),
        (["1", "18446744073709551616"], pl.Series("x", [1.0, 18446744073709551616.0])),
        (["true", "null"], pl.Series("x", [True, None])),
        (["null", None], pl.Series("x", [None, None], dtype=pl.String)),
        ([], pl.Series("x", [], dtype=pl.String)),
        (['"a\\n\\u00e9"', "7"], pl.Series("x", ["a\né", "7"])),
        (['"null"', "null"], pl.Series("x", ["null", None])),
        (["[1, 2]", None], pl.Series("x", ["[1, 2]", None])),
    ],
)
def test_json_text_becomes_values(json, expected):
    """Every kind of value, and integers beyond 64 bits, which become floats instead of nulls."""
    found = decode(pl.DataFrame({"x": pl.Series(json, dtype=pl.String)}), Field("x", "data.x", None))

    assert_series_equal(found, expected)


@pytest.mark.parametrize("columns", [None, ["id"]])
def test_a_field_has_a_name_of_its_own(bench, columns):
    """A field named as a column is refused before anything is read, with the names that are taken."""
    with pytest.raises(
        ConfigurationError, match=r"executions has a column 'status' already.*like 'my_status'; the columns are: id"
    ):
        bench.executions(fields={"status": "metadata.status"}, columns=columns)
    with pytest.raises(ConfigurationError, match="has a column 'name' already"):
        bench.scan("events", fields={"name": ("data.name", pl.String)})


def test_columns_may_be_one_name_or_repeat_one(bench, history):
    """A name is a list of one; a column comes once."""
    assert bench.tasks(columns="title").columns == ["title"]
    assert bench.tasks(columns=["title", "id", "title"]).columns == ["title", "id"]
