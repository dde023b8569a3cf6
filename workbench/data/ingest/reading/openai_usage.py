"""Token counts as OpenAI and LiteLLM write them, taken apart into disjoint classes; prices that are none."""

from __future__ import annotations

from typing import Any

from workbench.data.ingest.normal import Usage
from workbench.data.ingest.reading.chat import count, mapping
from workbench.data.ingest.reading.source import Source

_LIFETIMES = ("cache_creation", "cache_creation_token_details")
_NO_CACHE = "prompt tokens stored as input_tokens: the source does not say how many were read from a cache"
_TOO_MANY = "more tokens from the cache than in the prompt: prompt tokens stored as input_tokens as they are"
_UNPRICED = "recorded as 0.0 although a model was called: the recorder knew no price, stored as null"


def openai_usage(usage: Any, source: Source) -> Usage | None:
    """A usage record whose prompt tokens include what was read from and written to a cache.

    The names of OpenAI's chat and of its responses are known, and those that LiteLLM gives the cache of other
    providers; ``None`` where nothing is counted.
    """
    record = mapping(usage)
    prompt = mapping(record.get("prompt_tokens_details")) or mapping(record.get("input_tokens_details"))
    answer = mapping(record.get("completion_tokens_details")) or mapping(record.get("output_tokens_details"))
    return disjoint(
        prompt=_first(record.get("prompt_tokens"), record.get("input_tokens")),
        read=_first(
            record.get("cache_read_input_tokens"), record.get("cache_read_tokens"), prompt.get("cached_tokens")
        ),
        written=_first(
            record.get("cache_creation_input_tokens"),
            record.get("cache_write_tokens"),
            prompt.get("cache_creation_tokens"),
        ),
        output=_first(record.get("completion_tokens"), record.get("output_tokens")),
        reasoning=count(answer.get("reasoning_tokens")),
        written_1h=kept_an_hour(record, prompt),
        source=source,
    )


def kept_an_hour(*records: Any) -> int | None:
    """How many tokens were written to the cache for an hour, as Anthropic names them and others hand them on."""
    for record in map(mapping, records):
        for place in (record, *(mapping(record.get(name)) for name in _LIFETIMES)):
            found = count(place.get("ephemeral_1h_input_tokens"))
            if found is not None:
                return found
    return None


def disjoint(
    *,
    prompt: int | None,
    read: int | None,
    output: int | None,
    source: Source,
    written: int | None = None,
    reasoning: int | None = None,
    written_1h: int | None = None,
) -> Usage | None:
    """Classes that do not overlap, of a prompt count that includes the cached tokens; ``None`` where none is known."""
    uncached = prompt
    if prompt is not None:
        if read is None:
            source.changed("tokens", _NO_CACHE)
        uncached = prompt - (read or 0) - (written or 0)
        if uncached < 0:
            source.changed("tokens", _TOO_MANY)
            uncached = prompt
    found = Usage(uncached, read, written, output, reasoning, written_1h)
    return None if found == Usage() else found


def inclusive(prompt: int | None, read: int | None, output: int | None) -> Usage | None:
    """A reported total, whose prompt tokens include those read from a cache, in disjoint classes."""
    uncached = prompt - read if prompt is not None and read is not None and read <= prompt else prompt
    found = Usage(uncached, read, None, output)
    return None if found == Usage() else found


def price(cost: float | None, usage: Usage | None, source: Source, *, is_call: bool = False) -> float | None:
    """A recorded cost; 0.0 for a call of a model (one that used tokens, or is said to be one) is none, and is noted."""
    if cost == 0 and (is_call or (usage is not None and any(usage.as_dict().values()))):
        source.changed("cost", _UNPRICED)
        return None
    return cost


def _first(*values: Any) -> int | None:
    return next((number for number in map(count, values) if number is not None), None)
