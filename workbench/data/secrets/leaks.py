"""The last look at what is about to leave the store: whether any secret is left in it, whatever it is wrapped in."""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import orjson

from workbench.data.secrets.scan import find, in_value, nested_json, strings
from workbench.errors import DisclosureError

_RUNS = re.compile(rb"[A-Za-z0-9+/]{200,}={0,2}")
_TAG = re.compile(rb"<[^>]{0,500}>")
_GZIP = b"H4sI"  # the beginning of a gzip stream, in base64


def refuse(data: bytes, name: str, *, known: Any = ()) -> None:
    """Raise where a secret is left.

    Parameters
    ----------
    data
        The whole file: a page, JSON, JSON lines, a zip of these, any text.
    name
        Of the file, for the error.
    known
        Secrets that are known to have been in the runs: they must not be in it, however they are told.

    Raises
    ------
    DisclosureError
        The first secret found, by rule and place.
    """
    for place, part in parts(data, name):
        for rule in rules_met(part):
            raise DisclosureError(
                f"{place} would still hold a secret ({rule}): nothing was written. Please report this rule; the"
                " originals are written only with redact=False (originals=True of a bundle).",
                rule=rule,
                place=place,
            )
        for secret in known:
            if len(secret) >= 8 and secret.encode("utf-8", "replace") in part:
                raise DisclosureError(
                    f"{place} would still hold a secret that is marked in the run: nothing was written.",
                    rule="known",
                    place=place,
                )


def rules_met(part: bytes) -> Iterator[str]:
    """The rules by which something is found in a text or a document."""
    yield from (one.rule for one in find(part))
    document = nested_json(part.decode("utf-8", "replace"))
    if document is not None:
        yield from (place.rule for place in in_value(document))


def parts(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """The file and what is packed in it: files of a zip, the text of a page, the gzipped state of its widgets."""
    if data[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for inner in archive.namelist():
                yield f"{name}: the name of {len(inner)} characters", inner.encode()
                yield from parts(archive.read(inner), f"{name}/{inner}")
        return
    if b"<html" not in data[:2000].lower():
        yield name, data
        return
    packed = []

    def taken(match: re.Match[bytes]) -> bytes:
        packed.append(match[0])
        return b" "

    text = _RUNS.sub(taken, data)
    yield name, text
    yield f"{name} (its text)", html.unescape(_TAG.sub(b"", text).decode("utf-8", "replace")).encode()
    for run in packed:
        if not run.startswith(_GZIP):
            continue
        try:
            content = gzip.decompress(base64.b64decode(run))
        except (binascii.Error, OSError, EOFError):
            continue
        if content.startswith(b'{"state"') or content.startswith(b'{"shared"'):
            yield from _state(content, f"{name} (state of its widgets)")


def _state(content: bytes, place: str) -> Iterator[tuple[str, bytes]]:
    """The strings of a widget state, and its buffers (base64 of Arrow and the like)."""
    for pointer, text, _ in strings(orjson.loads(content)):
        if "/_esm" in pointer or "/_css" in pointer or text.startswith(("export ", "import ", "// ", "/*")):
            continue  # our own code
        data = text.encode("utf-8", "surrogatepass")
        yield place, data
        if len(text) >= 64 and _RUNS.fullmatch(data):
            yield f"{place}, a buffer", base64.b64decode(data + b"=" * (-len(data) % 4))
