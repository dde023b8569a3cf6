"""Runs without a cost get one from the table of prices, as a whole or not at all; what the source says stays."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

import workbench
from workbench.data.costs.pricing import price
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.settings import Settings

SONNET = "claude-sonnet-4-20250514"
SPENT = "SELECT cost, cost_source, metadata->>'price_table' IS NOT NULL FROM workbench.agent_executions"


def rows(store: Store, query: str) -> list[Any]:
    with store.raw() as connection:
        return connection.execute(query).fetchall()


def claude(*answers: tuple[str, int], **fields: Any) -> bytes:
    """A session: per answer the model and its uncached input; ten tokens come out."""
    lines = []
    for n, (model, given) in enumerate(answers):
        usage = {"input_tokens": given, "output_tokens": 10, **fields.get("usage", {})}
        message = {"id": f"msg-{n}", "role": "assistant", "model": model, "content": f"answer {n}", "usage": usage}
        line: dict[str, Any] = {"type": "assistant", "uuid": f"line-{n}", "parentUuid": None, "sessionId": "session-1"}
        line |= {"isSidechain": False, "timestamp": f"2025-10-01T12:00:{n:02d}Z", "message": message}
        lines.append(json.dumps(line | fields.get("line", {})).encode())
    return b"\n".join(lines) + b"\n"


def read(store: Store, path: Path, content: bytes) -> Any:
    path.write_bytes(content)
    [file] = ingest(store, path, progress=False).files
    return file


def test_calls_are_priced_and_summed(store: Store, tmp_path: Path) -> None:
    """Each call by its own model; the sum is the run's, marked as priced by a table that is named."""
    file = read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000), ("claude-opus-4-20250514", 1_000)))

    by_hand = Decimal(1_000 * 3 + 10 * 15 + 1_000 * 15 + 10 * 75) / 1_000_000
    assert rows(store, SPENT) == [(by_hand, "prices", True)]
    [(table,)] = rows(store, "SELECT metadata->>'price_table' FROM workbench.agent_executions")
    assert [str(item) for item in file.kept if item.what == "run cost"] == [
        f"1 × run cost (not in the source: priced by {table})"
    ]


def test_one_unknown_call_leaves_the_run_unpriced(store: Store, tmp_path: Path) -> None:
    """A sum without one of its parts is no cost: null, never 0, and the report names the model."""
    file = read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000), ("model-a", 1_000)))

    assert rows(store, SPENT) == [(None, None, False)]
    assert "not in the source: unpriced, no price of model 'model-a'" in [item.why for item in file.kept]


def test_a_call_that_used_nothing_needs_no_price(store: Store, tmp_path: Path) -> None:
    """The program's own answers have no model and no tokens; a run of nothing else stays unpriced."""
    nothing = {"input_tokens": 0, "output_tokens": 0}
    read(store, tmp_path / "a.jsonl", claude(("<synthetic>", 0), usage=nothing))
    unpriced = rows(store, SPENT)
    content = claude(("<synthetic>", 0), usage=nothing) + claude((SONNET, 0), (SONNET, 1_000)).split(b"\n")[1] + b"\n"
    read(store, tmp_path / "a.jsonl", content)

    assert unpriced == [(None, None, False)]
    assert rows(store, SPENT) == [(Decimal("0.00315"), "prices", True)]


def test_a_session_that_goes_on_is_priced_again(store: Store, tmp_path: Path) -> None:
    """What was added is in the cost; a call without a price takes the cost of the whole away; same again, no change."""
    path, found = tmp_path / "a.jsonl", []
    answers = [(SONNET, 1_000), (SONNET, 2_000), ("model-a", 5)]
    for n in (1, 2, 2, 3):
        file = read(store, path, claude(*answers[:n]))
        found.append((rows(store, SPENT)[0][0], file.outcome))

    assert found == [
        (Decimal("0.00315"), "new"), (Decimal("0.0093"), "extended"), (Decimal("0.0093"), "already there"),
        (None, "extended"),
    ]  # fmt: skip


def test_the_cost_of_the_source_stays(store: Store, tmp_path: Path) -> None:
    """A cost from the source is not worked out, not even again."""
    read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000), line={"costUSD": 0.5}))

    assert price(store, again=True).priced == 0
    assert rows(store, SPENT) == [(Decimal("0.5"), "source", False)]


def test_a_call_that_the_source_prices_keeps_its_price(store: Store, tmp_path: Path) -> None:
    """Where the source prices some calls and the table the others, the run's cost is the sum, marked as priced."""
    content = claude((SONNET, 1_000), line={"costUSD": 0.5}) + claude((SONNET, 1), (SONNET, 1_000)).split(b"\n")[1]
    read(store, tmp_path / "a.jsonl", content)

    assert rows(store, SPENT) == [(Decimal("0.50315"), "prices", True)]


def test_pricing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    """To price what is unpriced can be repeated: the same costs, no row written twice."""
    read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000)))
    versions = "SELECT row_version, cost FROM workbench.agent_executions"
    before = rows(store, versions)

    assert price(store).as_dict() == {"priced": 0, "unpriced": 0, "updated": 0, "reasons": {}, "prices": None}
    again = price(store, again=True)
    assert (again.priced, again.updated) == (1, 0)
    assert rows(store, versions) == before


def test_prices_can_be_switched_off_and_made_up_for(database_url: str, tmp_path: Path) -> None:
    """Without prices a run stays unpriced until somebody asks for them."""
    store = Store.open(Settings.load(database_url=database_url, prices=False))
    read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000)))
    unpriced = rows(store, SPENT)
    store.close()
    with workbench.connect(database_url) as bench:
        done = bench.price()

        assert unpriced == [(None, None, False)]
        assert (done.priced, done.updated) == (1, 1)
        assert rows(bench.store, SPENT) == [(Decimal("0.00315"), "prices", True)]


@pytest.mark.parametrize(
    ("usage", "model", "expected"),
    [
        ({"input_tokens": 1_000, "output_tokens": 10}, SONNET, Decimal("0.00315")),
        ({"input_tokens": 1_000, "output_tokens": 10}, None, None),
        ({"output_tokens": 10}, SONNET, None),
        ({"input_tokens": 900_000, "output_tokens": 10}, "claude-sonnet-4-5", None),
        ({"input_tokens": -1_000, "output_tokens": 10}, SONNET, None),
        ({"input_tokens": "many", "output_tokens": 10}, SONNET, None),
        ({"input_tokens": 0, "output_tokens": 0}, SONNET, None),
    ],
)
def test_runs_of_which_only_the_sum_is_known(
    usage: dict[str, Any], model: str | None, expected: Decimal | None, store: Store
) -> None:
    """A sum is priced where one model used it all and the price is the same for every prompt."""
    with store.raw() as connection:
        connection.execute(
            "INSERT INTO workbench.agent_executions (agent_type, status, model, started_at, token_usage) "
            "VALUES ('a', 'completed', %s, '2025-10-01', %s)",
            [model, Jsonb(usage)],
        )

    done = price(store)
    assert (done.priced, done.unpriced) == ((0, 1) if expected is None else (1, 0))
    assert rows(store, SPENT)[0][0] == expected


def test_calls_that_are_not_all(store: Store) -> None:
    """A run that used more than its calls say, by several models, has no price."""
    with store.raw() as connection:
        found = connection.execute(
            "INSERT INTO workbench.agent_executions (agent_type, status, model, started_at, token_usage) "
            "VALUES ('a', 'completed', %s, '2025-10-01', %s) RETURNING id",
            [SONNET, Jsonb({"input_tokens": 1_000, "output_tokens": 10})],
        ).fetchone()
        assert found
        data = {"model": "claude-opus-4", "usage": {"input_tokens": 10, "output_tokens": 1}}
        connection.execute(
            "INSERT INTO workbench.observability_events (execution_id, step_number, event_type, data) "
            "VALUES (%s, 0, 'llm_call', %s)",
            [found[0], Jsonb(data)],
        )

    assert list(price(store).reasons) == [
        "the calls that are known are not all that the run used, and it used several models"
    ]


def test_parts_of_a_session_are_priced_as_the_whole(store: Store, tmp_path: Path) -> None:
    """Two files with different parts of a session: the cost is that of both, whichever is read first."""
    lines, found = claude((SONNET, 1_000), (SONNET, 2_000), (SONNET, 3_000)).splitlines(keepends=True), []
    for order in ((lines[:2], lines[1:]), (lines[1:], lines[:2])):
        for number, part in enumerate(order):
            read(store, tmp_path / f"{number}.jsonl", b"".join(part))
        found += rows(store, SPENT)
        with store.raw() as connection:
            connection.execute("DELETE FROM workbench.agent_executions")
            connection.execute("DELETE FROM workbench.imports")

    assert found == [(Decimal("0.01845"), "prices", True)] * 2


def test_after_an_upgrade_of_the_prices(store: Store, tmp_path: Path) -> None:
    """What an older table priced stays until it is asked for; then the table of today says the cost and its name."""
    read(store, tmp_path / "a.jsonl", claude((SONNET, 1_000)))
    with store.raw() as connection:
        connection.execute(
            'UPDATE workbench.agent_executions SET cost = 7, metadata = metadata || \'{"price_table": "older 1"}\''
        )
    table = "SELECT cost, metadata->>'price_table' = 'older 1' FROM workbench.agent_executions"

    price(store)
    assert rows(store, table) == [(Decimal(7), True)]
    assert price(store, again=True).updated == 1
    assert rows(store, table) == [(Decimal("0.00315"), False)]
