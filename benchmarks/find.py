"""Predicates over a million steps, beside loading the rows and looping over them, as a user would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import orjson
import psycopg

import workbench as wb
from benchmarks._bench import Measured, fill, in_fresh_process, interleaved, median, scratch_store, table
from workbench._workbench import Workbench
from workbench.data.store.engine import Store
from workbench.data.store.snapshots import rebuild_all
from workbench.settings import Settings

ROWS = 1_000_000

# A snapshot at every step: a keyframe every 25, patches that append a message, and change the cart at every fifth step.
_STATES = """
INSERT INTO workbench.execution_snapshots (execution_id, step_number, keyframe_step, state)
SELECT x.id, n, n - n % 25,
  CASE WHEN n % 25 = 0 THEN jsonb_build_object('cart', jsonb_build_object('total', n - n % 5 + (r % 97)), 'messages',
      (SELECT coalesce(jsonb_agg('message ' || m), '[]'::jsonb) FROM generate_series(0, n) m))
    ELSE jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/messages/-', 'value', 'message ' || n))
      || CASE WHEN n % 5 = 0 THEN jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '/cart/total',
           'value', n + (r % 97))) ELSE '[]'::jsonb END
  END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM workbench.agent_executions) x, generate_series(0, 99) n
ORDER BY x.id, n
"""
CALL, ERROR = wb.event("tool_call", name="name 2"), wb.event(severity="error")
ASKED: dict[str, Any] = {
    "an event": CALL,
    "a value of events": wb.event("tool_call")["data.usage.output_tokens"] > 400,
    "a sequence of events": CALL.then(ERROR, within=5),
    "a state begins": (wb.state("cart.total") > 150).begins(),
    "an event in a state": CALL & (wb.state("cart.total") > 150),
    "the last message": wb.state("messages.-1") == "message 7",
    "the last message but one": wb.state("messages.-2") == "message 7",  # the array itself has to be followed
    "the fourth message": wb.state("messages.3").changed(),
    "never … until": (~wb.never(ERROR).until(wb.state("cart.total") > 60)).begins(),
}


def fill_states(store: Store) -> None:
    """A snapshot for each event."""
    with store.raw() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(_STATES.encode())
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM (ANALYZE) workbench.execution_snapshots")


def _bench(given: dict[str, Any]) -> Workbench:
    store = Store(Settings.load(database_url=given["url"]), url=given["url"])
    bench = Workbench(store)
    bench.find(wb.event("score"), limit=1)
    return bench


def _find(name: str) -> Callable[[Workbench], int]:
    return lambda bench: len(bench.find(ASKED[name], labels=False))


# ---------------------------------------------------------------- what a user would write


def _rows(url: str, query: str) -> Iterator[Any]:
    with psycopg.connect(url) as connection, connection.cursor(name="all") as cursor:
        cursor.itersize = 20_000
        yield from cursor.execute(query.encode())


_EVENTS = (
    "SELECT execution_id, step_number, event_type, name, severity{} FROM workbench.observability_events ORDER BY 1, 2"
)
_SNAPSHOTS = (
    "SELECT execution_id, step_number, keyframe_step, state::text FROM workbench.execution_snapshots ORDER BY 1, 2"
)


def _is_call(row: Any) -> bool:
    return row[2] == "tool_call" and row[3] == "name 2"


def _an_event(url: str) -> int:
    return sum(_is_call(row) for row in _rows(url, _EVENTS.format("")))


def _a_value(url: str) -> int:
    rows = _rows(url, _EVENTS.format(", data"))
    return sum(row[2] == "tool_call" and row[5].get("usage", {}).get("output_tokens", 0) > 400 for row in rows)


def _a_sequence(url: str) -> int:
    found = 0
    for _, rows in groupby(_rows(url, _EVENTS.format("")), key=lambda row: row[0]):
        last = None
        for row in rows:
            found += row[4] == "error" and last is not None and row[1] - last <= 5
            last = row[1] if _is_call(row) else last
    return found


def _states(url: str) -> Iterator[tuple[Any, int, Any]]:
    for run, rows in groupby(_rows(url, _SNAPSHOTS), key=lambda row: row[0]):
        for step, state in rebuild_all((row[1], row[2], orjson.loads(row[3])) for row in rows):
            yield run, step, state


def _a_state(url: str) -> int:
    found, before = 0, None
    for run, _, state in _states(url):
        now = (run, state["cart"]["total"] > 150)
        found += now[1] and now != before
        before = now
    return found


def _an_event_in_a_state(url: str) -> int:
    calls = {(row[0], row[1]) for row in _rows(url, _EVENTS.format("")) if _is_call(row)}
    return sum((run, step) in calls and state["cart"]["total"] > 150 for run, step, state in _states(url))


def _the_last_message(url: str) -> int:
    return sum(state["messages"][-1] == "message 7" for _, _, state in _states(url))


def _the_last_message_but_one(url: str) -> int:
    return sum(state["messages"][-2:-1] == ["message 7"] for _, _, state in _states(url))


def _the_fourth_message(url: str) -> int:
    found, before = 0, None
    for run, _, state in _states(url):
        now = (run, state["messages"][3:4])
        found += before is not None and before[0] == run and now != before
        before = now
    return found


def _never_until(url: str) -> int:
    errors = {(row[0], row[1]) for row in _rows(url, _EVENTS.format("")) if row[4] == "error"}
    broken, released = set(), set()
    for run, step, state in _states(url):
        if state["cart"]["total"] > 60:
            released.add(run)
        if (run, step) in errors and run not in released:
            broken.add(run)
    return len(broken)


_THEIRS = (_an_event, _a_value, _a_sequence, _a_state, _an_event_in_a_state, _the_last_message,
           _the_last_message_but_one, _the_fourth_message, _never_until)  # fmt: skip
WAYS: dict[str, Callable[[Any], int]] = {}
PREPARE: dict[str, Callable[[dict[str, Any]], Any]] = {}
for _name, _their in zip(ASKED, _THEIRS, strict=True):
    WAYS[f"{_name}/bench.find()"] = _find(_name)
    PREPARE[f"{_name}/bench.find()"] = _bench
    WAYS[f"{_name}/load and loop"] = _their
    PREPARE[f"{_name}/load and loop"] = lambda given: given["url"]


def run(quick: bool = False, rows: int | None = None) -> None:
    """Print one table: each question, ours and theirs; both have to find as many steps."""
    rows = rows or (20_000 if quick else ROWS)
    with scratch_store() as store:
        fill(store, rows)
        fill_states(store)

        def measure(way: str) -> Measured:
            return in_fresh_process("benchmarks.find", way, {"url": store.adbc_uri})

        found = interleaved(list(WAYS), measure, rounds=1 if quick else 3)
    lines = []
    for name in ASKED:
        ours, theirs = found[f"{name}/bench.find()"], found[f"{name}/load and loop"]
        if ours[0].rows != theirs[0].rows:
            raise RuntimeError(f"{name}: {ours[0].rows} steps found, and {theirs[0].rows} by the loop")
        figures = (median(ours), median(theirs), median(theirs) / median(ours))
        memory = (f"{median(ours, 'rss_mb'):.0f}", f"{median(theirs, 'rss_mb'):.0f}")
        lines.append((name, f"{ours[0].rows:,}", *(f"{f:.2f}" for f in figures[:2]), f"{figures[2]:.1f}×", *memory))
    head = ("question", "steps found", "find s", "loop s", "loop ÷ find", "find RSS + MB", "loop RSS + MB")
    table(f"{rows:,} steps, a state at each", head, lines)
