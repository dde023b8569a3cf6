"""The dated table of prices: by class of tokens, by day, by length, by way of serving; and when it says nothing."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.costs.prices import Call, PriceTable, Unpriced, price_table, usual
from workbench.data.ingest.normal import Usage

OCTOBER = datetime(2025, 10, 1, 12, tzinfo=UTC)
SONNET = "claude-sonnet-4-20250514"


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return price_table()


def cost(table: PriceTable, model: str | None, usage: Usage, at: datetime | None = OCTOBER, **more: Any) -> Decimal:
    """The price of a call that has one."""
    found = table.price(Call(model, usage, at, **more))
    assert isinstance(found, Decimal), found
    return found


def reason(table: PriceTable, model: str | None, usage: Usage, at: datetime | None = OCTOBER, **more: Any) -> str:
    """Why a call has no price."""
    found = table.price(Call(model, usage, at, **more))
    assert isinstance(found, Unpriced), found
    return found.reason


def test_every_class_has_its_price(table: PriceTable) -> None:
    """A call of Sonnet 4 by hand: 3 $ in, 0.30 read, 3.75 written for 5 minutes, 6 for an hour, 15 out, per million."""
    usage = Usage(1_000, 50_000, 2_500, 700, reasoning_tokens=300, cache_write_1h_tokens=500)

    by_hand = (1_000 * 3 + 50_000 * Decimal("0.3") + 2_000 * Decimal("3.75") + 500 * 6 + 700 * 15) / 1_000_000
    assert cost(table, SONNET, usage) == by_hand == Decimal("0.039")


def test_searches_have_a_price(table: PriceTable) -> None:
    """Ten dollars for a thousand searches come on top of the tokens."""
    usage = Usage(1_000, None, None, 0)

    assert cost(table, SONNET, usage, n_searches=2) - cost(table, SONNET, usage) == Decimal("0.02")


def test_a_price_that_changed(table: PriceTable) -> None:
    """O3 became cheaper on 2025-06-10: the day of the call decides, and a call without a time has no price."""
    usage = Usage(1_000_000, 0, 0, 0)

    assert cost(table, "o3", usage, datetime(2025, 6, 9, 23, 59, tzinfo=UTC)) == 10
    assert cost(table, "o3", usage, datetime(2025, 6, 10, tzinfo=UTC)) == 2
    assert "several prices" in reason(table, "o3", usage, None)


def test_tiers(table: PriceTable) -> None:
    """Above 200,000 tokens of input, cached ones counted, Sonnet 4.5 has another price for all tokens of the call."""
    model = "claude-sonnet-4-5-20250929"

    assert cost(table, model, Usage(100_000, 100_000, 0, 0)) == Decimal("0.33")
    assert cost(table, model, Usage(100_001, 100_000, 0, 0)) == Decimal("0.660006")
    assert "length of each prompt" in reason(table, model, Usage(900_000, 0, 0, 0), is_sum=True)
    assert cost(table, model, Usage(100_000, 0, 0, 0), is_sum=True) == Decimal("0.3")


def test_ways_of_serving(table: PriceTable) -> None:
    """A batch costs half; a way of serving that has no price on that day is not taken for the usual one."""
    usage, late = Usage(1_000_000, 0, 0, 0), datetime(2026, 11, 1, tzinfo=UTC)
    batch = usual({"service_tier": "batch", "speed": "standard"})

    assert (
        cost(table, "claude-haiku-4-5", usage, late),
        cost(table, "claude-haiku-4-5", usage, late, service=batch),
    ) == (
        1,
        Decimal("0.5"),
    )
    assert "processing 'batch' on 2025-10-01" in reason(table, "claude-haiku-4-5", usage, service=batch)
    assert usual({"service_tier": "default", "speed": None}) == ()


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        (None, None, "no model is named"),
        ("<synthetic>", None, "no model is named"),
        ("this-model-does-not-exist", None, "no price of model 'this-model-does-not-exist'"),
        ("llama3.1", None, "no price of model 'llama3.1'"),
        ("llama3.1", "ollama", "no prices of provider 'ollama'"),
        ("ollama/llama3.1", None, "no price of model 'ollama/llama3.1'"),
        ("hosted_vllm/gpt-4o", None, "no price of model 'hosted_vllm/gpt-4o'"),
        ("gpt-oss-120b", None, "who served 'gpt-oss-120b' is not known"),
        ("mistral:7b", None, "who served 'mistral:7b' is not known"),
        ("gpt-4o", "my-own-gateway", "no prices of provider 'my-own-gateway'"),
        ("ft:gpt-4.1-2025-04-14:acme::1", None, "no price of model 'ft:gpt-4.1-2025-04-14:acme::1'"),
    ],
)
def test_unpriced_is_never_a_guess(table: PriceTable, model: str | None, provider: str | None, expected: str) -> None:
    """Unknown models, local ones and open weights have no price, whatever their name is like."""
    assert reason(table, model, Usage(10, 0, 0, 10), provider=provider) == expected


@pytest.mark.parametrize(
    ("model", "provider", "served"),
    [
        ("claude-sonnet-4-5-20250929", None, ("anthropic", "claude-sonnet-4-5-20250929")),
        ("anthropic/claude-sonnet-4-5", None, ("anthropic", "claude-sonnet-4-5")),
        ("openai/gpt-4o", "openai.responses", ("openai", "gpt-4o")),
        ("gemini/gemini-2.5-pro", None, ("google", "gemini-2.5-pro")),
        ("openrouter/anthropic/claude-sonnet-4.5", None, ("openrouter", "anthropic/claude-sonnet-4.5")),
        ("anthropic/claude-sonnet-4.5", "openrouter", ("openrouter", "anthropic/claude-sonnet-4.5")),
        (
            "converse/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            None,
            ("aws", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            None,
            ("aws", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
    ],
)
def test_who_served_a_model(table: PriceTable, model: str, provider: str | None, served: tuple[str, str]) -> None:
    """The provider is told by the source, by what stands before a slash, or by a name that only its maker uses."""
    usage = Usage(300, 500, 200, 10)
    library = LibraryUsage(input_tokens=1_000, cache_read_tokens=500, cache_write_tokens=200, output_tokens=10)

    expected = calc_price(library, served[1], provider_id=served[0], genai_request_timestamp=OCTOBER)
    assert cost(table, model, usage, provider=provider) == expected.total_price


_TOKENS = st.integers(0, 400_000)


@given(
    model=st.sampled_from([SONNET, "claude-sonnet-4-5", "claude-opus-4-6", "gpt-4.1", "o3", "gemini-2.5-pro", "gpt-5"]),
    tokens=st.tuples(_TOKENS, _TOKENS, _TOKENS, _TOKENS, st.floats(0, 1)),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2026, 11, 1), timezones=st.just(UTC)),
)
def test_as_the_library_says(model: str, tokens: tuple[int, int, int, int, float], at: datetime) -> None:
    """The rates that are kept for speed give what the library computes for the call itself."""
    uncached, read, written, out, share = tokens
    hour = int(written * share)
    library = LibraryUsage(
        input_tokens=uncached + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        output_tokens=out,
    )

    ours = price_table().price(Call(model, Usage(uncached, read, written, out, None, hour), at))
    assert isinstance(ours, Decimal)
    assert abs(ours - calc_price(library, model, genai_request_timestamp=at).total_price) < Decimal("1e-12")


def test_the_table_is_named_and_dated(table: PriceTable) -> None:
    """The name says the version, the date that of the newest price that holds today."""
    assert table.name.startswith("genai-prices 0.")
    assert table.newest > datetime(2026, 1, 1, tzinfo=UTC).date()


def test_only_who_prices_loads_the_table() -> None:
    """Neither the package nor an ingest's modules import the table before it is used."""
    code = (
        "import sys, workbench, workbench.data.ingest, workbench.data.costs.pricing\n"
        "sys.exit('genai_prices' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
