"""The one bulk writer: values as they are, and rows that are there already."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data.store.copy import copy_rows
from workbench.data.store.storable import storable
from workbench.data.store.tables import tasks
from workbench.errors import ConflictError, QueryError

COLUMNS = ("id", "title", "description", "metadata", "created_at")
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def row(number: int, title: str = "t", **metadata):
    return (uuid.UUID(int=number), title, None, storable(metadata).text, NOON)


def stored(store):
    with store.raw() as connection:
        return connection.execute(
            "SELECT id, title, description, metadata, created_at, row_version FROM tasks ORDER BY id"
        ).fetchall()


def test_values_arrive_as_they_were(store):
    """Types, nulls, microseconds and JSON survive; columns left out take their defaults."""
    with store.raw() as connection:
        n = copy_rows(connection, tasks, COLUMNS, [row(1, "a\tb\\N\nc", x=[1, None, "é\\n"]), row(2)])

    assert n == 2
    assert stored(store)[0] == (uuid.UUID(int=1), "a\tb\\N\nc", None, {"x": [1, None, "é\\n"]}, NOON, 1)


text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=60)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(title=text, json=st.recursive(text | st.integers(-(2**53), 2**53) | st.none(), st.lists, max_leaves=5))
def test_any_text_and_json_round_trip(store, title, json):
    """Whatever COPY's text form must escape comes back unchanged."""
    with store.raw() as connection:
        connection.execute("TRUNCATE tasks CASCADE")
        copy_rows(connection, tasks, COLUMNS, [row(1, title, value=json)])

    [found] = stored(store)
    assert (found[1], found[3]) == (title, {"value": json})


def test_a_row_that_is_there_is_an_error_unless_told_otherwise(store):
    """Without a rule for conflicts a repeated id is refused and nothing is written."""
    with store.raw() as connection:
        copy_rows(connection, tasks, COLUMNS, [row(1)])

    with pytest.raises(ConflictError, match="pk_tasks"), store.raw() as connection:
        copy_rows(connection, tasks, COLUMNS, [row(2), row(1)])

    assert len(stored(store)) == 1


def test_nothing_keeps_what_is_there_and_counts_what_is_new(store):
    """Writing the same rows again writes none; an old row is not touched."""
    for expected in (3, 0):
        with store.raw() as connection:
            assert copy_rows(connection, tasks, COLUMNS, map(row, (1, 2, 3)), on_conflict="nothing") == expected
    with store.raw() as connection:
        n = copy_rows(connection, tasks, COLUMNS, [row(3, "new title"), row(4)], on_conflict="nothing")

    assert n == 1
    assert [found[1] for found in stored(store)] == ["t", "t", "t", "t"]


def test_update_writes_over_what_differs_only(store):
    """A changed row is written and its version counted up; an equal one stays as it is."""
    with store.raw() as connection:
        copy_rows(connection, tasks, COLUMNS, map(row, (1, 2)))
    with store.raw() as connection:
        n = copy_rows(connection, tasks, COLUMNS, [row(1), row(2, "new"), row(3)], on_conflict="update")

    assert n == 2
    assert [(found[1], found[-1]) for found in stored(store)] == [("t", 1), ("new", 2), ("t", 1)]


def test_two_writes_in_one_transaction(store):
    """The staging tables of one transaction do not collide, and an empty one is nothing."""
    with store.raw() as connection:
        first = copy_rows(connection, tasks, COLUMNS, [row(1)], on_conflict="nothing")
        second = copy_rows(connection, tasks, COLUMNS, [row(2)], on_conflict="update")
        third = copy_rows(connection, tasks, COLUMNS, [], on_conflict="update")

    assert (first, second, third) == (1, 1, 0)


def test_an_error_while_rows_are_made_leaves_nothing(store):
    """The generator of the rows may fail in the middle: the transaction is rolled back, the connection stays usable."""

    def rows():
        yield row(1)
        raise LookupError("the source ended")

    with pytest.raises((QueryError, LookupError), match="the source ended"), store.raw() as connection:
        copy_rows(connection, tasks, COLUMNS, rows())

    assert stored(store) == []
