"""What tools and models answered in a recorded run, in order: the answers that a run is given when it is run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from workbench._delta import same
from workbench.data.store.storable import storable


@dataclass(slots=True)
class Answer:
    """One recorded call: what was asked, what came back."""

    step_number: int
    name: str | None  # None: of a model
    arguments: Any
    result: Any = None
    is_error: bool = False
    has_result: bool = False
    is_taken: bool = False


class Tape:
    """The recorded calls of a run behind a step.

    Parameters
    ----------
    events
        Its events in order: ``step_number``, ``event_type``, ``name`` and ``data``.
    """

    def __init__(self, events: pl.DataFrame) -> None:
        self.tools: list[Answer] = []
        self.models: list[Answer] = []
        by_id: dict[str, Answer] = {}
        turn: Answer | None = None  # of a model, as long as it goes on
        has_requests = bool((events["event_type"] == "llm_call").any())
        for number, kind, _, data in events.select("step_number", "event_type", "name", "data").iter_rows():
            told = orjson.loads(data)
            calls = [call for call in (told.get("tool"), *(told.get("tool_calls") or ())) if isinstance(call, Mapping)]
            if kind == "tool_result":
                for call in calls:
                    self._answer(by_id, call)
            elif kind == "llm_call":
                self.models.append(Answer(number, None, None, _output(told), has_result=True))
            if kind in ("tool_call", "message", "llm_call"):
                for call in calls:
                    self._ask(by_id, number, call)
            if has_requests:
                continue
            if told.get("role") == "assistant" and kind in ("message", "tool_call"):
                if turn is None:
                    turn = Answer(number, None, None, {"role": "assistant"}, has_result=True)
                    self.models.append(turn)
                _add(turn.result, told.get("text"), calls)
            elif kind in ("message", "tool_result"):
                turn = None

    def _ask(self, by_id: dict[str, Answer], number: int, call: Mapping[str, Any]) -> None:
        own = call.get("call_id")
        if isinstance(own, str) and own in by_id:  # the model asked for it, and then it was called
            return
        answer = Answer(number, call.get("name"), _parsed(call.get("arguments")))
        self.tools.append(answer)
        if isinstance(own, str):
            by_id[own] = answer
        if "result" in call:
            _settle(answer, call)

    def _answer(self, by_id: dict[str, Answer], call: Mapping[str, Any]) -> None:
        waiting = (one for one in self.tools if not one.has_result and call.get("name") in (None, one.name))
        answer = by_id.get(str(call.get("call_id"))) or next(waiting, None)
        if answer is not None:
            _settle(answer, call)

    def tool(self, name: str, arguments: Any, *, before: int | None = None) -> Answer | None:
        """Take the first recorded answer to this very call that was not taken yet; ``before`` a step, if given."""
        asked = orjson.loads(storable(arguments).text)
        for answer in self.tools:
            if before is not None and answer.step_number >= before:
                break
            if not answer.is_taken and answer.has_result and answer.name == name and same(answer.arguments, asked):
                answer.is_taken = True
                return answer
        return None

    def model(self, *, before: int | None = None) -> Answer | None:
        """Take the next recorded answer of the model."""
        answer = next((one for one in self.models if not one.is_taken), None)
        if answer is None or (before is not None and answer.step_number >= before):
            return None
        answer.is_taken = True
        return answer

    def waiting(self, *, before: int | None = None) -> Answer | None:
        """The first recorded call of a tool that was not asked for yet."""
        return next(
            (one for one in self.tools if not one.is_taken and (before is None or one.step_number < before)), None
        )


def _settle(answer: Answer, call: Mapping[str, Any]) -> None:
    answer.result, answer.is_error, answer.has_result = call.get("result"), bool(call.get("is_error")), True


def _output(told: Mapping[str, Any]) -> Any:
    extra = told.get("extra") or {}
    if "output" in extra:
        return extra["output"]
    return told.get("text") if not told.get("tool_calls") else {
        "role": "assistant", "content": told.get("text"), "tool_calls": told["tool_calls"],
    }  # fmt: skip


def _add(message: dict[str, Any], text: Any, calls: list[Mapping[str, Any]]) -> None:
    if text:
        message["content"] = f"{message['content']}\n{text}" if message.get("content") else text
    for call in calls:
        asked = {name: call[name] for name in ("name", "call_id", "arguments") if name in call}
        message.setdefault("tool_calls", []).append(asked)


def _parsed(arguments: Any) -> Any:
    """Arguments as values; some sources write them as the text of a JSON object."""
    if isinstance(arguments, str):
        try:
            return orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return arguments
    return {} if arguments is None else arguments
