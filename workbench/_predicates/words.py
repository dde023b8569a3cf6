"""The words that predicates know: kinds of events, columns of events and runs. A test holds them against the frames."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from workbench._predicates import paths
from workbench._predicates.paths import Keys
from workbench.errors import ConfigurationError

EVENT_TYPES = (
    "message", "reasoning", "tool_call", "tool_result", "llm_call", "span", "state", "score", "metric", "log",
)  # fmt: skip
#: One word for several types.
GROUPS = {"tool": ("tool_call", "tool_result")}
#: Columns that ``event(…, column=value)`` filters by.
EVENT_FILTERS = ("name", "agent", "category", "severity", "mark")
EVENT_COLUMNS = (
    "event_type", "name", "agent", "category", "severity", "duration_ms", "trace_id", "span_id", "parent_span_id",
    "mark",
)  # fmt: skip
EVENT_DOCUMENTS = ("data",)
RUN_COLUMNS = (
    "id", "name", "agent_type", "model", "status", "score", "task_id", "task", "execution_time_ms", "n_events",
    "n_errors", "n_snapshots", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "output_tokens", "reasoning_tokens", "cost_usd", "cost_source", "error_type", "error", "trace_id",
    "parent_execution_id", "parent_event_id", "link", "source", "source_id",
)  # fmt: skip
RUN_DOCUMENTS = ("metadata", "input", "output", "token_usage")
SEVERITIES = ("debug", "info", "warning", "error", "critical")
MARKS = ("orphaned", "unfinished", "out_of_order")
TIMES = ("timestamp", "started_at", "completed_at", "created_at")


def known(word: str, allowed: Iterable[str], *, what: str, advice: str = "") -> str:
    """The word, if it is one of those allowed.

    Raises
    ------
    ConfigurationError
        It is not; the text says what is, and which is close.
    """
    allowed = tuple(allowed)
    if word in allowed:
        return word
    close = difflib.get_close_matches(word, allowed, 1) or [one for one in allowed if one.startswith(word) and word]
    raise ConfigurationError(
        f"{what} {word!r} is not known."
        + (f" Did you mean {close[0]!r}?" if close else "")
        + f" There are: {', '.join(allowed)}."
        + (f" {advice}" if advice else ""),
        value=word,
        allowed=allowed,
    )


def no_time(column: str) -> None:
    """Refuse a column of times."""
    if column in TIMES:
        raise ConfigurationError(
            f"{column!r} is a time. Choose runs by time with since= and until= of bench.find().", value=column
        )


def no_deeper(keys: Keys, documents: Sequence[str]) -> None:
    """Refuse a path into a column that is no document."""
    if len(keys) > 1 and keys[0] not in documents:
        raise ConfigurationError(
            f"{paths.written(keys)!r}: {keys[0]} is one value and has no parts; {', '.join(documents)} have.",
            value=paths.written(keys),
        )
