"""A hundred thousand events into Postgres, beside SQLAlchemy's bulk insert and a COPY inside the server."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from benchmarks._bench import Measured, fill, in_fresh_process, interleaved, median, scratch_store, table
from workbench.data.store.copy import copy_rows
from workbench.data.store.engine import Store
from workbench.data.store.records import NewEvent
from workbench.data.store.repository import Repository
from workbench.data.store.tables import new_id, observability_events
from workbench.settings import Settings

ROWS = 100_000
COLUMNS = ("id", "execution_id", "step_number", "event_type", "name", "agent", "category", "severity", "timestamp",
           "duration_ms", "trace_id", "span_id", "data")  # fmt: skip


def _documents(rows: int) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "text": f"{n:032x}" * 2, "model": f"model-{n % 3}", "cost_usd": n % 97 / 1000,
         "usage": {"input_tokens": n * 13 % 4000, "output_tokens": n * 7 % 500}}
        for n in range(rows)
    ]  # fmt: skip


def _rows(given: dict[str, Any], documents: list[Any]) -> list[tuple[Any, ...]]:
    start, run = datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(given["run"])
    return [
        (new_id(), run, n, "llm_call", f"name {n % 20}", "coder", "category", "info", start + timedelta(milliseconds=n),
         float(n % 1000), "a" * 32, f"{n:016x}", document)
        for n, document in enumerate(documents)
    ]  # fmt: skip


def _store(given: dict[str, Any]) -> Store:
    store = Store(Settings.load(database_url=given["url"]), url=given["url"])
    with store.connection() as connection:
        connection.exec_driver_sql("SELECT 1")
    return store


def _typed(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    return _store(given), _rows(given, _documents(given["rows"])), None


def _encoded(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    return _store(given), _rows(given, [orjson.dumps(d).decode() for d in _documents(given["rows"])]), None


def _copy(prepared: tuple[Store, list[Any], Any]) -> int:
    with prepared[0].raw() as connection:
        return copy_rows(connection, observability_events, COLUMNS, prepared[1])


def _copy_twice(prepared: tuple[Store, list[Any], Any]) -> int:
    with prepared[0].raw() as connection:
        return copy_rows(connection, observability_events, COLUMNS, prepared[1], on_conflict="nothing")


def _dicts(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    store, rows, _ = _typed(given)
    return store, [dict(zip(COLUMNS, row, strict=True)) for row in rows], None


def _sqlalchemy(prepared: tuple[Store, list[Any], Any]) -> int:
    with prepared[0].connection() as connection:
        connection.execute(sa.insert(observability_events), prepared[1])
    return len(prepared[1])


def _records(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    store, rows, _ = _dicts(given)
    return store, [NewEvent(**{k: v for k, v in row.items() if k != "id"}) for row in rows], None


def _create_many(prepared: tuple[Store, list[Any], Any]) -> int:
    return len(Repository(prepared[0]).events.create_many(prepared[1]))


def _file(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The same rows as a file that the server can read itself: the floor has no client at all."""
    store, rows, _ = _encoded(given)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    path = f"{given['folder']}/{uuid.uuid4().hex}.copy"
    with store.raw() as connection:
        connection.execute(f"CREATE TEMP TABLE made ON COMMIT DROP AS SELECT {names} FROM observability_events LIMIT 0")
        with connection.cursor().copy(f"COPY made ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    admin = Store(Settings.load(database_url=given["admin"]), url=given["admin"])
    with admin.raw() as connection:
        connection.execute(f"CREATE TEMP TABLE made ON COMMIT DROP AS SELECT {names} FROM observability_events LIMIT 0")
        with connection.cursor().copy(f"COPY made ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute(f"COPY made TO '{path}'")
    return admin, path, names


def _server_copy(prepared: tuple[Store, str, str]) -> int:
    admin, path, names = prepared
    with admin.raw() as connection:
        return connection.execute(f"COPY workbench.observability_events ({names}) FROM '{path}'").rowcount


PREPARE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "copy_rows": _encoded,
    "copy_rows, on_conflict='nothing'": _encoded,
    "records.events.create_many": _records,
    "SQLAlchemy bulk insert": _dicts,
    "floor: COPY of a file inside the server": _file,
}
WAYS: dict[str, Callable[[Any], int]] = {
    "copy_rows": _copy,
    "copy_rows, on_conflict='nothing'": _copy_twice,
    "records.events.create_many": _create_many,
    "SQLAlchemy bulk insert": _sqlalchemy,
    "floor: COPY of a file inside the server": _server_copy,
}


def run(quick: bool = False, rows: int | None = None) -> None:
    """Print one table. All indexes are on, and the table holds as many rows before."""
    rows = rows or (2_000 if quick else ROWS)
    with scratch_store() as store:
        fill(store, rows)
        assert store.server is not None

        def measure(way: str) -> Measured:
            with store.raw() as connection:
                run = connection.execute(
                    "INSERT INTO agent_executions (agent_type) VALUES ('b') RETURNING id"
                ).fetchone()
            assert run is not None
            assert store.server is not None
            given = {
                "url": store.adbc_uri, "admin": store.server.url(user="postgres"), "rows": rows, "run": str(run[0]),
                "folder": str(store.server.data_dir),
            }  # fmt: skip
            measured = in_fresh_process("benchmarks.insert_events", way, given)
            with store.raw() as connection:
                connection.execute("DELETE FROM agent_executions WHERE id = %s", run)
            with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM workbench.observability_events")
            return measured

        found = interleaved(list(WAYS), measure, rounds=1 if quick else 5)
    peer, floor = found["SQLAlchemy bulk insert"], found["floor: COPY of a file inside the server"]
    lines = [
        (
            name,
            f"{median(measured):.2f}",
            f"{median(peer) / median(measured):.1f}×",
            f"{median(measured) / median(floor):.2f}×",
            f"{median(measured, 'cpu_s'):.2f}",
        )
        for name, measured in found.items()
    ]
    table(f"{rows:,} events in", ("way", "s", "SQLAlchemy ÷ it", "it ÷ floor", "client CPU s"), lines)
