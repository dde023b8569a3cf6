"""Filters of the frames as SQL conditions: literals quoted, values checked, times understood."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import sql

from workbench.errors import ConfigurationError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_KEY = re.compile(r'\.(?:"((?:[^"\\]|\\.)+)"|([^."]+))')  # one key or list position of a JSON path


def one_of(
    column: sql.Composable, given: str | Iterable[str], *, name: str, allowed: Sequence[str] | None = None
) -> sql.Composable:
    """``column = value``, or ``column = ANY(values)``; values checked against ``allowed``.

    Raises
    ------
    ConfigurationError
        A value that is not allowed; the text lists those that are.
    """
    one = isinstance(given, str) or not isinstance(given, Iterable)
    values = [str(given)] if one else [str(value) for value in given]
    for value in values:
        if allowed is not None and value not in allowed:
            close = difflib.get_close_matches(value, allowed, 1)
            raise ConfigurationError(
                f"{name}={value!r} is none of {', '.join(allowed)}."
                + (f" Did you mean {close[0]!r}?" if close else ""),
                value=value,
                allowed=tuple(allowed),
            )
        if "\0" in value:
            raise ConfigurationError(
                f"{name}={value!r} holds a NUL character, which no text in Postgres can hold.", value=value
            )
    if len(values) == 1:
        return sql.SQL("{} = {}").format(column, sql.Literal(values[0]))
    return sql.SQL("{} = ANY({}::text[])").format(column, sql.Literal(values))


def moment(given: str | date, *, name: str, now: datetime | None = None) -> datetime:
    """An aware time from ``"7d"`` (ago), ISO 8601, a datetime, or a date: its first moment, UTC.

    Raises
    ------
    ConfigurationError
        Not a time, or one without a zone.
    """
    if isinstance(given, str):
        ago = _AGO.fullmatch(given.strip())
        if ago:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2].lower()]: float(ago[1])})
        try:
            parsed = datetime.fromisoformat(given)
        except ValueError:
            raise _no_time(given, name) from None
        # A date, or a time of day without zone, in a filter typed by hand: UTC, as all frames show.
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if isinstance(given, date) and not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if not isinstance(given, datetime):
        raise _no_time(given, name)
    if given.tzinfo is None:
        raise ConfigurationError(
            f"{name}={given!r} has no time zone. Use datetime(…, tzinfo=timezone.utc).", value=given
        )
    return given


def _no_time(given: Any, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name}={given!r} is no time. Give '7d', '24h', '30m' (ago), an ISO time like '2026-11-21T08:00Z',"
        " a date or a datetime.",
        value=given,
    )


def since_until(column: sql.Composable, since: str | date | None, until: str | date | None) -> list[sql.Composable]:
    """``column >= since`` and ``column < until``."""
    found = []
    for given, name, sign in ((since, "since", sql.SQL(">=")), (until, "until", sql.SQL("<"))):
        if given is not None:
            literal = sql.Literal(moment(given, name=name).isoformat())
            found.append(sql.SQL("{} {} {}::timestamptz").format(column, sign, literal))
    return found


def ids(column: sql.Composable, given: Iterable[Any]) -> sql.Composable:
    """``column = ANY(uuids)``."""
    return sql.SQL("{} = ANY({}::uuid[])").format(column, sql.Literal([str(as_uuid(one)) for one in given]))


def as_uuid(given: Any) -> uuid.UUID:
    """A UUID from one, from its text, or from a record with an ``id``."""
    given = getattr(given, "id", given)
    try:
        return given if isinstance(given, uuid.UUID) else uuid.UUID(str(given))
    except ValueError:
        raise ConfigurationError(
            f"{given!r} is no id; ids are UUIDs like '01a1fd41-5747-7c6c-8aec-cf4e27c86d53'."
        ) from None


def where(expression: str) -> sql.Composable:
    """A condition in the user's own SQL, closed so that a comment at its end cannot swallow what follows."""
    return sql.SQL("(\n{}\n)").format(sql.SQL(expression))  # pyright: ignore[reportArgumentType]


def json_path(path: str, *, name: str, roots: Sequence[str]) -> tuple[str, list[str]]:
    """``"data.usage.input_tokens"`` → ``("data", ["usage", "input_tokens"])``; a key with dots in double quotes.

    Raises
    ------
    ConfigurationError
        Not a path, or one that starts in no JSON column.
    """
    root, dot, rest = path.partition(".")
    found = list(_KEY.finditer(dot + rest))
    whole = "".join(match[0] for match in found)
    if not found or whole != dot + rest or root not in roots or "\0" in path:
        raise ConfigurationError(
            f"fields[{name!r}] = {path!r} is no path. Write a JSON column ({', '.join(roots)}) and keys or list"
            " positions joined by dots, like 'data.usage.input_tokens', 'data.tool_calls.0.name' or, where a key has"
            " dots, 'data.extra.\"gen_ai.system\"'.",
            value=path,
        )
    return root, [re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2] for match in found]


def quoted(text: str) -> str:
    """A text as a literal of SQL, for a condition that is put together elsewhere."""
    return sql.Literal(text).as_string(None)


def all_of(conditions: Sequence[sql.Composable]) -> sql.Composable:
    """``WHERE … AND …``; empty where there is no condition."""
    if not conditions:
        return sql.SQL("")
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions)
