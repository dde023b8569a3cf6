"""The fast pass: where in some bytes a rule's trigger is met, by Hyperscan at memory speed."""

from __future__ import annotations

import base64
import re
import threading
from functools import cache
from typing import Any

from workbench.data.secrets.rules import NAMES, rules

# Text that says characters otherwise: \\u0041, \\/, %2F, &#65;. Also met in JSON text inside JSON text.
ESCAPE = rb"\\+u00(?P<u>[2-7][0-9A-Fa-f])|\\+(?P<s>/)|%(?P<p>[2-7][0-9A-Fa-f])|&#x(?P<x>[2-7][0-9A-Fa-f]);"
_ESCAPE_TRIGGER = r"\\u00[2-7][0-9A-Fa-f]|\\/|%(?:2[1-9B-Fb-f]|[3-7][0-9A-Fa-f])|&#x[2-7][0-9A-Fa-f];"
# A name and its value as two strings side by side: {"key": "password", "value": "…"}, ["--password", "…"].
_NAMED_TRIGGER = rf"""(?i){NAMES}[A-Za-z0-9_-]{{0,20}}\\{{0,7}}", ?\\{{0,7}}["]"""
# What a secret begins with that is long enough to be known again in base64, whichever of three ways it falls.
_TELLING = (
    "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk-ant-", "sk-proj-", "sk_live_", "AKIA",
    "-----BEGIN ", "PRIVATE KEY", "AIzaSy", "GOCSPX-", "npm_", "pypi-AgE", "hvs.", "dop_v1_", "lsv2_", "sk-lf-",
    "password", "PASSWORD", "api_key", "API_KEY", "secret", "SECRET",
)  # fmt: skip


class Passes:
    """The compiled triggers. Safe to use from several threads."""

    def __init__(self) -> None:
        import hyperscan

        self.rules = rules()
        self.escaped = len(self.rules)
        self.encoded = self.escaped + 1
        self.named = self.encoded + 1
        patterns = [(trigger, number) for number, rule in enumerate(self.rules) for trigger in rule.triggers]
        patterns += [
            (_ESCAPE_TRIGGER, self.escaped), (_in_base64(), self.encoded), (_NAMED_TRIGGER, self.named),
        ]  # fmt: skip
        self._database: Any = hyperscan.Database()
        self._database.compile(
            expressions=[pattern.encode() for pattern, _ in patterns],
            ids=[number for _, number in patterns],
            flags=[hyperscan.HS_FLAG_DOTALL] * len(patterns),
        )
        self._halted = hyperscan.ScanTerminated if hasattr(hyperscan, "ScanTerminated") else hyperscan.error
        self._lock = threading.Lock()  # Hyperscan's scratch memory serves one scan at a time

    def hits(self, data: bytes) -> list[tuple[int, int]]:
        """Which triggers are met, and where each ends."""
        found: list[tuple[int, int]] = []

        def met(number: int, start: int, end: int, flags: int, context: Any) -> None:
            found.append((number, end))

        with self._lock:
            self._database.scan(data, match_event_handler=met)
        return found

    def any(self, data: bytes) -> bool:
        """Whether any trigger is met."""
        found: list[int] = []

        def met(number: int, start: int, end: int, flags: int, context: Any) -> bool:
            found.append(number)
            return True

        with self._lock:
            try:
                self._database.scan(data, match_event_handler=met)
            except self._halted:  # how the binding says that the scan was ended
                return True
        return bool(found)


@cache
def passes() -> Passes:
    """The compiled triggers of this process; compiled when first asked for."""
    return Passes()


def _in_base64() -> str:
    texts = set()
    for word in _TELLING:
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + word.encode()).decode().rstrip("=")
            # The first and the last characters depend on what stands beside the word.
            first = (0, 2, 3)[shift]
            whole = (len(word) + shift) * 8 // 6
            core = encoded[first:whole]
            if len(core) >= 4:
                texts.add(core)
    return "|".join(map(re.escape, sorted(texts)))
