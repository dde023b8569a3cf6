"""What an Inspect sample stores once and refers to: long texts (``attachment://<hash>``) and pooled messages.

Everything is put back where it belongs. Only the input of model calls repeats the whole conversation each time; beyond
:data:`MAX_REPEATED` characters of it, further calls keep their references, and what they refer to stays in the run's
metadata (``attachments``, ``message_pool``, ``call_pool``), so that a long run does not grow with its square.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.reading.chat import elements, mapping

MAX_REPEATED = 16_000_000

_PREFIXES = ("attachment://", "tc://")  # tc:// until November 2024
_REPEATING = ("input", "call")


class Attachments:
    """The texts and pools of one sample.

    Attributes
    ----------
    missing
        How many references name a text that is not in the log.
    kept
        What calls still refer to, for the run's metadata; empty when everything was put back.
    """

    def __init__(self, sample: Mapping[str, Any]) -> None:
        transcript, pools = mapping(sample.get("transcript")), mapping(sample.get("events_data"))
        self._texts = mapping(sample.get("attachments")) or mapping(transcript.get("content"))
        self._pools = {
            "message_pool": elements(sample.get("message_pool")) or elements(pools.get("messages")),
            "call_pool": elements(sample.get("call_pool")) or elements(pools.get("calls")),
        }
        self._repeated = 0
        self.missing = 0
        self.kept: dict[str, Any] = {}

    def resolve(self, value: Any) -> Any:
        """A copy of a JSON value with every reference replaced by its text."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        return value

    def resolve_event(self, event: Any) -> Any:
        """A copy of an event with texts and pooled messages put back."""
        if not isinstance(event, dict):
            return event
        if event.get("event") != "model":
            return self.resolve(event)
        if self._repeated > MAX_REPEATED:
            pools = {name: pool for name, pool in self._pools.items() if pool}
            self.kept = {**pools, **({"attachments": dict(self._texts)} if self._texts else {})}
            return {k: v if k in _REPEATING else self.resolve(v) for k, v in event.items()}
        full = self.resolve(self._pooled(event))
        self._repeated += _size([full.get(name) for name in _REPEATING])
        return full

    def _text(self, text: str) -> str:
        for prefix in _PREFIXES:
            if text.startswith(prefix):
                found = self._texts.get(text[len(prefix) :])
                if isinstance(found, str):
                    return found
                self.missing += 1
        return text

    def _pooled(self, event: dict[str, Any]) -> dict[str, Any]:
        """Put pooled messages back into a model event (logs from 2026 on): references are ``[start, end)`` ranges."""
        event = dict(event)
        if (refs := elements(event.get("input_refs"))) and not event.get("input"):
            named = ranges(refs, self._pools["message_pool"])
            if named is not None:
                del event["input_refs"]
                event["input"] = named
        call = event.get("call")
        if not isinstance(call, dict) or not elements(call.get("call_refs")):
            return event
        named = ranges(call["call_refs"], self._pools["call_pool"])
        if named is not None:
            request = {**mapping(call.get("request")), str(call.get("call_key") or "messages"): named}
            left = {k: v for k, v in call.items() if k not in ("call_refs", "call_key")}
            event["call"] = {**left, "request": request}
        return event


def ranges(refs: list[Any], pool: list[Any]) -> list[Any] | None:
    """The items that ``[start, end)`` references name; ``None`` where they name the same ones again and again.

    A few bytes can name gigabytes so. No log of Inspect does it: beyond :data:`MAX_REPEATED` nothing is put back.
    """
    pairs = [ref for ref in refs if isinstance(ref, list) and len(ref) == 2 and all(isinstance(n, int) for n in ref)]
    n_named = sum(len(range(*slice(start, end).indices(len(pool)))) for start, end in pairs)
    if n_named > len(pool):
        if n_named > MAX_REPEATED // 8:
            return None
        sizes = [_size(item) for item in pool]
        if sum(sum(sizes[start:end]) for start, end in pairs) > MAX_REPEATED:
            return None
    return [item for start, end in pairs for item in pool[start:end]]


def _size(value: Any) -> int:
    """Characters of text in a value, roughly."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return 8
