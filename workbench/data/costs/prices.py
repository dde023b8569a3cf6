"""A dated table of prices: what one call of a model cost on the day it was made, or why that cannot be told.

The table is that of the library genai-prices, read from what is installed: nothing is asked of the network. It knows
the price of a model by provider, by day, by the length of the prompt (tiers) and by the way of serving (batch, fast,
flex, priority). What it does not know for certain is :class:`Unpriced`, never 0 and never a likely price:

- a model without its provider is priced only where its name is its maker's own; weights that anyone may serve are not;
- a call without a time is priced only where the model never had another price;
- a way of serving for which no price is known is not taken for the usual one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from workbench.data.ingest.normal import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

TABLE = "genai-prices"
_MTOK = 1_000_000

# Names before a slash that are not the table's own.
_PREFIXES = {
    "bedrock": "aws",
    "converse": "aws",
    "gemini": "google",
    "googleai": "google",
    "vertex_ai": "google",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}
# Bedrock's ids: [region.]maker.model-v1:0
_BEDROCK = re.compile(r"(?:[a-z]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai)\.[a-z]")
# Weights that may be downloaded, so that the name says nothing of who served them; and names of local copies.
_OPEN = re.compile(r"gpt-oss|^(?:mistral|mixtral|codestral|devstral|deepseek)[^/]*:|:latest$")
_USUAL = {None, "", "standard", "default", "auto", "on_demand"}


@dataclass(slots=True, frozen=True)
class Call:
    """One call of a model, or the sum of several of which no single one is known (``is_sum``)."""

    model: str | None
    usage: Usage
    at: datetime | None = None
    provider: str | None = None
    service: tuple[tuple[str, str], ...] = ()  # ('service_tier', 'flex'), ('speed', 'fast'): what is not the usual way
    n_searches: int = 0
    is_sum: bool = False


@dataclass(slots=True, frozen=True)
class Unpriced:
    """Why a call has no price."""

    reason: str


@dataclass(slots=True, frozen=True)
class _Rates:
    """US dollars for one token of each class, one search, one request."""

    uncached: Decimal
    read: Decimal
    write_5m: Decimal
    write_1h: Decimal
    output: Decimal
    search: Decimal
    request: Decimal

    def of(self, usage: Usage, n_searches: int) -> Decimal:
        written, hour = usage.cache_write_tokens or 0, usage.cache_write_1h_tokens or 0
        return (
            self.uncached * (usage.input_tokens or 0)
            + self.read * (usage.cache_read_tokens or 0)
            + self.write_5m * (written - hour)
            + self.write_1h * hour
            + self.output * (usage.output_tokens or 0)
            + self.search * n_searches
            + self.request
        )


@dataclass
class _Model:
    """A model of the table, with the rates that were worked out for it."""

    provider: Provider
    info: ModelInfo
    _rates: dict[Any, tuple[list[int], dict[int, _Rates]]] = field(default_factory=dict)

    @property
    def is_dated(self) -> bool:
        """Whether its price depends on when the call was made."""
        prices = self.info.prices
        return isinstance(prices, list) and len(prices) > 1

    def price(self, call: Call) -> Decimal | Unpriced:
        """What a call cost."""
        if call.at is None and self.is_dated:
            return Unpriced(f"model {call.model!r} had several prices and the call has no time")
        key = self._period(call)
        if isinstance(key, Unpriced):
            return key
        if key not in self._rates:
            prices = self._prices(call)
            self._rates[key] = (_starts(prices), {})
            self._rates[key][1][-1] = _rates(prices, 0)
        starts, by_tier = self._rates[key]
        usage = call.usage
        given = (usage.input_tokens or 0) + (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
        tier = bisect_left(starts, given)  # a tier holds for more tokens than its start
        if tier and call.is_sum:
            return Unpriced(
                f"the price of {call.model!r} depends on the length of each prompt, and only sums are known"
            )
        if tier - 1 not in by_tier:
            by_tier[tier - 1] = _rates(self._prices(call), starts[tier - 1] + 1)
        rates = by_tier[tier - 1]
        if usage.output_tokens is None and rates.output:
            return Unpriced("not all classes of tokens are known")
        if call.is_sum and rates.request:
            return Unpriced(f"{call.model!r} has a price for each request, and only sums are known")
        return rates.of(usage, call.n_searches)

    def _period(self, call: Call) -> Any:
        """What decides the price beside tokens: which of the prices of its life holds, and how the call was served."""
        at = call.at or datetime.now(UTC)
        prices = self.info.prices
        held = [p.constraint is None or p.constraint.active(at) for p in prices] if isinstance(prices, list) else []
        if held and not any(held):
            return Unpriced(f"no price of {call.model!r} is known for {at:%Y-%m-%d}")
        if not call.service:
            return tuple(held), ()
        context = dict(call.service)
        variants = [
            index
            for index, variant in enumerate(self.info.price_variants or ())
            if (variant.constraint is None or variant.constraint.active(at))
            and all(context.get(key) == value for key, value in variant.when.items())
        ]
        if not variants:
            said = ", ".join(f"{key} {value!r}" for key, value in call.service)
            return Unpriced(f"no price of {call.model!r} is known for {said} on {at:%Y-%m-%d}")
        return tuple(held), tuple(variants)

    def _prices(self, call: Call) -> ModelPrice:
        return self.info.get_prices(call.at or datetime.now(UTC), dict(call.service) or None)


class PriceTable:
    """The prices that are installed. Looked up once for each model and period, so that a million calls are cheap."""

    def __init__(self) -> None:
        # Imported late: it takes a third of a second, and only who prices something needs it.
        from genai_prices import data_snapshot

        self._snapshot = data_snapshot.get_snapshot()
        self.name = f"{TABLE} {version(TABLE)}"
        self._models: dict[tuple[str | None, str], _Model | Unpriced] = {}

    @property
    def newest(self) -> date:
        """The day of the newest price in the table that holds already."""
        starts = (
            getattr(part.constraint, "start_date", date.min)
            for provider in self._snapshot.providers
            for model in provider.models
            for part in [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
        )
        today = datetime.now(UTC).date()
        return max(start for start in starts if start <= today)

    def price(self, call: Call) -> Decimal | Unpriced:
        """What a call cost in US dollars."""
        usage = call.usage
        if call.model is None or call.model.startswith("<"):
            return Unpriced("no model is named")
        if usage.input_tokens is None:
            return Unpriced("not all classes of tokens are known")
        if any(n < 0 for n in usage.as_dict().values()):
            return Unpriced("a number of tokens that cannot be")
        if (usage.cache_write_1h_tokens or 0) > (usage.cache_write_tokens or 0):
            return Unpriced("a number of tokens that cannot be")
        key = call.provider, call.model
        found = self._models.get(key)
        if found is None:
            found = self._models[key] = self._find(*key)
        return found if isinstance(found, Unpriced) else found.price(call)

    def _find(self, provider: str | None, model: str) -> _Model | Unpriced:
        provider_id, name = self._provider(provider, model)
        if isinstance(provider_id, Unpriced):
            return provider_id
        try:
            return _Model(*self._snapshot.find_provider_model(name, None, provider_id, None))
        except LookupError:
            return Unpriced(f"no price of model {model!r}" + (f" at {provider!r}" if provider else ""))

    def _provider(self, provider: str | None, model: str) -> tuple[str | Unpriced | None, str]:
        """The table's id of who served a model, and the model's name there."""
        from genai_prices.data_snapshot import find_provider_by_id

        known = {provider.id for provider in self._snapshot.providers}
        name = model
        prefix, slash, rest = model.lower().partition("/")
        prefix = _PREFIXES.get(prefix, prefix)
        if provider is not None:
            given = find_provider_by_id(self._snapshot.providers, _PREFIXES.get(provider.lower(), provider))
            if given is None:
                return Unpriced(f"no prices of provider {provider!r}"), model
            own = slash and prefix == given.id and given.id != "openrouter"
            return given.id, rest if own else name
        if slash:
            if prefix not in known:
                return Unpriced(f"no price of model {model!r}"), model
            return (Unpriced(f"who served {model!r} is not known"), model) if _is_open(rest, prefix) else (prefix, rest)
        if _BEDROCK.match(model.lower()):
            return "aws", model
        if _OPEN.search(model.lower()):
            return Unpriced(f"who served {model!r} is not known"), model
        return None, model


def _is_open(name: str, provider: str) -> bool:
    return provider == "openai" and "gpt-oss" in name


@cache
def price_table() -> PriceTable:
    """The table, read once for a process."""
    return PriceTable()


def usual(service: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    """What of the way a call was served is not the usual one, in the words of the table."""
    told = {key: value.lower() for key, value in service.items() if value and value.lower() not in _USUAL}
    if told.get("service_tier") == "batch":
        del told["service_tier"]
        told["processing"] = "batch"
    return tuple(sorted(told.items()))


def _starts(prices: ModelPrice) -> list[int]:
    """The numbers of input tokens above which another price holds."""
    return sorted({tier.start for price in vars(prices).values() for tier in getattr(price, "tiers", ())})


def _rates(prices: ModelPrice, given: int) -> _Rates:
    """The rates of each class for a prompt of a length, as the library computes them."""
    from genai_prices import Usage as Priced

    flat = copy(prices)
    for name, price in vars(prices).items():
        tiers = getattr(price, "tiers", None)
        if tiers is not None:
            held = [tier.price for tier in tiers if given > tier.start]
            object.__setattr__(flat, name, held[-1] if held else price.base)

    def total(**units: int) -> Decimal:
        return flat.calc_price(Priced(**units))["total_price"]

    request = total(input_tokens=0, output_tokens=0)

    def cost(**units: int) -> Decimal:
        return total(**units) - request

    return _Rates(
        uncached=cost(input_tokens=_MTOK) / _MTOK,
        read=cost(input_tokens=_MTOK, cache_read_tokens=_MTOK) / _MTOK,
        write_5m=cost(input_tokens=_MTOK, cache_write_tokens=_MTOK) / _MTOK,
        write_1h=cost(input_tokens=_MTOK, cache_write_tokens=_MTOK, cache_write_1h_tokens=_MTOK) / _MTOK,
        output=cost(output_tokens=_MTOK) / _MTOK,
        search=cost(web_searches=1000) / 1000,
        request=request,
    )
