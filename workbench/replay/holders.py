"""Where a value stands in an event: whole, inside JSON, as a number written otherwise, or as part of a text.

Values are compared as JSON values, whole, however long they are; texts that hold JSON are opened. How much a match says
depends on the value: :func:`specificity` is low for what stands everywhere (``true``, ``1``, ``"ok"``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from workbench._delta import same
from workbench.replay.paths import pointer, walk

EXACT, PATH, NUMBER, SUBSTRING = "exact", "path", "number", "substring"

TELLING = 0.5  # specificity from which on a match is no accident
_ANYWHERE = 0.2  # below it a number or a truth value counts only under its own name
_BITS = 12  # of a value whose specificity is a half
_OPENED = 8  # texts of JSON in texts of JSON
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,_'\u00a0\u202f]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]+|_+")
# fmt: off
_COMMON = frozenset({
    "true", "false", "yes", "no", "on", "off", "ok", "okay", "none", "null", "nil", "unknown", "success",
    "successful", "succeeded", "complete", "completed", "done", "fail", "failed", "failure", "error", "pending",
    "active", "inactive", "running", "open", "closed", "new", "user", "assistant", "system", "tool", "text",
    "name", "type", "status", "default", "normal", "high", "medium", "low", "info", "warning", "started",
    "finished", "stopped", "todo",
})
# fmt: on


def specificity(value: Any) -> float:
    """How much it says that a value stands somewhere: 0 (nothing) to 1.

    An estimate of the value's information: ``1 − 2^(−bits/12)``, with 1 bit for true, false and null, 3.3 for a digit,
    3 for a letter of a word, 5 for each character of a mixed code, 2 for a word that stands everywhere.

    >>> [round(specificity(v), 2) for v in (True, 7, 1234, "ok", "Oslo", "HAT078")]
    [0.06, 0.17, 0.54, 0.11, 0.5, 0.82]
    """
    return round(1 - 2 ** (-_bits(value) / _BITS), 4)


def _bits(value: Any) -> float:
    if value is None or isinstance(value, bool):
        return 1.0
    if isinstance(value, int | float):
        return 3.32 * max(len(_digits(value).rstrip("0").rstrip(".") or "0"), 1)
    if isinstance(value, str):
        return _bits_of_text(value)
    bits = 0.0
    for n, (_, item) in enumerate(walk(value)):
        if n > 1_000 or bits > 1_000:
            break
        bits += 0 if isinstance(item, dict | list) else _bits(item)
    return bits


def _bits_of_text(text: str) -> float:
    text = text[:1_000]
    if text.strip().casefold() in _COMMON:
        return 2.0
    bits = 0.0
    for word in text.split():
        if any(c.isdigit() for c in word) and any(c.isalpha() for c in word):
            bits += 5 * len(word)
        else:
            bits += sum((3.32 if p[0].isdigit() else 3 if p[0].isalpha() else 1) * len(p) for p in _WORD.findall(word))
    return bits


def _digits(number: float) -> str:
    text = repr(abs(number))
    return re.sub(r"e.*|\.", "", text).lstrip("0") or "0"


@dataclass(slots=True, frozen=True)
class Held:
    """One place that holds a value."""

    place: str  # JSON pointer; in a text that holds JSON it goes on inside
    match: str
    same_key: bool  # the place ends with the same key as the value's own path
    text: str  # what stands around it, cut


class Needle:
    """A value that is looked for.

    Parameters
    ----------
    value
        Any JSON value.
    key
        The name it has in the state or among the arguments, where it has one.
    """

    def __init__(self, value: Any, key: str | None) -> None:
        self.value = value
        self.key = _plain_key(key)
        self.specificity = specificity(value)
        is_scalar = not isinstance(value, str | dict | list)
        self._needs_key = is_scalar and self.specificity < _ANYWHERE
        self._number = _as_number(value)
        self._text = value if isinstance(value, str) and value.strip() else None
        self._folded = None if self._text is None else _folded(self._text)
        self._kind = type(value)

    def is_credible(self, held: Held) -> bool:
        """Whether the match is no accident: the value says enough by itself, or stands under the same name."""
        return self.specificity >= TELLING or (held.same_key and held.match in (EXACT, PATH))

    def hint(self) -> tuple[str, bool] | None:
        """What the JSON text of an event with the value must hold, in small ASCII letters; whether it is a regex.

        ``None``: nothing can be said beforehand.
        """
        if self._needs_key:
            return (r"[^a-z0-9]?".join(self.key), True) if self.key else None
        if isinstance(self.value, int | float):
            digits = repr(abs(self.value)).partition("e")[0].removesuffix(".0")
            return r"\D?".join(re.escape(c) for c in digits if c != "."), True
        if isinstance(self.value, str):
            if self._number is not None:
                return Needle(self._number, self.key).hint() if math.isfinite(self._number) else None
            return _longest_plain(self.value)
        leaves = [item for n, (_, item) in enumerate(walk(self.value)) if n < 1_000 and isinstance(item, str)]
        best = max((found for leaf in leaves if (found := _longest_plain(leaf))), key=lambda f: len(f[0]), default=None)
        return best

    def found(self, data: Any) -> Iterator[Held]:
        """Every place of a JSON value that holds this one."""
        for keys, value, is_whole in _opened(data):
            match = self._match(value, is_whole=is_whole)
            if match is not None:
                key = next((k for k in reversed(keys) if not k.isdigit()), None)
                same_key = self.key is not None and _plain_key(key) == self.key
                if self._needs_key and not same_key:
                    continue
                yield Held(pointer(keys), match, same_key, self._around(value, match))

    def _match(self, value: Any, *, is_whole: bool) -> str | None:
        whole = EXACT if is_whole else PATH
        if type(value) is self._kind:
            if (value == self.value) if self._kind is str else same(value, self.value):
                return whole
        elif self._number is not None and isinstance(value, int | float) and not isinstance(value, bool):
            return (whole if self._kind in (int, float) else NUMBER) if value == self._number else None
        if not isinstance(value, str):
            return None
        if self._is_part(value):
            return SUBSTRING
        if self._number is not None and any(n == self._number for n in _numbers(value)):
            return NUMBER
        return None

    def _is_part(self, text: str) -> bool:
        if self._text is None or self._folded is None:
            return False
        if len(text) < len(self._text) and len(text) < len(self._folded):
            return False
        if self._text in text:
            at = text.find(self._text)
            return len(self._text) > 24 or _stands_alone(text, self._text, at)
        if len(self._text) > 10_000:
            return False
        folded = _folded(text)
        at = folded.find(self._folded)
        return at >= 0 and _stands_alone(folded, self._folded, at)

    def _around(self, value: Any, match: str) -> str:
        if not isinstance(value, str):
            return shown(value)
        at = -1
        if match == SUBSTRING and self._text is not None:
            at = max(value.find(self._text), value.casefold().find(self._text.casefold()))
        elif match == NUMBER:
            at = next((m.start() for m in _NUMBER.finditer(value) if _as_number(m[0]) == self._number), -1)
        start = max(at - 60, 0)
        return ("…" if start else "") + shown(value[start : start + 400])


def shown(value: Any, chars: int = 200) -> str:
    """A value as text of at most so many characters."""
    text = value[: chars + 1] if isinstance(value, str) else _dumped(value, chars)
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _dumped(value: Any, chars: int) -> str:
    """The beginning of the JSON of a value, without writing down all of a large one."""
    if isinstance(value, list):
        value = value[:chars]
    elif isinstance(value, dict):
        value = dict(list(value.items())[:chars])
    try:
        return orjson.dumps(_shortened(value, chars), option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # more than 64 bits
        return str(value)[: chars + 1]


def _shortened(value: Any, chars: int, depth: int = 4) -> Any:
    if isinstance(value, str):
        return value[: chars + 1]
    if isinstance(value, dict):
        return {k: _shortened(v, chars, depth - 1) for k, v in list(value.items())[:chars]} if depth else "{…}"
    if isinstance(value, list):
        return [_shortened(v, chars, depth - 1) for v in value[:chars]] if depth else "[…]"
    return value


def _opened(data: Any) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Every value of an event's data with its keys, and whether it is a whole field; texts of JSON opened."""
    stack: list[tuple[tuple[str, ...], Any, int]] = [((), data, 0)]
    while stack:
        front, document, depth = stack.pop()
        for keys, value in walk(document):
            at = (*front, *keys)
            if at:
                yield at, value, at in _WHOLE
            if depth < _OPENED and isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
                try:
                    stack.append((at, orjson.loads(value), depth + 1))
                except orjson.JSONDecodeError:
                    continue


_WHOLE = frozenset({("text",), ("tool", "result"), ("tool", "arguments"), ("input",), ("content",)})


def _numbers(text: str) -> Iterator[float]:
    for match in _NUMBER.finditer(text):
        number = _as_number(match[0])
        if number is not None:
            yield number


def _as_number(value: Any) -> float | int | None:
    """A number, also where a text writes it: ``"1,234.50"`` is 1234.5."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or len(value) > 40:
        return None
    bare = value.strip().lstrip("$€£¥").rstrip("%").strip()
    if not _NUMBER.fullmatch(bare) or (bare.startswith("0") and bare[1:2].isdigit()):
        return None  # 007 is a name
    bare = re.sub(r"[,_'\u00a0\u202f]", "", bare)
    try:
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    except ValueError:
        return None


def _stands_alone(text: str, part: str, at: int) -> bool:
    """Whether some occurrence of a short text is no piece of a longer word."""
    while at >= 0:
        end = at + len(part)
        if not (_joins(text[at - 1 : at], part[0]) or _joins(text[end : end + 1], part[-1])):
            return True
        at = text.find(part, at + 1)
    return False


def _joins(outside: str, inside: str) -> bool:
    return outside.isascii() and outside.isalnum() and inside.isalnum()


def _folded(text: str) -> str:
    return _SPACES.sub(" ", text).strip().casefold()


def _plain_key(key: str | None) -> str | None:
    """A name without what is only spelling: ``unitPrice`` and ``unit_price``."""
    return None if key is None else re.sub(r"[^a-z0-9]", "", key.casefold()) or None


def _longest_plain(text: str) -> tuple[str, bool] | None:
    """The longest piece that no way of writing JSON, or of wrapping lines, writes otherwise."""
    pieces = re.findall(r"[!#-.0-\[\]-~]+", text[:4_000])
    longest = max(pieces, key=len, default="")[:200].lower()
    return (longest, False) if longest else None


def role_of(place: str, data: Mapping[str, Any], event_type: str) -> str:
    """What kind of source a place in an event is: who said it."""
    if event_type not in ("message", "reasoning", "tool_call", "tool_result", "llm_call"):
        return event_type
    keys = place.split("/")[1:]
    if keys[:2] == ["extra", "input_messages"] or keys[:2] == ["extra", "input"]:
        return _in_conversation(keys, data)
    if "arguments" in keys[:4]:
        return "tool arguments"
    if event_type == "tool_result" or "result" in keys[:3]:
        return "tool result"
    if event_type == "reasoning":
        return "reasoning"
    return _BY_ROLE.get(str(data.get("role")), "assistant message" if event_type == "llm_call" else "message")


def _in_conversation(keys: list[str], data: Mapping[str, Any]) -> str:
    given = (data.get("extra") or {}).get(keys[1])
    if len(keys) < 3 or not isinstance(given, list) or not keys[2].isdigit() or int(keys[2]) >= len(given):
        return "model input"
    role = given[int(keys[2])].get("role") if isinstance(given[int(keys[2])], dict) else None
    return _BY_ROLE.get(str(role), "model input")


_BY_ROLE = {
    "user": "user message",
    "human": "user message",
    "system": "system message",
    "developer": "system message",
    "assistant": "assistant message",
    "tool": "tool result",
}
