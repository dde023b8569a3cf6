"""Texts, documents and JSON with every secret replaced by ``[redacted: rule]``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from workbench.data.secrets.passes import passes
from workbench.data.secrets.scan import (
    FIELD_RULE,
    VALUES,
    find,
    in_value,
    is_secret_field,
    name_of,
    nested_json,
)
from workbench.data.store.storable import dumped

_LONG_ENOUGH = 8  # a shorter known secret would be found in ordinary words


def marker(rule: str) -> str:
    """What stands where a secret stood."""
    return f"[redacted: {rule}]"


class Redactor:
    """Redacts, and counts what it redacted.

    Parameters
    ----------
    known
        Secret → rule, found elsewhere: replaced wherever they stand, also where nothing around tells what they are.

    Attributes
    ----------
    counts
        How often something was redacted, by rule.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self.learn(known or {})

    @property
    def known(self) -> Mapping[str, str]:
        """The secrets that are replaced wherever they stand, by rule."""
        return self._known

    def learn(self, known: Mapping[str, str]) -> None:
        """Further secrets to replace wherever they stand."""
        new = {secret: rule for secret, rule in known.items() if len(secret) >= _LONG_ENOUGH}
        if not new.keys() - self._known.keys():
            return
        self._known |= new
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def learn_from(self, documents: Iterable[str | bytes]) -> None:
        """Learn the secrets of some documents given as JSON text."""
        known: dict[str, str] = {}
        for document in documents:
            known |= secrets_of_json(document)
        self.learn(known)

    def text(self, text: str, key: str | None = None) -> str:
        """A string without its secrets; ``key`` is the name of the field that holds it."""
        if key is not None and is_secret_field(key, text):
            data = text.encode("utf-8", "surrogatepass")
            finds = find(data)
            return self._marked(finds[0].rule if finds else FIELD_RULE)
        text = self._replaced(text)
        nested = nested_json(text)
        if nested is not None:
            before = self.counts.total()
            inner = self.value(nested)
            if self.counts.total() > before:
                text = dumped(inner)
        data = text.encode("utf-8", "surrogatepass")
        finds = find(data)
        if not finds:
            return text
        parts, at = [], 0
        for one in finds:
            parts += [data[at : one.start].decode("utf-8", "surrogatepass"), self._marked(one.rule)]
            at = one.end
        return "".join([*parts, data[at:].decode("utf-8", "surrogatepass")])

    def value(self, value: Any, key: str | None = None) -> Any:
        """A parsed document without its secrets: strings at any depth, the keys of objects too. Changed in place."""
        whole = [value]
        # Not by recursion: a document may be as deep as Python's stack.
        stack: list[tuple[Any, str | None]] = [(whole, key)]
        while stack:
            value, key = stack.pop()
            if isinstance(value, dict):
                members = list(value.items())
                named = name_of(value) or key
                value.clear()
                for name, item in members:
                    of = named if named and name in VALUES else name
                    value[self._name(name, value)] = self._part(item, of, stack)
            else:
                flag = None
                for number, item in enumerate(value):
                    value[number] = self._part(item, flag or key, stack)
                    flag = item[2:] if isinstance(item, str) and item.startswith("--") else None
        return whole[0]

    def _part(self, item: Any, key: str | None, stack: list[tuple[Any, str | None]]) -> Any:
        if isinstance(item, str):
            return self.text(item, key)
        if isinstance(item, (dict, list)):
            stack.append((item, key))
        return item

    def _name(self, name: str, taken: Mapping[str, Any]) -> str:
        clean = unique = self.text(name)
        number = 1
        while unique in taken:  # two secrets that were two keys stay two
            number += 1
            unique = f"{clean} {number}"
        return unique

    def json(self, text: str | None) -> str | None:
        """A document given as JSON text; the very same text where nothing is found."""
        if text is None:
            return None
        data = text.encode("utf-8", "surrogatepass")
        if not passes().any(data) and not (self._pattern and self._pattern.search(text)):
            return text
        before = self.counts.total()
        clean = self.value(orjson.loads(data))
        return text if self.counts.total() == before else dumped(clean)

    def _replaced(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._marked(self._known[match[0]]), text)

    def _marked(self, rule: str) -> str:
        self.counts[rule] += 1
        return marker(rule)


def secrets_of_json(text: str | bytes) -> dict[str, str]:
    """Secret → rule of a document given as JSON text."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if not passes().any(data):
        return {}
    return {place.secret: place.rule for place in in_value(orjson.loads(data))}
