"""Which later step answers which call: ATIF keeps a result with the call it answers."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import psycopg


class Answers:
    """The steps of a run that are nothing but answers to calls of other steps.

    Of a step only its id and those of its calls are held, so a run of any length fits.
    """

    def __init__(self) -> None:
        self._to: dict[UUID, list[UUID]] = {}
        self._placed: set[UUID] = set()

    @classmethod
    def of(cls, connection: psycopg.Connection, execution: UUID) -> Answers:
        """Read which steps of a run call and which answer."""
        answers = cls()
        asked: dict[str, UUID] = {}  # the last step that asked under an id, for ids may come again
        unnamed: UUID | None = None  # the step before, where it made one call without an id
        with connection.cursor(name="answers") as cursor:
            for event, kind, first, more, is_span in cursor.execute(_CALLS, [execution]):
                calls = [call for call in (first, *more) if call]
                is_one_unnamed = not calls and not more
                is_answer = kind == "tool_result" or (is_span and len(calls) == 1 and calls[0] in asked)
                if not is_answer:
                    asked.update(dict.fromkeys(calls, event))
                elif calls and all(call in asked for call in calls):
                    answers._add(event, (asked[call] for call in calls))
                elif is_one_unnamed and unnamed is not None:
                    answers._add(event, [unnamed])
                unnamed = event if is_one_unnamed and not is_answer else None
        return answers

    def _add(self, answer: UUID, askers: Iterable[UUID]) -> None:
        self._placed.add(answer)
        for asker in dict.fromkeys(askers):
            self._to.setdefault(asker, []).append(answer)

    def to(self, event: UUID) -> list[UUID]:
        """The steps that answer calls of this one, in order."""
        return self._to.get(event, [])

    def is_placed(self, event: UUID) -> bool:
        """Whether the step is told with the one that it answers."""
        return event in self._placed


# A tool's own span (role tool) repeats the call that the model's answer holds; one that counts tokens is a step.
_CALLS = """
SELECT id, event_type, data->'tool'->>'call_id',
  coalesce((SELECT array_agg(coalesce(call->>'call_id', '')) FROM jsonb_array_elements(
    CASE jsonb_typeof(data->'tool_calls') WHEN 'array' THEN data->'tool_calls' ELSE '[]' END) AS call), '{}'),
  coalesce(data->>'role' = 'tool', false) AND NOT data ?| '{usage,cost_usd,model,text}'
FROM workbench.observability_events
WHERE execution_id = %s AND (data ?| '{tool,tool_calls}' OR event_type = 'tool_result')
ORDER BY step_number, id
"""
