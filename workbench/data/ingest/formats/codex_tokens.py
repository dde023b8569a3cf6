"""The tokens of a Codex rollout, counted once.

``token_count`` holds the session's running total and the last call's tokens, and is written again whenever rate limits
change. What a call used is the growth of the total; cached input is part of input, reasoning part of output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.data.ingest.normal import Usage
from workbench.data.ingest.reading.chat import count, mapping
from workbench.data.ingest.reading.source import Source

_CLASSES = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
_Tokens = dict[str, int]

_CARRIED = "the first total of the file counts earlier calls too: only the last call's own tokens are taken"
_RESET = "the running total went down: the last call's own tokens are taken"
_DISAGREES = "last_token_usage is not what the total grew by: the growth of the total is taken"
_CACHED = "more tokens were cached than put in: the uncached input is stored as 0"


@dataclass
class Counter:
    """Follows the running total from one ``token_count`` to the next."""

    source: Source
    _total: _Tokens | None = None

    def take(self, payload: Mapping[str, Any], *, is_copied: bool = False) -> Usage | None:
        """The tokens this event adds; ``None`` where it repeats, or belongs to the session this one was forked from."""
        info = mapping(payload.get("info"))
        total, last = _tokens(info.get("total_token_usage")), _tokens(info.get("last_token_usage"))
        if not total:
            # Without a total there is no telling a repetition; the last call's tokens are all there is.
            return self._usage(last) if last and not is_copied else None
        before, self._total = self._total, total
        if is_copied or total == before:
            return None
        return self._usage(self._grown(before, total, last))

    @property
    def reported(self) -> Usage | None:
        """The running total as it was written last."""
        return self._usage(self._total) if self._total else None

    def _grown(self, before: _Tokens | None, total: _Tokens, last: _Tokens) -> _Tokens:
        grown = {name: n - (before or {}).get(name, 0) for name, n in total.items()}
        if any(n < 0 for n in grown.values()):
            self.source.changed("tokens", _RESET)
            return last or total
        if last and grown != last:
            self.source.changed("tokens", _CARRIED if before is None else _DISAGREES)
            return last if before is None else grown
        return grown

    def _usage(self, tokens: _Tokens) -> Usage | None:
        if not any(tokens.values()):
            return None
        given, read, written, out, reasoning = (tokens.get(name) for name in _CLASSES)
        uncached = None if given is None else given - (read or 0) - (written or 0)
        if uncached is not None and uncached < 0:
            self.source.changed("tokens", _CACHED)
            uncached = 0
        return Usage(uncached, read, written, out, reasoning)


def _tokens(value: Any) -> _Tokens:
    found = {name: count(mapping(value).get(name)) for name in _CLASSES}
    return {name: n for name, n in found.items() if n is not None}
