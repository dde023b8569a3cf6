"""What the lines of a Codex rollout before a line decide of it: the session, the copy, the model, the running total."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.formats import codex_tokens
from workbench.data.ingest.formats.codex_event import Line
from workbench.data.ingest.formats.codex_outcome import STARTS
from workbench.data.ingest.reading.chat import mapping, number, text_or_none
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
# Copying a history takes the program seconds; nobody answers that fast in a version that gives its turns no ids.
_COPYING = timedelta(seconds=5)
_COPY = "copied from the session this one was forked from: marked is_copied, its tokens count there"


class Course:
    """Goes along with the lines, in each pass anew."""

    def __init__(self, source: Source) -> None:
        self.meta: Mapping[str, Any] = {}  # of the session's own; a copy brings those of others
        self.parent: str | None = None  # the session this one was forked from
        self.model: str | None = None
        self.models: Counter[str] = Counter()
        self.tokens = codex_tokens.Counter(source)
        self._source = source
        self._n_lines = 0
        self._created: datetime | None = None
        self._is_copying = False

    def take(self, line: Line) -> None:
        """Finish a line with what those before it decide."""
        step, payload = line.step, line.payload
        if line.kind == "session_meta":
            self._meet(line)
        if self._is_copying and self._opens_own_turn(line):
            self._is_copying = False
        line.is_copied = self._is_copying and line.payload is not self.meta
        if line.is_copied:
            step.extra = {**(step.extra or {}), "is_copied": True}
            self._source.kept("copied line", _COPY)
        settings = payload if line.kind == "turn_context" else mapping(payload.get("thread_settings"))
        self.model = text_or_none(settings.get("model")) or self.model
        if step.role == "assistant":
            step.model = self.model
        elif line.type == "token_count":
            step.usage = self.tokens.take(payload, is_copied=line.is_copied)
            if step.usage is not None:
                step.event_type, step.model = "llm_call", self.model
                self.models.update([self.model] if self.model else [])
        self._n_lines += 1

    def _meet(self, line: Line) -> None:
        """The first session_meta is the session's own. Another right behind it is that of the session it copies."""
        payload = line.payload
        if not self._n_lines:
            self.meta = payload
            self._created = (
                _uuid_time(payload.get("id")) or when(payload.get("timestamp"), self._source) or line.step.timestamp
            )
            self.parent = text_or_none(payload.get("forked_from_id"))
            self._is_copying = self.parent is not None
        elif self._n_lines == 1 and self.meta and not self._is_copying:
            other = text_or_none(payload.get("id"))
            if other is not None and other != self.meta.get("id"):
                self.parent, self._is_copying = other, True

    def _opens_own_turn(self, line: Line) -> bool:
        """Whether a turn begins that was not there before the session: told by its id's time, or by when it began."""
        if line.type not in (*STARTS, "user_message") and line.kind != "turn_context":
            return False
        if self._created is None:
            return True
        # A copy keeps turn ids and started_at; the times of its lines may be those of the copying.
        began = _uuid_time(line.payload.get("turn_id")) or _seconds(line.payload.get("started_at"))
        if began is not None:
            return began >= self._created.replace(microsecond=0)
        return line.step.timestamp is not None and line.step.timestamp - self._created > _COPYING


def _uuid_time(value: Any) -> datetime | None:
    """When a UUID of version 7 was made (RFC 9562)."""
    if not isinstance(value, str) or not UUID.fullmatch(value) or value[14] != "7":
        return None
    return _seconds(int(value[:8] + value[9:13], 16) / 1000)


def _seconds(value: Any) -> datetime | None:
    seconds = number(value)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
