"""What a record may hold, said field by field. No database is needed for that."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workbench.data.store import records, tables
from workbench.data.store.records import (
    NewEnvironment,
    NewEvent,
    NewExecution,
    NewSnapshot,
    NewTask,
    validated,
)
from workbench.errors import InvalidRecordError

RUN = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("kind", "values", "field", "said"),
    [
        (NewTask, {}, "title", "Field required"),
        (NewTask, {"title": ""}, "title", "at least 1 character"),
        (NewTask, {"title": "x" * 256}, "title", "at most 255"),
        (NewTask, {"title": "a", "priority": "hgih"}, "priority", r"'high' or 'urgent' \(got 'hgih'\)"),
        (NewTask, {"title": "a", "titel": "b"}, "titel", "no such field; there are title, description"),
        (NewEnvironment, {"name": "a", "schema_version": 0}, "schema_version", r"greater than or equal to 1 \(got 0\)"),
        (NewExecution, {"agent_type": "a", "cost": -1}, "cost", r"greater than or equal to 0 \(got -1\)"),
        (NewExecution, {"agent_type": "a", "score": float("nan")}, "score", "finite number"),
        (NewExecution, {"agent_type": "a", "token_usage": {"input_tokens": -1}}, "token_usage.input_tokens", "got -1"),
        (NewExecution, {"agent_type": "a", "task_id": "7"}, "task_id", r"valid UUID.*got '7'"),
        (NewEvent, {"execution_id": RUN, "step_number": -1, "event_type": "log"}, "step_number", "got -1"),
        (NewEvent, {"execution_id": RUN, "step_number": 2**31, "event_type": "log"}, "step_number", "2147483647"),
        (NewSnapshot, {"execution_id": RUN, "step_number": 0, "state": {1, 2}}, "state", "not a JSON type"),
        (NewSnapshot, {"execution_id": RUN, "step_number": 0, "state": [float("inf")]}, "state", "NaN or infinity"),
    ],
)  # fmt: skip
def test_a_wrong_field_says_what_is_allowed(kind, values, field, said):
    """The error names the field, the value and what would do."""
    with pytest.raises(InvalidRecordError, match=said) as caught:
        validated(kind, values)

    assert set(caught.value.fields) == {field}


def test_a_time_without_zone_is_refused_with_the_remedy():
    """A naive time would be taken for the server's zone: one has to say which is meant."""
    with pytest.raises(InvalidRecordError, match=r"timezone\.utc") as caught:
        validated(NewExecution, {"agent_type": "a", "started_at": datetime(2026, 11, 21)})

    assert set(caught.value.fields) == {"started_at"}


def test_a_long_value_is_shown_short():
    """An error about a megabyte does not hold a megabyte."""
    with pytest.raises(InvalidRecordError) as caught:
        validated(NewTask, {"title": "a", "status": "x" * 1_000_000})

    assert len(str(caught.value)) < 500


def test_records_are_frozen():
    """Changing a record is an error; an update gives a new one."""
    task = NewTask(title="a")

    with pytest.raises(ValidationError, match="frozen"):
        task.title = "b"


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_any_zone_is_kept_as_the_same_moment(moment):
    """The moment counts, not the zone it was written in."""
    made = validated(NewEvent, {"execution_id": RUN, "step_number": 0, "event_type": "log", "timestamp": moment})

    assert made.timestamp == moment


@pytest.mark.parametrize(
    ("literal", "allowed"),
    [
        (records.TaskStatus, tables.TASK_STATUSES),
        (records.Priority, tables.PRIORITIES),
        (records.ExecutionStatus, tables.EXECUTION_STATUSES),
        (records.Severity, tables.SEVERITIES),
    ],
)
def test_records_and_tables_allow_the_same(literal, allowed):
    """What a record accepts, the check constraint of its column accepts, and the other way round."""
    assert literal.__args__ == allowed


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (records.Task, tables.tasks),
        (records.Environment, tables.environments),
        (records.Execution, tables.agent_executions),
        (records.Event, tables.observability_events),
        (records.Snapshot, tables.execution_snapshots),
    ],
)
def test_every_field_is_a_column(kind, table):
    """A record has no field that its table lacks."""
    assert set(kind.model_fields) <= set(table.columns.keys())
