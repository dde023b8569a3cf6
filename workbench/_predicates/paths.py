r"""Where a value stands in a JSON document: ``cart.items.0.price``, or a JSON pointer (RFC 6901) ``/cart/items``.

Dots join the keys; a key with dots is written in double quotes, ``usage."gpt-4.1".tokens``, with ``\`` before ``"``
and ``\``. A whole number is a key of an object, or a position in an array; a negative one counts from its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from workbench.errors import ConfigurationError

Keys = tuple[str, ...]

_KEY = re.compile(r'\.(?:"((?:[^"\\]|\\.)*)"|([^."]+))', re.DOTALL)
_BARE = re.compile(r'[^."/\\][^."]*')
_INDEX = re.compile(r"0|-?[1-9][0-9]*")
# What Postgres also takes for a position in an array (" 1", "+1", "01"), and "-", which a patch takes for one.
_INDEX_LIKE = re.compile(r"\s*[+-]?[0-9]+|-")


class _Missing:
    """No value: not even null. There is one."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


def keys_of(path: str, *, example: str) -> Keys:
    """The keys of a path.

    Raises
    ------
    ConfigurationError
        It is none.
    """
    if not isinstance(path, str):
        raise ConfigurationError(f"{path!r} is no path: write {example}.", value=path)
    if path == "":
        return ()
    if path.startswith("/"):
        tokens = path[1:].split("/")
        if any("~" in re.sub("~[01]", "", token) for token in tokens):
            raise ConfigurationError(
                f"{path!r} is no JSON pointer: '~' stands before 0 ('~') or 1 ('/') only.", value=path
            )
        return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)
    found = list(_KEY.finditer("." + path))
    if "".join(match[0] for match in found) != "." + path:
        raise ConfigurationError(
            f"{path!r} is no path. Join keys and list positions by dots, like {example}; a key with dots stands in"
            " double quotes ('usage.\"gpt-4.1\"'). A JSON pointer ('/usage/gpt-4.1') does as well.",
            value=path,
        )
    return tuple(re.sub(r"\\(.)", r"\1", m[1], flags=re.DOTALL) if m[1] is not None else m[2] for m in found)


def written(keys: Sequence[str]) -> str:
    """The path that :func:`keys_of` reads as these keys; the shortest."""
    return ".".join(key if _BARE.fullmatch(key) else '"' + re.sub(r'(["\\])', r"\\\1", key) + '"' for key in keys)


def pointer(keys: Sequence[str]) -> str:
    """The keys as a JSON pointer."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def is_index(key: str) -> bool:
    """Whether a key may be a position in an array."""
    return _INDEX.fullmatch(key) is not None


def fixed(keys: Keys) -> Keys:
    """The keys before the first that may be a position in an array: where items move, a value's place does not stay."""
    return _before(keys, lambda key: _INDEX_LIKE.fullmatch(key) is not None)


def plain(keys: Keys) -> Keys:
    """The keys before the first that Postgres takes for a position in an array and we do not."""
    return _before(keys, lambda key: _INDEX_LIKE.fullmatch(key) is not None and not is_index(key))


def _before(keys: Keys, stops: Any) -> Keys:
    return keys[: next((n for n, key in enumerate(keys) if stops(key)), len(keys))]


def at(document: Any, keys: Sequence[str]) -> Any:
    """What stands there, or :data:`MISSING`.

    Examples
    --------
    >>> at({"cart": [{"price": 3}]}, keys_of("cart.-1.price", example=""))
    3
    """
    for key in keys:
        if isinstance(document, dict):
            if key not in document:
                return MISSING
            document = document[key]
        elif isinstance(document, list) and len(key) < 20 and is_index(key):
            if not -len(document) <= int(key) < len(document):
                return MISSING
            document = document[int(key)]
        else:
            return MISSING
    return document
