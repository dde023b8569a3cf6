"""One step of a run, with the answers to its calls, as one step of an ATIF trajectory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from workbench.data.export.atif_content import arguments, content, is_content

SOURCES = {"system": "system", "user": "user", "assistant": "agent", "tool": "agent"}
_ACTS = ("llm_call", "reasoning", "tool_call")
_ANSWERS = "results: told with the call they answer, not as steps"
_TWICE = "calls told by the model's answer and by the tool itself: told once, with the result"
_COUNTED = ("prompt_tokens", "completion_tokens", "cached_tokens")
_OF_AGENTS = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")
# Fields of a step that a trajectory's own extra may give back, with the types that the format allows.
_FIELDS: dict[str, tuple[type, ...]] = {
    "model_name": (str,),
    "reasoning_effort": (str, int, float),
    "reasoning_content": (str,),
    "is_copied_context": (bool,),
    "llm_call_count": (int,),
    "extra": (dict,),
}


def known(**values: Any) -> dict[str, Any]:
    """The values that are known, by name."""
    return {name: value for name, value in values.items() if value is not None}


def moment(value: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC, no more digits than it has."""
    if value is None:
        return None
    utc = value.astimezone(UTC).replace(tzinfo=None)
    digits = "microseconds" if utc.microsecond % 1000 else "milliseconds" if utc.microsecond else "seconds"
    return f"{utc.isoformat(timespec=digits)}Z"


class Steps:
    """Makes the steps of one trajectory and counts what it makes.

    Parameters
    ----------
    run
        The row of the run.
    is_own
        The run came from ATIF: what its steps hold in ``extra`` are fields of the format.
    """

    def __init__(self, run: Mapping[str, Any], *, is_own: bool) -> None:
        self._run = run
        self._is_own = is_own
        self._n = 0
        self._sums: Counter[str] = Counter()
        self._costs: list[float | None] = []
        self._seen: Counter[str] = Counter()

    def step(
        self,
        row: Mapping[str, Any],
        answers: list[dict[str, Any]],
        started: Mapping[Any, Sequence[Mapping[str, Any]]],
    ) -> dict[str, Any]:
        """The next step; ``answers`` are steps told with it, ``started`` the sub-agents by the step that began them."""
        self._n += 1
        data = row["data"]
        extra = dict(data.get("extra") or {})
        given = extra if self._is_own else {}
        source = self._source(row, data, given)
        step: dict[str, Any] = {"step_id": self._n, **known(timestamp=moment(row["timestamp"])), "source": source}
        if source == "agent":
            step |= known(model_name=data.get("model"))
        text = data.get("text")
        if row["event_type"] == "reasoning":
            step["reasoning_content"], text = text or "", None
        step["message"] = given.pop("message") if is_content(given.get("message")) else text or ""
        for name, kinds in _FIELDS.items():
            if type(given.get(name)) in kinds:
                step[name] = given.pop(name)
        calls = self._calls(data) if row["event_type"] != "tool_result" else []
        results = list(self._results(row, data, calls, answers, given))
        if calls:
            step["tool_calls"] = [call for call, _ in calls]
        children = [child for told in (row, *answers) for child in started.get(told["id"], ())]
        _refer(children, [call["tool_call_id"] for call, _ in calls], results)
        if results:
            step["observation"] = {"results": results}
        self._measure(step, data, given)
        if not self._is_own and row["event_type"] == "llm_call":
            step["llm_call_count"] = 1
        self._set_extra(step, row, data, extra)
        return step

    def empty(self) -> dict[str, Any]:
        """The one step of a run without any: a trajectory has to have one."""
        self._n += 1
        self._seen["the run has no steps: the only one is made up"] += 1
        return {"step_id": 1, "source": "system", "message": "", "extra": {"workbench": {"is_made_up": True}}}

    def _source(self, row: Mapping[str, Any], data: Mapping[str, Any], given: dict[str, Any]) -> str:
        source = SOURCES.get(data.get("role") or "")
        if source is None and self._is_own and given.get("source") in ("system", "user", "agent"):
            return given.pop("source")
        if row["event_type"] == "tool_result":
            return "system"
        # Only an agent's step may say which model was asked and what that took.
        if row["event_type"] in _ACTS or any(
            data.get(key) is not None for key in ("usage", "cost_usd", "model", "tool")
        ):
            return "agent"
        if source is None:
            self._seen["steps of no author (spans, logs, states, scores): told as the system's"] += 1
        return source or "system"

    # -- calls and results -----------------------------------------------------------------------------------------

    def _calls(self, data: Mapping[str, Any]) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
        """The calls of a step, each beside the record it was made of."""
        records = [call for call in (data.get("tool"), *(data.get("tool_calls") or ())) if isinstance(call, dict)]
        return [(self._call(record, n), record) for n, record in enumerate(records, 1)]

    def _call(self, record: Mapping[str, Any], n: int) -> dict[str, Any]:
        made, own = arguments(record.get("arguments"))
        about: dict[str, Any] = {"arguments": own} if own else {}
        call_id, name = record.get("call_id"), record.get("name")
        if not isinstance(call_id, str):
            about["call_id"], call_id = call_id, f"call_{self._n}_{n}"
            self._seen["calls without an id: one was made"] += 1
        if not isinstance(name, str):
            about["name"], name = name, ""
        if own == "input":
            self._seen["arguments that are no object: wrapped into one"] += 1
        more = {key: value for key, value in record.items() if key not in _CALL}
        extra = more.pop("extra", None)
        if "result" not in record:
            more |= known(is_error=record.get("is_error"))
        about |= {"call": more} if more else {}
        return {"tool_call_id": call_id, "function_name": name, "arguments": made, **_beside(extra, about)}

    def _results(
        self,
        row: Mapping[str, Any],
        data: Mapping[str, Any],
        calls: list[tuple[dict[str, Any], Mapping[str, Any]]],
        answers: list[dict[str, Any]],
        given: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        left = list((given.get("observation") or {}).get("results") or []) if self._is_own else []
        for call, record in calls:
            if "result" in record:
                is_named = not (self._is_own and "source_call_id" in record)
                call_id = call["tool_call_id"] if is_named else None
                more = next((r for r in left if _adds_to(r, call_id)), None)
                if more is not None:
                    left.remove(more)
                yield self._result(call_id, record, more or {})
        yield from (self._foreign(result, calls) for result in left)
        if row["event_type"] == "tool_result":
            for record in _records(data):
                self._seen["results of calls that are not in the run: told without their call"] += 1
                yield self._result(None, record, {}, call={key: record.get(key) for key in ("call_id", "name")})
        ids = {call["tool_call_id"]: asked for call, asked in calls}
        for answer in answers:
            records = [record for record in _records(answer["data"]) if record.get("call_id") in {*ids, None}]
            is_span = answer["event_type"] != "tool_result"
            self._seen[_TWICE if is_span else _ANSWERS] += len(records)
            for n, told in enumerate(records):
                call_id = told.get("call_id") or calls[0][0]["tool_call_id"]  # a call without id has one answer
                sent, asked = told.get("arguments"), ids.get(call_id, {}).get("arguments")
                other = {"arguments": sent} if sent is not None and sent != asked else None
                yield self._result(call_id, told, {}, row=None if n else answer, call=other)

    def _result(
        self,
        call_id: str | None,
        record: Mapping[str, Any],
        more: Mapping[str, Any],
        *,
        row: Mapping[str, Any] | None = None,
        call: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        value = record.get("result")
        if row is not None and "result" not in record:
            value = row["data"].get("text")
        shown, own = content(value)
        about: dict[str, Any] = {"content": own} if own else {}
        if own:
            self._seen["results that are no text: written as JSON"] += 1
        about |= known(is_error=record.get("is_error"), call=known(**call) or None if call else None)
        if row is not None:
            about |= self._told(row, row["data"], is_answer=True)
            rest = {k: v for k, v in record.items() if k not in (*_CALL, "name")}
            about |= known(result=rest or None, extra=row["data"].get("extra"))
        reference = known(subagent_trajectory_ref=more.get("subagent_trajectory_ref"))
        about |= known(fields={k: v for k, v in more.items() if k not in _RESULT} or None)
        return {**known(source_call_id=call_id, content=shown), **reference, **_beside(more.get("extra"), about)}

    def _foreign(self, result: Any, calls: list[tuple[dict[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
        """A result of a trajectory that its reader could give to no call, as it was where the format allows."""
        if not isinstance(result, dict):
            return {"content": content(result)[0], "extra": {"workbench": {"content": "json"}}}
        ids = {call["tool_call_id"] for call, _ in calls}
        about = {}
        call_id = result.get("source_call_id")
        if call_id not in ids:
            about = known(source_call_id=call_id)
            call_id = None
        shown, own = content(result.get("content"))
        about |= {"content": own} if own else {}
        about |= known(fields={k: v for k, v in result.items() if k not in _RESULT} or None)
        reference = known(subagent_trajectory_ref=result.get("subagent_trajectory_ref"))
        return {**known(source_call_id=call_id, content=shown), **reference, **_beside(result.get("extra"), about)}

    # -- numbers ---------------------------------------------------------------------------------------------------

    def _measure(self, step: dict[str, Any], data: Mapping[str, Any], given: dict[str, Any]) -> None:
        usage = data.get("usage") or {}
        parts = [usage.get(name) for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens")]
        sent = sum(part for part in parts if part is not None) if parts[0] is not None else None
        metrics = known(
            prompt_tokens=sent,
            completion_tokens=usage.get("output_tokens"),
            cached_tokens=usage.get("cache_read_tokens"),
            cost_usd=data.get("cost_usd"),
        )
        own = given.pop("metrics", None) if isinstance(given.get("metrics"), dict) else {}
        about = _details(usage)
        if self._is_own:
            metrics |= own  # what the reader did not take, or could not give back from what it took
        elif about:
            long = usage.get("cache_write_1h_tokens")
            split = {"cache_creation": {"ephemeral_1h_input_tokens": long}} if long is not None else {}
            metrics["extra"] = about | split
        if metrics:
            step["metrics"] = metrics
        for name in _COUNTED:
            if metrics.get(name) is not None and not step.get("is_copied_context"):
                self._sums[name] += metrics[name]
        for name, n in about.items():
            self._sums[name] += n
        if usage or data.get("cost_usd") is not None:
            self._costs.append(data.get("cost_usd"))

    def totals(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The sums of the steps; the run's own numbers where no step has any."""
        usage = run["token_usage"] or {}
        sums: dict[str, int] = dict(self._sums)
        if not sums and usage:
            self._seen["tokens of the run, which no step has: in final_metrics only"] += 1
            sent = [usage.get(n) for n in ("input_tokens", "cache_read_tokens", "cache_write_tokens")]
            sums = known(
                prompt_tokens=sum(n for n in sent if n is not None) if sent[0] is not None else None,
                completion_tokens=usage.get("output_tokens"),
                cached_tokens=usage.get("cache_read_tokens"),
                **_details(usage),
            )
        costs = [cost for cost in self._costs if cost is not None]
        is_priced = run["cost_source"] == "prices"  # by this workbench: no cost that anybody was asked to pay
        cost = sum(costs) if costs and len(costs) == len(self._costs) else None if is_priced else run["cost"]
        totals = {f"total_{name}": sums[name] for name in _COUNTED if name in sums}
        more: dict[str, Any] = {f"total_{name}": n for name, n in sums.items() if name not in _COUNTED}
        more |= known(estimated_cost_usd=run["cost"] if is_priced else None)
        totals |= known(total_cost_usd=cost)
        return {**totals, "total_steps": self._n, **({"extra": more} if more else {})}

    # -- the rest --------------------------------------------------------------------------------------------------

    def _told(self, row: Mapping[str, Any], data: Mapping[str, Any], *, is_answer: bool = False) -> dict[str, Any]:
        """What a step says of itself beyond the fields of the format."""
        lane = row["agent"]
        told = known(
            event_type=row["event_type"],
            name=row["name"],
            agent=lane if lane != self._run["agent_type"] else None,
            category=row["category"],
            severity=row["severity"] if row["severity"] != "info" else None,
            duration_ms=row["duration_ms"],
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            parent_span_id=row["parent_span_id"],
            mark=row["mark"],
            error=data.get("error"),
        )
        if is_answer:
            told |= known(timestamp=moment(row["timestamp"]), text=data.get("text") if data.get("tool") else None)
        return told

    def _set_extra(
        self, step: dict[str, Any], row: Mapping[str, Any], data: Mapping[str, Any], left: dict[str, Any]
    ) -> None:
        about: dict[str, Any] = {}
        if self._is_own:
            observation = left.get("observation")
            if isinstance(observation, dict):
                left["observation"] = {key: value for key, value in observation.items() if key != "results"}
            about = known(fields={key: value for key, value in left.items() if value != {}} or None)
        else:
            about = {**self._told(row, data), **known(extra=left or None)}
        if step["source"] != "agent":
            for name in _OF_AGENTS:
                if name in step:
                    about[name] = step.pop(name)
        if step.get("llm_call_count") == 0 and ("metrics" in step or "reasoning_content" in step):
            about["llm_call_count"] = step.pop("llm_call_count")
        step |= _beside(step.get("extra"), about)

    def fidelity(self, n_states: int) -> dict[str, int]:
        """What the trajectory says otherwise than the run, or not at all, each with its number."""
        if n_states:
            self._seen["recorded states: left out, the format has none"] += n_states
        return {what: n for what, n in self._seen.items() if n}


_RESULT = ("source_call_id", "content", "subagent_trajectory_ref", "extra")
_CALL = ("name", "call_id", "arguments", "result", "is_error", "source_call_id")


def _details(usage: Mapping[str, Any]) -> dict[str, int]:
    """The classes of tokens that the format has no field for."""
    return known(
        cache_creation_input_tokens=usage.get("cache_write_tokens"),
        reasoning_output_tokens=usage.get("reasoning_tokens"),
    )


def _records(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [record for record in (data.get("tool"), *(data.get("tool_calls") or ())) if isinstance(record, dict)]
    return found or [{"result": data.get("text")}]


def _beside(extra: Any, about: dict[str, Any]) -> dict[str, Any]:
    """``extra`` with what is ours in a place of its own; nothing where there is nothing."""
    given = extra if isinstance(extra, dict) else known(extra=extra)
    before = given.get("workbench")
    if about:
        given = {**given, "workbench": {**(before if isinstance(before, dict) else {}), **about}}
    return {"extra": given} if given else {}


def _refer(children: list[Mapping[str, Any]], calls: list[str], results: list[dict[str, Any]]) -> None:
    """Name each sub-agent in the result of the call that started it, where its source tells, else of the first."""
    for child in children:
        reference = {"trajectory_id": str(child["id"])}
        about = (child["metadata"] or {}).get("started_by")
        call = about.get("source_call_id") if isinstance(about, dict) else None
        call = call if call in calls else calls[0] if calls else None
        result = next((result for result in results if result.get("source_call_id") == call), None)
        if result is None:
            result = known(source_call_id=call)
            results.append(result)
        told = result.setdefault("subagent_trajectory_ref", [])
        if reference not in told and not any(given.get("trajectory_id") for given in told):
            told.append(reference)


def _adds_to(result: Any, call_id: str | None) -> bool:
    """Whether what was left of a result belongs to that of a call."""
    return isinstance(result, dict) and "content" not in result and result.get("source_call_id") == call_id
