"""Records: validated, versioned, listed by cursor, written many at a time."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime

import pytest

import workbench
from workbench.data.store.records import NewEvent, NewTask
from workbench.errors import ConfigurationError, ConflictError, InvalidRecordError, NotFoundError, ReadOnlyError


@pytest.fixture
def records(bench):
    return bench.records


def test_a_task_is_made_read_changed_and_deleted(records):
    """The whole life of a record."""
    task = records.tasks.create(title="Book a flight", metadata={"a": [1, {"b": None}]})
    changed = records.tasks.update(task.id, row_version=task.row_version, status="completed")

    assert (task.status, task.priority, task.row_version) == ("pending", "medium", 1)
    assert (changed.status, changed.row_version, changed.title) == ("completed", 2, "Book a flight")
    assert changed.updated_at > task.updated_at
    assert records.tasks.get(str(task.id)) == changed
    assert records.tasks.delete(task.id) is True
    assert records.tasks.delete(task.id) is False
    with pytest.raises(NotFoundError, match="No task"):
        records.tasks.get(task.id)


def test_every_wrong_field_is_named(records):
    """One error tells of all fields: the value and what is allowed."""
    with pytest.raises(InvalidRecordError) as caught:
        records.tasks.create(title="", status="done", metadata=[], colour="red")

    assert set(caught.value.fields) == {"title", "status", "metadata", "colour"}
    assert "'pending', 'in_progress'" in caught.value.fields["status"]
    assert "got 'done'" in caught.value.fields["status"]
    assert "no such field; there are title" in caught.value.fields["colour"]


def test_times_need_a_zone_and_text_no_nul(records):
    """What Postgres would misread or refuse is refused before, with the remedy."""
    with pytest.raises(InvalidRecordError, match=r"tzinfo=timezone\.utc"):
        records.executions.create(agent_type="a", started_at=datetime(2026, 1, 1))
    with pytest.raises(InvalidRecordError, match="NUL character"):
        records.tasks.create(title="a\0b")
    with pytest.raises(InvalidRecordError, match="cannot be stored as JSON unchanged"):
        records.tasks.create(title="a", metadata={"x": "\ud800"})


def test_of_two_changes_the_later_is_refused(records):
    """Somebody who changes what he read long ago is told that it changed."""
    task = records.tasks.create(title="a")
    records.tasks.update(task.id, row_version=1, title="b")

    with pytest.raises(ConflictError, match="at row_version 2, not 1") as caught:
        records.tasks.update(task.id, row_version=1, title="c")

    assert caught.value.row_version == 2
    assert records.tasks.get(task.id).title == "b"


def test_a_list_goes_on_where_its_cursor_stands(records):
    """Pages hold every record once, in order; a record made meanwhile does not shift them."""
    ids = records.tasks.create_many(NewTask(title=f"t{n}") for n in range(25))
    first = records.tasks.list(limit=10)
    records.tasks.create(title="late")
    second = records.tasks.list(limit=10, cursor=first.next_cursor)
    third = records.tasks.list(limit=10, cursor=second.next_cursor)

    assert [t.id for page in (first, second, third) for t in page.items][:25] == ids
    assert third.next_cursor is None
    assert [t.title for t in records.tasks.list(title="t7").items] == ["t7"]
    with pytest.raises(ConfigurationError, match="none of ours"):
        records.tasks.list(cursor="nonsense")
    with pytest.raises(ConfigurationError, match="no field 'colour'"):
        records.tasks.list(colour="red")


def test_many_events_are_written_all_or_none(records):
    """One bad event among many leaves nothing behind."""
    run = records.executions.create(agent_type="a", cost=0.25)
    good = [NewEvent(execution_id=run.id, step_number=n, event_type="log", data={"n": n}) for n in range(500)]
    ids = records.events.create_many(good)
    orphan = NewEvent(execution_id=uuid.uuid4(), step_number=0, event_type="log")

    assert records.executions.get(run.id).cost == 0.25
    assert records.events.get(ids[7]).data == {"n": 7}
    with pytest.raises(ConflictError, match="foreign key"):
        records.events.create_many([good[0], orphan])
    assert len(records.events.list(limit=1000).items) == 500


def test_deleting_an_execution_takes_its_events_and_states(records):
    """What belongs to a run goes with it."""
    run = records.executions.create(agent_type="a")
    records.events.create(execution_id=run.id, step_number=0, event_type="log")
    records.snapshots.create(execution_id=run.id, step_number=0, state={"a": 1})
    records.executions.delete(run.id)

    assert records.events.list().items == ()
    assert records.snapshots.list().items == ()


def test_one_environment_is_active_per_user(records):
    """Activating one deactivates the other; users do not disturb each other."""
    a, b = (records.environments.create(name=name) for name in "ab")
    other = records.environments.create(name="a", user_id="u2")
    records.environments.activate(other.id)
    records.environments.activate(a.id)
    records.environments.activate(b.id)

    active = {e.id: e.is_active for e in records.environments.list().items}
    assert active == {a.id: False, b.id: True, other.id: True}
    assert records.environments.deactivate(b.id).is_active is False
    with pytest.raises(ConflictError, match="uq_environments_user_id_name"):
        records.environments.create(name="a")
    with pytest.raises(NotFoundError, match="No environment"):
        records.environments.activate(uuid.uuid4())


def test_activating_at_once_leaves_one(records):
    """Eight threads that activate eight environments end with exactly one active and no deadlock."""
    made = [records.environments.create(name=f"e{n}") for n in range(8)]
    errors = []

    def activate(id):
        try:
            for _ in range(5):
                records.environments.activate(id)
        except workbench.WorkbenchError as error:
            errors.append(error)

    threads = [threading.Thread(target=activate, args=(e.id,)) for e in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sum(e.is_active for e in records.environments.list().items) == 1


def test_snapshots_are_read_whole_and_kept_in_order(bench):
    """A record of a state that is stored as a patch holds the whole state; history cannot be rewritten under it."""
    with bench.record(agent_type="a") as run:
        for n in range(30):
            run.event("log")
            run.step({"n": n, "text": "x" * 2_000})
    snapshots = bench.records.snapshots
    ninth = snapshots.list(execution_id=run.id, step_number=9).items[0]

    assert ninth.state == {"n": 9, "text": "x" * 2_000}
    assert snapshots.update(ninth.id, row_version=1, description="here").description == "here"
    with pytest.raises(ConflictError, match="cannot be changed"):
        snapshots.update(ninth.id, row_version=2, state={})
    with pytest.raises(ConflictError, match="cannot be deleted"):
        snapshots.delete(ninth.id)
    sparse = bench.records.executions.create(agent_type="b", started_at=datetime.now(UTC))
    snapshots.create(execution_id=sparse.id, step_number=3, state={"a": 1})
    snapshots.create(execution_id=sparse.id, step_number=1, state={"a": 0})
    assert bench.state(sparse.id, 2) == {"a": 0}


def test_a_whole_state_cannot_be_put_between_patches(bench):
    """It would cut the chain of patches behind it, so it is refused."""
    with bench.record(agent_type="a") as run:
        for n in range(0, 30, 2):
            run.event("log")
            run.event("log")
            run.step({"n": n, "text": "x" * 2_000})

    with pytest.raises(ConflictError, match="cannot be put before"):
        bench.records.snapshots.create(execution_id=run.id, step_number=4, state={})
    assert bench.state(run.id, 29)["n"] == 28


def test_a_read_only_workbench_refuses_writes(database_url):
    """Here and in the server."""
    with workbench.connect(database_url, read_only=True) as bench:
        with pytest.raises(ReadOnlyError, match="read-only"):
            bench.records.tasks.create(title="a")
        with pytest.raises(ReadOnlyError), bench.store.connection() as connection:
            connection.exec_driver_sql("DELETE FROM tasks")
        assert bench.tasks().height == 0
