"""An exported run without its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from workbench.data.secrets.known import knowing
from workbench.data.secrets.leaks import refuse
from workbench.data.secrets.redact import Redactor
from workbench.errors import DisclosureError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store


def redacted(store: Store, run_id: str, content: bytes, name: str) -> bytes:
    """The same document with ``[redacted: rule]`` where a secret stood; the very same bytes where none did.

    Raises
    ------
    DisclosureError
        The content is no text, or a secret would be left.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DisclosureError(
            f"The {name} of this run is no text: it cannot be redacted. redact=False (--no-redact) writes it as it is,"
            " with the secrets it may hold; bench.secrets(run) lists them.",
            place=name,
        ) from None
    redactor = knowing(store, run_id)
    clean = _document(redactor, text)
    if not redactor.counts:
        clean, data = text, content
    else:
        data = clean.encode()
    refuse(data, name)
    return data


def _document(redactor: Redactor, text: str) -> str:
    """JSON as a whole, JSON line by line, or any other text."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return "\n".join(_line(redactor, line) for line in text.split("\n"))
    return redactor.json(text) or ""


def _line(redactor: Redactor, line: str) -> str:
    try:
        return redactor.json(line) or line
    except orjson.JSONDecodeError:
        return redactor.text(line)
