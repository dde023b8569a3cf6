"""Give runs a cost that their source does not: call by call, by the prices of the day of each call.

A run is priced as a whole or not at all. Where one of its calls cannot be priced, or its calls are not all that it
used, its cost stays null (*unpriced*) and the reason is told. A cost that the source gives is never touched.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.rows import namedtuple_row

from workbench.data.costs.prices import Call, PriceTable, Unpriced, price_table, usual
from workbench.data.ingest.normal import Usage, total

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_DISJOINT = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
_CENT = Decimal("1e-10")  # agent_executions.cost is numeric(20, 10)
_RUNS_AT_ONCE = 200


@dataclass(slots=True)
class Priced:
    """What pricing did.

    Attributes
    ----------
    priced
        Runs that have a cost from the table of prices.
    unpriced
        Runs with tokens that have none.
    updated
        Runs whose stored cost changed.
    reasons
        Why runs are unpriced, and how many.
    prices
        Name and version of the table; ``None`` where nothing had to be priced.
    """

    priced: int = 0
    unpriced: int = 0
    updated: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    prices: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"reasons": dict(self.reasons.most_common())}

    def __str__(self) -> str:
        if self.prices is None:
            return "nothing to price"
        head = f"{self.priced:,} runs priced by {self.prices}, {self.unpriced:,} unpriced, {self.updated:,} changed"
        return "\n".join([head, *(f"  {n:,} × {reason}" for reason, n in self.reasons.most_common())])


def price(store: Store, *, again: bool = False) -> Priced:
    """Price what is unpriced, after a new version of the table of prices or of Workbench.

    Parameters
    ----------
    again
        Also the runs that were priced before, by the prices that are known now. A cost from the source is never
        touched.
    """
    done = Priced()
    with store.raw() as connection:
        runs = [run for (run,) in connection.execute(_UNPRICED, {"again": again})]
    for start in range(0, len(runs), _RUNS_AT_ONCE):
        with store.raw() as connection:
            _add(done, price_runs(connection, runs[start : start + _RUNS_AT_ONCE]))
    return done


def price_runs(
    connection: psycopg.Connection, runs: Sequence[uuid.UUID], *, calls: Mapping[uuid.UUID, list[Any]] | None = None
) -> Priced:
    """Price some runs inside the connection's transaction; those that their source prices are left alone.

    ``calls`` are those of the runs, where they are at hand (:func:`calls_of`).
    """
    done = Priced()
    for start in range(0, len(runs), _RUNS_AT_ONCE):  # their calls are in memory
        _add(done, _price_some(connection, runs[start : start + _RUNS_AT_ONCE], calls))
    return done


def calls_of(connection: psycopg.Connection, first_steps: Mapping[uuid.UUID, int]) -> dict[uuid.UUID, list[Any]]:
    """The calls of some runs, each from one of its steps on: what used tokens or cost something."""
    given = [[*first_steps], [*first_steps.values()]]
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return {run: list(rows) for run, rows in groupby(cursor.execute(_CALLS, given), itemgetter(0))}


def _price_some(
    connection: psycopg.Connection, runs: Sequence[uuid.UUID], calls: Mapping[uuid.UUID, list[Any]] | None
) -> Priced:
    done = Priced()
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        found = {run.id: run for run in cast("list[Any]", cursor.execute(_RUNS, [list(runs)]).fetchall())}
        if not found:
            return done
    table = price_table()
    done.prices = table.name
    calls = calls_of(connection, dict.fromkeys(found, 0)) if calls is None else calls
    changes = []
    for execution, run in found.items():
        cost = _cost(run, calls.get(execution, []), table)
        if isinstance(cost, Unpriced):
            done.unpriced += 1
            done.reasons[cost.reason] += 1
            if run.cost_source is not None:
                changes.append((None, None, None, execution))
            continue
        done.priced += 1
        cost = cost.quantize(_CENT)
        if (run.cost, run.price_table) != (cost, table.name):
            changes.append((cost, "prices", table.name, execution))
    done.updated = len(changes)
    connection.cursor().executemany(_UPDATE, changes)
    return done


def _cost(run: Any, rows: list[Any], table: PriceTable) -> Decimal | Unpriced:
    used = _usage(run.token_usage)
    if not any(used.as_dict().values()):
        return Unpriced("no call used tokens that have a price")
    calls = [row for row in rows if row.usage is not None]
    if any(row.usage is None and row.cost_usd is not None for row in rows):
        return Unpriced("some steps have a cost but no tokens: what it covers is not known")
    for some in (calls, [row for row in calls if row.event_type == "llm_call"]):
        if some and _same(total(_usage(row.usage) for row in some), used):
            return _sum(run, some, table)
    models = {row.model for row in calls if row.model is not None}
    if models - {run.model}:
        return Unpriced("the calls that are known are not all that the run used, and it used several models")
    provider = run.provider or next((row.provider for row in calls if row.provider), None)
    return table.price(Call(run.model, used, run.started_at, provider, is_sum=True))


def _sum(run: Any, rows: list[Any], table: PriceTable) -> Decimal | Unpriced:
    """The costs of all calls: those the source gives, and those of the table."""
    models = {row.model for row in rows if row.model is not None}
    only = run.model if not models else next(iter(models)) if len(models) == 1 else None
    cost, n_priced = Decimal(0), 0
    for row in rows:
        usage = _usage(row.usage)
        if row.cost_usd is not None:
            cost += Decimal(row.cost_usd)
            continue
        if not any(usage.as_dict().values()):
            continue  # a call that failed or was stopped before it used anything
        found = table.price(_call(run, row, usage, only))
        if isinstance(found, Unpriced):
            return found
        cost += found
        n_priced += 1
    return cost if n_priced else Unpriced("no call used tokens that have a price")


def _call(run: Any, row: Any, usage: Usage, only: str | None) -> Call:
    at: datetime | None = row.timestamp or run.started_at
    service = usual({"service_tier": row.service_tier, "speed": row.speed})
    model = row.model or only
    provider = row.provider or run.provider
    prefix, slash, _ = (run.model or "").partition("/")
    if provider is None and slash and model is not None and "/" not in model:
        provider = prefix  # 'ollama/llama3.1' names who served what the answer calls 'llama3.1'
    return Call(model, usage, at, provider, service, int(row.n_searches or 0))


def _usage(told: dict[str, Any]) -> Usage:
    return Usage(**{name: told[name] for name in Usage.__slots__ if isinstance(told.get(name), int)})


def _same(a: Usage | None, b: Usage) -> bool:
    return a is not None and all((getattr(a, name) or 0) == (getattr(b, name) or 0) for name in _DISJOINT)


def _add(done: Priced, more: Priced) -> None:
    done.priced += more.priced
    done.unpriced += more.unpriced
    done.updated += more.updated
    done.reasons.update(more.reasons)
    done.prices = more.prices or done.prices


_UNPRICED = """
SELECT id FROM workbench.agent_executions
WHERE token_usage IS NOT NULL AND (cost IS NULL OR %(again)s AND cost_source = 'prices') ORDER BY id
"""

_RUNS = """
SELECT id, model, started_at, token_usage, cost, cost_source, metadata->>'price_table' AS price_table,
  metadata->>'model_provider' AS provider
FROM workbench.agent_executions
WHERE id = ANY(%s) AND cost_source IS DISTINCT FROM 'source' AND token_usage IS NOT NULL
"""

# OFFSET 0 keeps the planner from unpacking a document once for every path that is read of it.
_CALLS = """
SELECT execution_id, step_number, event_type, timestamp,
  d->>'model' AS model, d->'usage' AS usage, d->>'cost_usd' AS cost_usd,
  coalesce(d#>>'{extra,attributes,gen_ai.provider.name}', d#>>'{extra,attributes,gen_ai.system}',
    d#>>'{extra,attributes,ai.model.provider}', d#>>'{extra,attributes,llm.provider}',
    d#>>'{extra,message,provider}', d#>>'{extra,extra,metadata,ls_provider}',
    d#>>'{extra,attributes,mlflow.llm.provider}') AS provider,
  coalesce(d#>>'{extra,message,usage,service_tier}', d#>>'{extra,attributes,gen_ai.openai.response.service_tier}',
    d#>>'{extra,attributes,openai.response.service_tier}') AS service_tier,
  d#>>'{extra,message,usage,speed}' AS speed,
  d#>>'{extra,message,usage,server_tool_use,web_search_requests}' AS n_searches
FROM workbench.observability_events JOIN unnest(%s::uuid[], %s::int[]) AS told (run, first)
    ON execution_id = told.run AND step_number >= told.first,
  LATERAL (SELECT data - '{text,tool,tool_calls,error}'::text[] AS d OFFSET 0) AS parts
WHERE d ? 'usage' OR d ? 'cost_usd'
ORDER BY execution_id
"""

_UPDATE = """
UPDATE workbench.agent_executions SET cost = %s, cost_source = %s, row_version = row_version + 1,
  metadata = (metadata - 'price_table') || jsonb_strip_nulls(jsonb_build_object('price_table', %s::text))
WHERE id = %s
"""
