""":class:`Repository`: create, get, list, update and delete records of one kind.

An update names the ``row_version`` it read. If somebody changed the row since, nothing is written and
:class:`~workbench.errors.ConflictError` says which version is there now.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
import sqlalchemy as sa
from pydantic import BaseModel

from workbench.data.store import tables
from workbench.data.store.copy import copy_rows
from workbench.data.store.engine import driver_of
from workbench.data.store.records import (
    Environment,
    Event,
    Execution,
    NewEnvironment,
    NewEvent,
    NewExecution,
    NewSnapshot,
    NewTask,
    Snapshot,
    Task,
    validated,
)
from workbench.data.store.snapshots import state_at
from workbench.data.store.storable import storable
from workbench.errors import ConfigurationError, ConflictError, NotFoundError, ReadOnlyError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

R = TypeVar("R", bound=BaseModel)
N = TypeVar("N", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some records; ``next_cursor`` is ``None`` on the last page."""

    items: tuple[R, ...]
    next_cursor: str | None


class Records(Generic[R, N]):
    """The records of one table.

    Parameters
    ----------
    store
        Where they are.
    table
        Their table.
    record, new
        What a row is, and what is needed to make one.
    """

    def __init__(self, store: Store, table: sa.Table, record: type[R], new: type[N]) -> None:
        self._store = store
        self._table = table
        self._record = record
        self._new = new
        self._word = record.__name__.lower()

    def create(self, new: N | None = None, /, **values: Any) -> R:
        """Make one, from a ``New…`` record or from its fields.

        Raises
        ------
        InvalidRecordError
            Fields do not validate; ``.fields`` names each.
        ConflictError
            It exists already, or it refers to what does not exist.
        """
        row = self._row(validated(self._new, values if new is None else new))
        with self._writing() as connection:
            made = connection.execute(sa.insert(self._table).values(**row).returning(self._table)).mappings().one()
            self._after_making(connection, [row])
        return self._read(made)

    def create_many(self, news: Iterable[N | dict[str, Any]]) -> list[uuid.UUID]:
        """Make many by COPY, all or none.

        Returns
        -------
        list of uuid.UUID
            Their ids, in order.
        """
        rows = [self._row(validated(self._new, new)) for new in news]
        if not rows:
            return []
        names = ["id", *rows[0]]
        ids = [tables.new_id() for _ in rows]
        json_names = {column.name for column in self._table.columns if isinstance(column.type, sa.JSON)}

        def encoded(row: dict[str, Any]) -> list[Any]:
            return [
                storable(value).text if name in json_names and value is not None else value
                for name, value in row.items()
            ]

        self._refuse_if_read_only()
        lines = ([id, *encoded(row)] for id, row in zip(ids, rows, strict=True))
        with self._store.connection() as connection:
            copy_rows(driver_of(connection), self._table, names, lines)
            self._after_making(connection, rows)
        return ids

    def get(self, id: uuid.UUID | str) -> R:
        """One by its id.

        Raises
        ------
        NotFoundError
            There is none.
        """
        with self._store.connection() as connection:
            row = connection.execute(sa.select(self._table).where(self._table.c.id == _as_uuid(id))).mappings().first()
        if row is None:
            raise self._missing(id)
        return self._read(row)

    def list(self, *, limit: int = 100, cursor: str | None = None, **equal: Any) -> Page[R]:
        """A page, in the order of the ids.

        Parameters
        ----------
        limit
            Records of a page, 1 to 10,000.
        cursor
            ``next_cursor`` of the page before.
        **equal
            Fields and the values they must have.
        """
        if not 1 <= limit <= 10_000:
            raise ConfigurationError(f"limit={limit} must be from 1 to 10,000.", value=limit)
        query = sa.select(self._table).order_by(self._table.c.id).limit(limit + 1)
        for name, value in equal.items():
            if name not in self._record.model_fields or name not in self._table.c:
                allowed = ", ".join(name for name in self._record.model_fields if name in self._table.c)
                raise ConfigurationError(f"{self._word}s have no field {name!r}. There are: {allowed}.", value=name)
            query = query.where(self._table.c[name] == value)
        if cursor is not None:
            query = query.where(self._table.c.id > _decoded(cursor))
        with self._store.connection() as connection:
            rows = connection.execute(query).mappings().all()
        items = tuple(self._read(row) for row in rows[:limit])
        return Page(items, _encoded(rows[limit - 1]["id"]) if len(rows) > limit else None)

    def update(self, id: uuid.UUID | str, *, row_version: int, **changes: Any) -> R:
        """Change fields, if the row is still as it was read.

        Raises
        ------
        ConflictError
            The row has another version now; read it again.
        InvalidRecordError, NotFoundError
            A field does not validate; there is no such record.
        """
        self._check_changes(changes)
        before = self.get(id)
        known = {name: getattr(before, name) for name in self._new.model_fields}
        row = self._row(validated(self._new, {**known, **changes}))
        values: dict[str, Any] = {name: row[name] for name in changes if name in row}
        values["row_version"] = self._table.c.row_version + 1
        if "updated_at" in self._table.c:
            values["updated_at"] = sa.func.now()
        query = (
            sa.update(self._table)
            .where(self._table.c.id == _as_uuid(id), self._table.c.row_version == row_version)
            .values(**values)
            .returning(self._table)
        )
        with self._writing() as connection:
            changed = connection.execute(query).mappings().first()
        if changed is None:
            version = getattr(self.get(id), "row_version")  # noqa: B009  # every record has one, BaseModel does not know
            raise ConflictError(
                f"The {self._word} {id} is at row_version {version}, not {row_version}: somebody changed it."
                " Read it again and repeat your change.",
                row_version=version,
            )
        return self._read(changed)

    def delete(self, id: uuid.UUID | str) -> bool:
        """Take it away, with what belongs to it; whether it was there."""
        with self._writing() as connection:
            return bool(connection.execute(sa.delete(self._table).where(self._table.c.id == _as_uuid(id))).rowcount)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _row(self, new: N) -> dict[str, Any]:
        return {name: getattr(new, name) for name in self._new.model_fields}

    def _check_changes(self, changes: dict[str, Any]) -> None:
        """Refuse what may not be changed."""

    def _after_making(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Refuse, inside the transaction, rows that do not fit those that are there."""

    def _read(self, row: sa.RowMapping) -> R:
        return self._record.model_construct(**{name: row[name] for name in self._record.model_fields})

    def _writing(self) -> Any:
        self._refuse_if_read_only()
        return self._store.connection()

    def _refuse_if_read_only(self) -> None:
        if self._store.read_only:
            raise ReadOnlyError("This connection is read-only. Open it without read_only=True to write.")

    def _missing(self, id: Any) -> NotFoundError:
        return NotFoundError(f"No {self._word} {str(id)!r}. List them with bench.{self._word}s().", id=str(id))


class Executions(Records[Execution, NewExecution]):
    """Agent runs."""

    def _read(self, row: sa.RowMapping) -> Execution:
        values = {name: row[name] for name in Execution.model_fields}
        values["cost"] = None if values["cost"] is None else float(values["cost"])
        return Execution.model_construct(**values)


class Environments(Records[Environment, NewEnvironment]):
    """Environments, of which one is active per user."""

    def activate(self, id: uuid.UUID | str) -> Environment:
        """Make it the active one of its user; whichever was active is no longer."""
        table = self._table
        owner = sa.select(table.c.user_id).where(table.c.id == _as_uuid(id)).scalar_subquery()
        with self._writing() as connection:
            # All rows of the user, in one order: two that activate at once wait for each other instead of deadlocking.
            rows = connection.execute(
                sa.select(table.c.id).where(table.c.user_id == owner).order_by(table.c.id).with_for_update()
            ).all()
            if not rows:
                raise self._missing(id)
            change = {"row_version": table.c.row_version + 1, "updated_at": sa.func.now()}
            others = sa.update(table).where(table.c.user_id == owner, table.c.is_active, table.c.id != _as_uuid(id))
            connection.execute(others.values(is_active=False, **change))
            this = sa.update(table).where(table.c.id == _as_uuid(id), ~table.c.is_active)
            connection.execute(this.values(is_active=True, **change))
        return self.get(id)

    def deactivate(self, id: uuid.UUID | str) -> Environment:
        """Make it inactive."""
        table = self._table
        query = sa.update(table).where(table.c.id == _as_uuid(id), table.c.is_active)
        with self._writing() as connection:
            connection.execute(
                query.values(is_active=False, row_version=table.c.row_version + 1, updated_at=sa.func.now())
            )
        return self.get(id)


class Snapshots(Records[Snapshot, NewSnapshot]):
    """States. They are read whole; one made here is stored whole."""

    def _row(self, new: NewSnapshot) -> dict[str, Any]:
        # A whole state is a keyframe; those after it build on the keyframe they were made with, which stays.
        return {**super()._row(new), "keyframe_step": new.step_number}

    def _check_changes(self, changes: dict[str, Any]) -> None:
        frozen = {"state", "step_number", "execution_id"} & set(changes)
        if frozen:
            raise ConflictError(
                f"The {', '.join(sorted(frozen))} of a snapshot cannot be changed: later ones build on it."
                " Change its description or checkpoint, or make a new one."
            )

    def _after_making(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        runs = sorted({str(row["execution_id"]) for row in rows})
        between = connection.execute(_BETWEEN, {"runs": runs}).first()
        if between is not None:
            raise ConflictError(
                f"A state of step {between.step_number} cannot be put before that of step {between.later}, which builds"
                " on the states before it. Make states in the order of the steps."
            )
        pruned = connection.execute(_IN_GAP, {"runs": runs}).first()
        if pruned is not None:
            raise ConflictError(
                f"A state of step {pruned.step_number} cannot be put where states were pruned (steps"
                f" {pruned.first_step} to {pruned.last_step}). Fork the run to go on from another state."
            )

    def delete(self, id: uuid.UUID | str) -> bool:
        """Refused: later states build on earlier ones. Delete the execution instead."""
        raise ConflictError("A single snapshot cannot be deleted: later ones may build on it. Delete its execution.")

    def _read(self, row: sa.RowMapping) -> Snapshot:
        values = {name: row[name] for name in Snapshot.model_fields}
        if row["keyframe_step"] != row["step_number"]:
            values["state"] = state_at(self._store, row["execution_id"], row["step_number"])
        return Snapshot.model_construct(**values)


# A whole state that came to stand between a patch and the whole state the patch builds on.
_BETWEEN = sa.text(
    """
    SELECT whole.step_number, patch.step_number AS later
    FROM workbench.execution_snapshots whole JOIN workbench.execution_snapshots patch USING (execution_id)
    WHERE execution_id = ANY(CAST(:runs AS uuid[])) AND whole.keyframe_step = whole.step_number
      AND patch.keyframe_step < whole.step_number AND whole.step_number < patch.step_number
    LIMIT 1
    """
)

_IN_GAP = sa.text(
    """
    SELECT step_number, first_step, last_step
    FROM workbench.execution_snapshots JOIN workbench.pruned_states USING (execution_id)
    WHERE execution_id = ANY(CAST(:runs AS uuid[])) AND step_number BETWEEN first_step AND last_step LIMIT 1
    """
)


class Repository:
    """All records of a store."""

    def __init__(self, store: Store) -> None:
        self.tasks = Records(store, tables.tasks, Task, NewTask)
        self.environments = Environments(store, tables.environments, Environment, NewEnvironment)
        self.executions = Executions(store, tables.agent_executions, Execution, NewExecution)
        self.events = Records(store, tables.observability_events, Event, NewEvent)
        self.snapshots = Snapshots(store, tables.execution_snapshots, Snapshot, NewSnapshot)


def _as_uuid(id: uuid.UUID | str) -> uuid.UUID:
    try:
        return id if isinstance(id, uuid.UUID) else uuid.UUID(str(id))
    except ValueError:
        raise NotFoundError(f"{id!r} is no id; ids are UUIDs.", id=str(id)) from None


def _encoded(id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"after": str(id)})).decode()


def _decoded(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(orjson.loads(base64.urlsafe_b64decode(cursor))["after"])
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"cursor={cursor!r} is none of ours; pass a page's next_cursor.", value=cursor
        ) from None
