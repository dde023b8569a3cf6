"""What handing a run on would tell: how much, who and where is named in it, and which secrets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_SHOWN = 20
# What stands before the host in user:password@host; the password is redacted before anybody looks.
_LOGIN = r"""(?:[^\s/@"'<>\[]|\[(?:redacted: [a-z0-9-]{1,60}\])?)"""
_PATTERNS = {
    "e-mail addresses": re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"),
    "home directories": re.compile(r"(?:/home/|/Users/|[A-Z]:\\{1,2}Users\\{1,2})[A-Za-z0-9._-]{1,64}"),
    "IP addresses": re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"),
    "hosts": re.compile(rf"(?<=://)(?:{_LOGIN}{{1,200}}@)?([A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}}){{0,6}})"),
}


@dataclass(frozen=True)
class Disclosure:
    """What a bundle of a run tells.

    Attributes
    ----------
    events, states, texts, characters
        How many events and states, and how much text.
    names
        Kind (e-mail addresses, home directories, IP addresses, hosts) → what is named, and how often. These stay in
        the bundle.
    secrets
        Rule → how often it was met.
    what_happens
        With the secrets: replaced, or left in.
    """

    run: str
    events: int
    states: int
    texts: int
    characters: int
    names: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    secrets: Mapping[str, int] = field(default_factory=dict)
    what_happens: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.events:,} events · {self.states:,} states · {self.characters:,} characters of text"]
        for kind, found in self.names.items():
            more = f" … and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            lines.append(f"  {kind}: {', '.join(list(found)[:_SHOWN])}{more}")
        kinds = " · ".join(f"{n:,} × {rule}" for rule, n in self.secrets.items()) or "none found"
        return "\n".join([*lines, f"  secrets: {kinds}", f"  {self.what_happens}"])


def named(texts: Iterable[str]) -> dict[str, dict[str, int]]:
    """Who and where is named in some texts, most often first."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in _PATTERNS}
    for text in texts:
        for kind, pattern in _PATTERNS.items():
            counts[kind].update(pattern.findall(text))
    return {kind: dict(found.most_common()) for kind, found in counts.items() if found}
