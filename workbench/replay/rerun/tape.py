"""What tools and models answered in a recorded run, in order: the answers that a run is given when it is run again."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
import polars as pl

from workbench._delta import same
from workbench.data.store.storable import storable
from workbench.replay.steps import Form

MARKED = "[redacted: "  # how what stands for a secret begins
_REDACTED = re.compile(r"\[redacted: [^\]\n]{1,100}\](?: \d+)?")


@dataclass(slots=True)
class Answer:
    """One recorded call: what was asked, what came back."""

    step_number: int
    name: str | None  # of the tool, or of the model
    arguments: Any  # None: they were not recorded
    result: Any = None
    is_error: bool = False
    error_type: str | None = None
    has_result: bool = False
    is_taken: bool = False
    is_model: bool = False
    agent: str | None = None  # that asked; None: the run's own
    place: int = 0  # among the events, where several runs are told together
    is_turn: bool = False  # of a conversation: that the model was asked for it once, and then, is not said


class Tape:
    """The recorded calls of a run behind a step. Threads may take from it together.

    Parameters
    ----------
    events
        Its events in order: ``step_number``, ``event_type``, ``data``; with those of sub-agents among them, ``lane``:
        the sub-agent's, null for its own.
    """

    def __init__(self, events: pl.DataFrame) -> None:
        self._begin()
        by_id: dict[str, Answer] = {}
        turn: Answer | None = None  # of a model, as long as it goes on
        rows = events.select("step_number", "event_type", "data").iter_rows()
        steps = [(number, kind, orjson.loads(data)) for number, kind, data in rows]
        has_requests = _has_requests(steps)
        lanes = events["lane"].to_list() if "lane" in events.columns else [None] * len(steps)
        for self._place, (self._lane, (number, kind, told)) in enumerate(zip(lanes, steps, strict=True)):
            calls = [call for call in (told.get("tool"), *(told.get("tool_calls") or ())) if isinstance(call, Mapping)]
            if kind == "tool_result":
                for call in calls:
                    self._answer(by_id, call, told.get("error"))
            elif kind == "llm_call" and has_requests:
                self.models.append(self._at(_of_model(number, told.get("model"), _output(told), told.get("error"))))
            if kind in ("tool_call", "message", "llm_call"):
                for call in calls:
                    self._ask(by_id, number, call)
            if has_requests:
                continue
            if told.get("role") == "assistant" and kind in ("message", "tool_call"):
                if turn is None:
                    turn = self._at(_of_model(number, told.get("model"), {"role": "assistant"}))
                    turn.is_turn = True
                    self.models.append(turn)
                _add(turn.result, told.get("text"), calls)
            elif kind in ("message", "tool_result"):
                turn = None

    def _begin(self) -> None:
        self.tools: list[Answer] = []
        self.models: list[Answer] = []
        self._by_name: dict[str | None, list[Answer]] = {}
        self._settled: dict[str | None, int] = {}
        self._n_taken = self._n_asked = 0  # those before are taken: of the tools, of the models
        self._place, self._lane = 0, None  # of the event that is read
        self._ids: frozenset[str] | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Self:
        """A tape of calls that are known already, in their order."""
        made = cls.__new__(cls)
        made._begin()
        for made._place, answer in enumerate(answers):
            answer.place = made._place
            made.models.append(answer) if answer.is_model else made._add_tool(answer)
        return made

    @property
    def calls(self) -> list[Answer]:
        """All calls, of tools and of the model, in their order."""
        return sorted([*self.models, *self.tools], key=lambda answer: answer.place)

    def _at(self, answer: Answer) -> Answer:
        answer.place, answer.agent = self._place, self._lane
        return answer

    def _add_tool(self, answer: Answer) -> None:
        self.tools.append(answer)
        self._by_name.setdefault(answer.name, []).append(answer)

    def _ask(self, by_id: dict[str, Answer], number: int, call: Mapping[str, Any]) -> None:
        own = call.get("call_id")
        if isinstance(own, str) and own in by_id:  # the model asked for it, and then it was called
            return
        answer = self._at(Answer(number, call.get("name"), _parsed(call.get("arguments"))))
        self._add_tool(answer)
        if isinstance(own, str):
            by_id[own] = answer
        if "result" in call:
            _settle(answer, call)

    def _answer(self, by_id: dict[str, Answer], call: Mapping[str, Any], error: Any) -> None:
        answer = by_id.get(str(call.get("call_id"))) or self._first_without(call.get("name"))
        if answer is not None:
            _settle(answer, call, error)

    def _first_without(self, name: str | None) -> Answer | None:
        among = self.tools if name is None else self._by_name.get(name, [])
        at = self._settled.get(name, 0)
        while at < len(among) and among[at].has_result:
            at += 1
        self._settled[name] = at
        return among[at] if at < len(among) else None

    def tool(self, name: str, arguments: Any, *, before: int | None = None) -> Answer | None:
        """Take the first recorded answer to this very call that was not taken yet; ``before`` a step, if given.

        Where none is, one of a call that differs in nothing but identifiers that the agent made up now.
        """
        asked = orjson.loads(storable(arguments).text)
        with self._lock:
            waiting = self._by_name.get(name, [])
            while waiting and waiting[0].is_taken:
                del waiting[0]
            open_ = []
            for answer in waiting:
                if before is not None and answer.step_number >= before:
                    break
                if answer.is_taken or not answer.has_result:
                    continue
                if fits(answer.arguments, asked):
                    answer.is_taken = True
                    return answer
                open_.append(answer)
            found = next((answer for answer in open_ if self._is_renamed(answer.arguments, asked)), None)
            if found is not None:
                found.is_taken = True
            return found

    def _is_renamed(self, recorded: Any, asked: Any) -> bool:
        """Whether two calls differ only in identifiers, none of which the recording knows elsewhere."""
        old, new = Form.of(recorded, decided=True), Form.of(asked, decided=True)
        if not old.ids or old.skeleton != new.skeleton:
            return False
        if self._ids is None:
            told = [orjson.dumps([answer.arguments, answer.result]).decode() for answer in self.calls]
            self._ids = frozenset(one for text in told for one in Form.of(text, decided=True).ids)
        return all(p == q or q not in self._ids for p, q in zip(old.ids, new.ids, strict=True))

    def model(self, *, before: int | None = None) -> Answer | None:
        """Take the next recorded answer of the model."""
        with self._lock:
            answer = self.models[self._n_asked] if self._n_asked < len(self.models) else None
            if answer is None or (before is not None and answer.step_number >= before):
                return None
            self._n_asked += 1
            answer.is_taken = True
            return answer

    def waiting(self, *, before: int | None = None) -> Answer | None:
        """The first recorded call of a tool that was not asked for yet."""
        with self._lock:
            while self._n_taken < len(self.tools) and self.tools[self._n_taken].is_taken:
                self._n_taken += 1
            answer = self.tools[self._n_taken] if self._n_taken < len(self.tools) else None
        return answer if answer is not None and (before is None or answer.step_number < before) else None


def fits(recorded: Any, given: Any) -> bool:
    """Whether a value is the recorded one: where a secret was taken out of that, any text fits.

    Examples
    --------
    >>> fits({"to": "OSL", "key": "[redacted: api key]"}, {"to": "OSL", "key": "sk-123"})
    True
    """
    if recorded is None or same(recorded, given):
        return True
    return _fits(recorded, given)


def _fits(recorded: Any, given: Any) -> bool:
    if isinstance(recorded, dict) and isinstance(given, dict):
        return recorded.keys() == given.keys() and all(_fits(item, given[key]) for key, item in recorded.items())
    if isinstance(recorded, list) and isinstance(given, list):
        return len(recorded) == len(given) and all(map(_fits, recorded, given))
    if isinstance(recorded, str) and isinstance(given, str) and MARKED in recorded:
        parts = _REDACTED.split(recorded)
        return re.fullmatch(".*?".join(map(re.escape, parts)), given, re.DOTALL) is not None
    return same(recorded, given)


def settled(recorded: Any, given: Any) -> Any:
    """A value as it is given, but with the recorded text where a secret was taken out of that and the rest fits."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        return {key: settled(recorded.get(key), item) for key, item in given.items()}
    if isinstance(recorded, list) and isinstance(given, list) and len(recorded) == len(given):
        return [settled(*pair) for pair in zip(recorded, given, strict=True)]
    return recorded if isinstance(recorded, str) and _fits(recorded, given) else given


def _has_requests(steps: Iterable[tuple[int, str, Mapping[str, Any]]]) -> bool:
    """Whether requests to the model were recorded with what came back; else its turns are told by the conversation.

    Some sources tell of a request its tokens only, and the answer as a message.
    """
    requests = [told for _, kind, told in steps if kind == "llm_call"]
    if any(_output(told) is not None or told.get("error") for told in requests):
        return True
    return bool(requests) and not any(kind == "message" and told.get("role") == "assistant" for _, kind, told in steps)


def _of_model(number: int, name: Any, result: Any, error: Any = None) -> Answer:
    is_error = result is None and isinstance(error, Mapping)
    told = error.get("message") if is_error else result
    name = name if isinstance(name, str) else None
    kind = _type_of(error) if is_error else None
    return Answer(number, name, None, told, is_error=is_error, error_type=kind, has_result=True, is_model=True)


def _settle(answer: Answer, call: Mapping[str, Any], error: Any = None) -> None:
    answer.result, answer.is_error, answer.has_result = call.get("result"), bool(call.get("is_error")), True
    answer.error_type = _type_of(error)


def _type_of(error: Any) -> str | None:
    found = error.get("type") if isinstance(error, Mapping) else None
    return found if isinstance(found, str) and found.isidentifier() else None


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
    return arguments
