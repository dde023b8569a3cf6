"""Model and tokens, as an answer of a model tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.reading.openai_usage import openai_usage
from workbench.data.ingest.reading.source import Source
from workbench.replay.capture.values import plain

# Anthropic counts what was read from the cache beside the input, OpenAI within it.
_BESIDE = ("cache_read_input_tokens", "cache_creation_input_tokens")


def usage_of(answer: Any) -> tuple[str | None, dict[str, int] | None]:
    """Model and tokens, in disjoint classes, of an answer of OpenAI (chat, responses), of LiteLLM or of Anthropic.

    ``None`` for what it does not tell.

    Examples
    --------
    >>> usage_of({"model": "gpt-x", "usage": {"prompt_tokens": 9, "completion_tokens": 2,
    ...           "prompt_tokens_details": {"cached_tokens": 4}}})
    ('gpt-x', {'input_tokens': 5, 'cache_read_tokens': 4, 'output_tokens': 2})
    >>> usage_of({"model": "claude-x", "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 2}})
    ('claude-x', {'input_tokens': 5, 'cache_read_tokens': 4, 'output_tokens': 2})
    >>> usage_of("no answer of theirs")
    (None, None)
    """
    model, told = _member(answer, "model"), plain(_member(answer, "usage"))
    usage = None
    if isinstance(told, Mapping):
        found = openai_usage(_whole(told), Source("record", content=b""))
        usage = found.as_dict() if found is not None else None
    return (model if isinstance(model, str) else None), usage or None


def _whole(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the cache's tokens within the input, as OpenAI counts."""
    if "prompt_tokens" in usage or "input_tokens_details" in usage or not any(name in usage for name in _BESIDE):
        return usage
    beside = [usage.get("input_tokens"), *(usage.get(name) for name in _BESIDE)]
    return {**usage, "input_tokens": sum(n for n in beside if isinstance(n, int))}


def _member(value: Any, name: str) -> Any:
    try:
        return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    except Exception:  # noqa: BLE001 (a property of the agent's)
        return None
