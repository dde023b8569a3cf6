"""The runs that a user names: ids and parts of ids, records, and the frames that runs are picked from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

from workbench.data.frames import filters
from workbench.data.frames.query import Query
from workbench.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

_ID_CHARS = 4  # of an abbreviated id
_ID = {"id": pl.String}


def run_ids(transport: Transport, given: Any) -> list[str]:
    """The ids of all runs named, each once, in their order.

    Raises
    ------
    NotFoundError
        No run, or several, begin so.
    """
    named = dict.fromkeys(_text(one) for one in _named(given))
    whole = [text for text in named if len(text) == 36]
    query = sql.SQL("SELECT id::text AS id FROM workbench.agent_executions WHERE {}")
    known = set(transport.fetch(query.format(filters.ids(sql.SQL("id"), whole)), _ID)["id"]) if len(whole) > 1 else ()
    return list(dict.fromkeys(text if text in known else _found(transport, text) for text in named))


def run_id(transport: Transport, given: Any) -> str:
    """The id of the one run named.

    Raises
    ------
    NotFoundError
        No run, or several, begin so.
    ConfigurationError
        Several are named, or none.
    """
    named = _named(given)
    if len(named) != 1:
        rows = f" of {len(given)} rows" if isinstance(given, pl.DataFrame | pl.Series) else ""
        raise ConfigurationError(
            f"One run is needed, and this {type(given).__name__}{rows} names {len(named) or 'none'}."
            " Give one, like runs['id'][0], or select one in the browser.",
            value=given,
        )
    return _found(transport, _text(named[0]))


def _named(given: Any) -> list[Any]:
    """What names the runs, one for each; of a frame of events or states, the runs that they are of."""
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if isinstance(given, pl.DataFrame):
        column = next((name for name in ("execution_id", "id") if name in given.columns), None)
        if column is None:
            raise ConfigurationError(
                f"This frame has no column 'id' to name its runs by; it has: {', '.join(given.columns) or 'none'}."
                " Keep 'id' when you select columns."
            )
        return given[column].unique(maintain_order=True).to_list()
    if isinstance(given, pl.Series):
        return given.to_list()
    if isinstance(given, Mapping):
        return [given.get("execution_id", given.get("id"))]
    if isinstance(given, str) or hasattr(given, "id") or not isinstance(given, Iterable):
        return [given]
    return list(given)


def _text(one: Any) -> str:
    text = str(getattr(one, "id", one)).strip().lower()
    return str(filters.as_uuid(text)) if len(text) == 36 else text


def _found(transport: Transport, text: str) -> str:
    bare = text.replace("-", "")
    if len(bare) < _ID_CHARS or not all(c in "0123456789abcdef" for c in bare) or len(bare) > 32:
        raise NotFoundError(
            f"No execution {text!r}. Give an id, or its first {_ID_CHARS} characters or more."
            " List them with bench.executions().",
            run=text,
        )
    low, high = bare.ljust(32, "0"), bare.ljust(32, "f")
    query = sql.SQL(
        "SELECT id::text AS id FROM workbench.agent_executions"
        " WHERE id BETWEEN {}::uuid AND {}::uuid ORDER BY id LIMIT 6"
    ).format(sql.Literal(low), sql.Literal(high))
    found = transport.fetch(query, _ID)["id"].to_list()
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(f"{len(found)} executions or more begin with {text!r}: {', '.join(found)}.", run=text)
    raise NotFoundError(
        f"No execution {text!r}.{_similar(transport, text)} List them with bench.executions().", run=text
    )


def _similar(transport: Transport, text: str) -> str:
    newest = transport.fetch(Query("executions", columns=["id"], fields=[], limit=1000).text(), _ID)["id"].to_list()
    close = difflib.get_close_matches(text, newest, 1, cutoff=0.7) or difflib.get_close_matches(
        text, [one[: len(text)] for one in newest], 1, cutoff=0.7
    )
    return f" Did you mean {close[0]!r}?" if close else ""
