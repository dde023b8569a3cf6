"""The spans of one trace as a tree: parents, depth, the agent around a span, and tokens counted once."""

from __future__ import annotations

from workbench.data.ingest.normal import Usage
from workbench.data.ingest.otlp_attributes import cost_of, text_of, usage_of
from workbench.data.ingest.otlp_records import Span


class SpanTree:
    """The spans of a trace with their parents; repeated ids, missing parents and circles are survived.

    Every question about ancestors is answered in one walk from the top, so a chain of any length costs its length.
    """

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans
        self.by_id: dict[str, Span] = {}
        for span in spans:
            self.by_id.setdefault(span.span_id, span)
        self._inside: dict[int, list[Span]] = {}
        self.tops: list[Span] = []
        for span in spans:
            parent = self.by_id.get(span.parent_span_id or "")
            if parent is None or parent is span:
                self.tops.append(span)
            else:
                self._inside.setdefault(id(parent), []).append(span)
        self._depth: dict[int, int] = {}
        self._agent: dict[int, str | None] = {}
        self._walked: list[tuple[Span, Span | None]] = []
        self._walk()
        self._usage = {id(span): usage_of(span.attributes) for span in spans}
        self._counted_inside = self._with_usage_inside()

    def depth(self, span: Span) -> int:
        """How many spans are around it."""
        return self._depth[id(span)]

    def children(self, span: Span) -> list[Span]:
        """The spans directly inside it."""
        return self._inside.get(id(span), [])

    def agent(self, span: Span) -> str | None:
        """The agent of the span or of the nearest one around it, else the service."""
        return self._agent[id(span)] or text_of(span.resource, "service.name")

    def usage(self, span: Span) -> Usage | None:
        """The span's own tokens; None where spans inside it count the same tokens (an agent's span sums its calls)."""
        return None if id(span) in self._counted_inside else self._usage[id(span)]

    def cost_usd(self, span: Span) -> float | None:
        """The span's own price, counted like its tokens."""
        return None if id(span) in self._counted_inside else cost_of(span.attributes)

    def _walk(self) -> None:
        """Visit parents before children; a circle is entered at its first span, which then counts as outermost."""
        pending: list[tuple[Span, Span | None]] = [(span, None) for span in reversed(self.tops)]
        rest = iter(self.spans)
        while True:
            while pending:
                span, parent = pending.pop()
                if id(span) in self._depth:
                    continue
                self._walked.append((span, parent))
                self._depth[id(span)] = self._depth[id(parent)] + 1 if parent is not None else 0
                above = self._agent[id(parent)] if parent is not None else None
                self._agent[id(span)] = text_of(span.attributes, "gen_ai.agent.name") or above
                pending.extend((child, span) for child in self.children(span))
            circled = next((span for span in rest if id(span) not in self._depth), None)
            if circled is None:
                return
            self.tops.append(circled)
            pending.append((circled, None))

    def _with_usage_inside(self) -> set[int]:
        """Spans around one that carries tokens."""
        around: set[int] = set()
        for span, parent in reversed(self._walked):
            if parent is not None and (id(span) in around or self._usage[id(span)] is not None):
                around.add(id(parent))
        return around
