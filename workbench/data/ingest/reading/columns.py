"""Which column of a table holds what: the fields that a user may name columns for, and the check of their names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any

from workbench.errors import ConfigurationError, IngestError

_SHOWN, _SHOWN_CHARS = 50, 60  # names in an error

#: Field → what its column holds. A column may be a dotted path into nested JSON: ``message.content``, ``parts.0.text``.
FIELDS = {
    "run": "which run the row belongs to; without it the whole file is one run",
    "id": "the row's own id within its run; without it the row's content tells it from others",
    "time": "when: ISO 8601 with or without a zone, or a number since 1970 in s, ms, µs or ns, told by its size",
    "event_type": "message, reasoning, tool_call, tool_result, llm_call, span, state, score or log; else inferred",
    "role": "who speaks: system, user, assistant or tool, or a usual other word for one (human, gpt, ai, …)",
    "agent": "the agent that acted: a lane of its own",
    "text": "what was said",
    "tool": "name of the tool that is called or answers",
    "call_id": "id that a call and its result share",
    "arguments": "what the tool is called with, as JSON or text",
    "result": "what the tool answered",
    "error": "text of an error; the row is marked as one where it is not empty",
    "model": "name of the model",
    "input_tokens": "input tokens that no cache served",
    "cache_read_tokens": "input tokens read from a cache",
    "cache_write_tokens": "input tokens written to a cache",
    "output_tokens": "output tokens, those of reasoning included",
    "reasoning_tokens": "the part of the output tokens spent on reasoning",
    "cost_usd": "cost of the row in USD",
    "duration_ms": "how long it took, in milliseconds",
    "span_id": "id of the span, to nest rows",
    "parent_span_id": "span that this one lies in",
    "task": "the task that the run tried; runs of one task can be compared",
    "parent": "the run that started this one: a value of the column `run`",
    "score": "the run's grade as a number; the last one counts, and 0 is a failure",
    "status": "how the run ended: completed, failed, cancelled, running, pending, or a usual word for one; the last",
}
#: What else a mapping may say; these name no column.
OPTIONS = {
    "time_format": "how times are written, as for strptime: '%d/%m/%Y %H:%M'",
    "delimiter": "what separates the cells of a CSV file, where it is not the , ; tab or | of its header",
}


def checked(columns: Mapping[str, Any]) -> dict[str, str]:
    """A mapping of fields to columns, in one order.

    Raises
    ------
    ConfigurationError
        There is no such field, a column is no text, or no column is named at all; the text says what there is.
    """
    allowed = (*FIELDS, *OPTIONS)
    for field, column in columns.items():
        if field not in allowed:
            raise ConfigurationError(
                f"There is no field {field!r}.{nearest(field, allowed)} Fields: {', '.join(FIELDS)}. "
                f"Options: {', '.join(OPTIONS)}.",
                field=field,
                allowed=allowed,
            )
        if not isinstance(column, str) or not column:
            raise ConfigurationError(f"columns[{field!r}] is {column!r}; give the name of a column.", field=field)
    if not any(field in FIELDS for field in columns):
        raise ConfigurationError(f"No column is named. Give at least one of: {', '.join(FIELDS)}.")
    if len(columns.get("delimiter", ",")) != 1:
        raise ConfigurationError(f"The delimiter is {columns['delimiter']!r}; give one character.", field="delimiter")
    return {field: columns[field] for field in allowed if field in columns}


def check_columns(columns: Mapping[str, str], there: Collection[str], name: str) -> None:
    """See to it that a file has the columns that were named.

    Raises
    ------
    IngestError
        One is missing; the text says which there are.
    """
    for field in FIELDS:
        column = columns.get(field)
        if column is not None and column not in there:
            raise IngestError(
                f"{name} has no column {column!r} (named for {field!r}).{nearest(column, there)} "
                f"Columns: {listed(there)}.",
                path=name,
                column=column,
                columns=tuple(there),
            )


def listed(names: Collection[str]) -> str:
    """The names of columns for the text of an error: of a damaged file there may be thousands, each of any length."""
    shown = [name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…" for name in islice(names, _SHOWN)]
    more = [f"… and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return ", ".join([*shown, *more]) or "none"


def nearest(name: str, allowed: Collection[str]) -> str:
    """The name that was probably meant, as a sentence."""
    by_fold = {each.casefold(): each for each in allowed}
    close = difflib.get_close_matches(name.casefold(), by_fold, 1)
    return f" Did you mean {by_fold[close[0]][:_SHOWN_CHARS]!r}?" if close else ""


def variant(columns: Mapping[str, str]) -> str:
    """A short text that tells one mapping from another."""
    return blake2b(json.dumps(columns, sort_keys=True).encode(), digest_size=6).hexdigest()
