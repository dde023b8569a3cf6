"""GenAI attribute names of OpenTelemetry: three generations and two families beside them, one reading.

The names moved three times: the first drafts (``llm.*``, ``gen_ai.usage.prompt_tokens``, ``gen_ai.prompt``), semantic
conventions 1.27 to 1.36 (``gen_ai.system``, ``gen_ai.usage.input_tokens``, messages as span events) and 1.37 and later
(``gen_ai.provider.name``, ``gen_ai.input.messages``). OpenInference (``llm.token_count.prompt``, ``input.value``) and
the Vercel AI SDK (``ai.usage.inputTokens``) have names of their own. :data:`ALIASES` names each value as the newest
generation does and lists its other spellings, newest first; ``docs/genai-names.md`` shows it. Reading an attribute
never renames it: :func:`named` puts the newest names beside the source's own, and what is stored keeps those alone.

Source: the registry and deprecation notes of github.com/open-telemetry/semantic-conventions and its GenAI successor;
OpenInference's semantic conventions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NewType

import orjson

from workbench.data.ingest.normal import Usage

ALIASES: dict[str, tuple[str, ...]] = {
    "gen_ai.operation.name": ("llm.request.type", "openinference.span.kind", "ai.operationId"),
    "gen_ai.provider.name": ("gen_ai.system", "llm.vendor", "llm.provider", "llm.system", "ai.model.provider"),
    "gen_ai.request.model": (
        "llm.request.model",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
        "reranker.model_name",
        "ai.model.id",
    ),
    "gen_ai.response.model": ("llm.response.model", "llm.response.model_name", "ai.response.model"),
    "gen_ai.response.finish_reasons": (
        "gen_ai.response.finish_reason",
        "llm.response.finish_reason",
        "llm.finish_reason",
        "ai.response.finishReason",
    ),
    "gen_ai.conversation.id": ("gen_ai.thread.id", "gen_ai.session.id", "conversation.id", "session.id"),
    "gen_ai.agent.name": ("gen_ai.agent", "agent.name", "ai.telemetry.functionId"),
    "gen_ai.usage.input_tokens": (
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "gen_ai.usage.output_tokens": (
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "gen_ai.usage.cache_read.input_tokens": (
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
        "ai.usage.cachedInputTokens",
    ),
    "gen_ai.usage.cache_write.input_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "gen_ai.usage.reasoning.output_tokens": (
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ),
    # No generation has a price; these are what instrumentations write instead.
    "gen_ai.usage.cost": ("gen_ai.usage.cost_usd", "gen_ai.usage.total_cost", "operation.cost", "llm.cost.total"),
    "gen_ai.system_instructions": (),
    "gen_ai.input.messages": ("gen_ai.prompt", "gen_ai.request.messages", "llm.prompts"),
    "gen_ai.output.messages": ("gen_ai.completion", "gen_ai.response.messages", "llm.completions"),
    "gen_ai.tool.name": ("tool.name", "ai.toolCall.name"),
    "gen_ai.tool.call.id": ("gen_ai.tool.call_id", "tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"),
    # `tool.parameters` is what the tool was called with, or how it may be called; `input.value` is always the former.
    "gen_ai.tool.call.arguments": (
        "gen_ai.tool.arguments",
        "gen_ai.tool.input",
        "ai.toolCall.args",
        "ai.toolCall.input",
        "input.value",
        "tool.parameters",
    ),
    "gen_ai.tool.call.result": (
        "gen_ai.tool.result",
        "gen_ai.tool.output",
        "gen_ai.tool.message",
        "ai.toolCall.result",
        "ai.toolCall.output",
        "output.value",
    ),
    "error.type": (),
}

# `gen_ai.operation.name` → event type; every other operation is a span.
EVENT_TYPES = {
    "chat": "llm_call",
    "completion": "llm_call",
    "text_completion": "llm_call",
    "generate_content": "llm_call",
    "embeddings": "llm_call",
    "embedding": "llm_call",
    "rerank": "llm_call",
    "execute_tool": "tool_call",
    # OpenInference's kinds
    "LLM": "llm_call",
    "EMBEDDING": "llm_call",
    "RERANKER": "llm_call",
    "TOOL": "tool_call",
    # The AI SDK's operations; those around them (`ai.generateText`) may hold several calls.
    "ai.generateText.doGenerate": "llm_call",
    "ai.streamText.doStream": "llm_call",
    "ai.generateObject.doGenerate": "llm_call",
    "ai.streamObject.doStream": "llm_call",
    "ai.embed.doEmbed": "llm_call",
    "ai.embedMany.doEmbed": "llm_call",
    "ai.toolCall": "tool_call",
}


Named = NewType("Named", Mapping[str, Any])  # attributes in which each value has its newest name too

_NEWEST = {older: newest for newest, others in ALIASES.items() for older in others}
_OLDER = frozenset(_NEWEST)


def named(attributes: Mapping[str, Any]) -> Named:
    """The attributes, each value also under the newest generation's name, whatever the spelling it was written in."""
    if _OLDER.isdisjoint(attributes):
        return Named(attributes)
    values = dict(attributes)
    for newest in {_NEWEST[older] for older in _OLDER.intersection(attributes)}:
        spelled = (attributes.get(spelling) for spelling in (newest, *ALIASES[newest]))
        values[newest] = next((value for value in spelled if value is not None), None)
    return Named(values)


def agent_of(attributes: Named, span_name: str) -> str | None:
    """The agent a span is of: the one it names, or the span itself where it is an agent without a name."""
    agent = text_of(attributes, "gen_ai.agent.name")
    return agent or (span_name or None if attributes.get("openinference.span.kind") == "AGENT" else None)


def text_of(attributes: Mapping[str, Any], name: str) -> str | None:
    """The value of exactly this name as text; None where it is absent or blank. Names with older ones: see `named`."""
    value = attributes.get(name)
    return str(value) if value is not None and value != "" else None


def parsed(value: Any) -> Any:
    """JSON text as the object or list it spells; everything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        try:
            return json.loads(value)  # NaN, lone surrogates
        except (ValueError, RecursionError):
            return value
    return value


def usage_of(attributes: Named) -> Usage | None:
    """Tokens in disjoint classes.

    ``gen_ai.usage.input_tokens`` is the sum of the uncached, the read and the written input. Instrumentations that pass
    the provider's uncached count through instead are known by parts that are larger than the sum.
    """
    total = _whole(attributes.get("gen_ai.usage.input_tokens"))
    read = _whole(attributes.get("gen_ai.usage.cache_read.input_tokens"))
    written = _whole(attributes.get("gen_ai.usage.cache_write.input_tokens"))
    output = _whole(attributes.get("gen_ai.usage.output_tokens"))
    reasoning = _whole(attributes.get("gen_ai.usage.reasoning.output_tokens"))
    if total is read is written is output is reasoning is None:
        return None
    cached = (read or 0) + (written or 0)
    return Usage(
        input_tokens=total - cached if total is not None and cached <= total else total,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=reasoning,
        cache_write_1h_tokens=_kept_an_hour(attributes) if written else None,
    )


def _kept_an_hour(attributes: Mapping[str, Any]) -> int | None:
    """No convention names it: instrumentations put Anthropic's name behind one of their own."""
    found = (name for name in attributes if name.endswith(("ephemeral_1h_input_tokens", "cache_write_1h")))
    return next((n for name in found if (n := _whole(attributes[name])) is not None), None)


def cost_of(attributes: Named) -> float | None:
    """The price in US dollars as an instrumentation wrote it; None = unpriced."""
    value = attributes.get("gen_ai.usage.cost")
    try:
        cost = float(value) if value is not None and not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None
    return cost if cost is not None and 0 <= cost < float("inf") else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count >= 0 else None
