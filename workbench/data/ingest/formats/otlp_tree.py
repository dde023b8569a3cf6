"""The spans of one trace as a tree: the agent around a span, and tokens counted once."""

from __future__ import annotations

from workbench.data.ingest.formats.otlp_attributes import agent_of, cost_of, text_of, usage_of
from workbench.data.ingest.formats.otlp_records import Span
from workbench.data.ingest.normal import Usage
from workbench.data.ingest.reading.tree import Tree


class SpanTree(Tree[Span]):
    """The spans of a trace with their parents, lanes and tokens."""

    def __init__(self, spans: list[Span]) -> None:
        super().__init__(spans)
        self._agent = self.inherited(lambda span: agent_of(span.named, span.name))
        self._usage = {id(span): usage_of(span.named) for span in spans}
        self._counted_inside = self.around(lambda span: self._usage[id(span)] is not None)

    def agent(self, span: Span) -> str | None:
        """The agent of the span or of the nearest one around it, else the service."""
        return self._agent[id(span)] or text_of(span.resource, "service.name")

    def usage(self, span: Span) -> Usage | None:
        """The span's own tokens; None where spans inside it count the same tokens (an agent's span sums its calls)."""
        return None if id(span) in self._counted_inside else self._usage[id(span)]

    def reported(self) -> tuple[Usage | None, float | None]:
        """Tokens and price of the one outermost span, where it sums up those of the spans inside it."""
        top = self.tops[0] if len(self.tops) == 1 else None
        if top is None or top.parent_span_id or id(top) not in self._counted_inside:
            return None, None
        return self._usage[id(top)], cost_of(top.named)

    def cost_usd(self, span: Span) -> float | None:
        """The span's own price, counted like its tokens."""
        return None if id(span) in self._counted_inside else cost_of(span.named)
