"""The first rollouts of Codex, one JSON document each: ``rollout-<date>-<uuid>.json`` of the CLI of April to June 2025.

``{"session": {"timestamp", "id", "instructions"}, "items": […]}``, written again as a whole after every item. Its
``timestamp`` is therefore when it was saved last, not when the session began, and the items have no times. They are the
bare items that the first rollouts by lines hold. The very first releases (``0.1.2504…``) made a new id at every save:
their files are sessions of their own, each with the items of the one before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Head, Record, Source, kind_of
from workbench.errors import IngestError

SAVED_AT = "saved_at"  # what the session's timestamp is called in its step, where a timestamp would be when it began


def likeness(head: Head) -> float:
    """How surely a file is one of these."""
    if not {"session.id", "session.timestamp"} <= head.keys or not head.data.lstrip().startswith(b"{"):
        return 0.0
    if {"items.type", "items.role"} & head.keys:
        return 0.9
    # Instructions may be longer than the head; items, if any, come behind it.
    return 0.7 if "session.instructions" in head.keys and ("items" in head.keys or not head.is_whole) else 0.0


def records(source: Source) -> list[Record | BadLine]:
    """The session and its items, as if each were a line; ``line`` is the number of the item.

    Raises
    ------
    IngestError
        The file is not JSON, or holds no session.
    """
    value = source.document().value
    session, items = (value.get("session"), value.get("items")) if isinstance(value, dict) else (None, None)
    if not isinstance(session, dict) or not isinstance(items, list):
        raise IngestError(f"{source.name} is no Codex rollout: it has no session and items.", path=source.name)
    about = {key: item for key, item in session.items() if key != "timestamp"}
    if "timestamp" in session:
        about[SAVED_AT] = session["timestamp"]
    others = {key: item for key, item in value.items() if key not in ("session", "items")}
    # Told by its id, or else by what was said first: its bytes change with every save.
    own = about.get("id") or items[:1]
    found: list[Record | BadLine] = [Record(0, {"id": None, **about, **others}, b"session " + _bytes(own))]
    for n, item in enumerate(items, start=1):
        if isinstance(item, dict):
            found.append(Record(n, _bare(item), _bytes(item)))
        else:
            found.append(BadLine(None, f"item {n}: expected an object, found {kind_of(item)}", _bytes(item)))
    return found


def _bare(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as a line of its own would hold it: one without a type is a message."""
    return dict(item) if isinstance(item.get("type"), str) else {**item, "type": "message"}


def _bytes(item: Any) -> bytes:
    try:
        return orjson.dumps(item)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return json.dumps(item).encode()
