"""Context X-ray: what the model saw at a step, what had changed since the call before, and where the cache broke.

Token counts. The total of a call is the source's own (uncached, read from and written to the prompt cache) where it
gives one. How it falls to the messages is estimated (:func:`workbench.replay.turns.estimated`) and scaled: the messages
that a call added, to what its total grew by; a recorded input, to its total as a whole. What is left belongs to nothing
that the source told: the system prompt and the tools of most coding agents (``unrecorded``).

The prefix. Providers cache a prompt up to the first message that differs from an earlier one. ``broke_at`` is the first
message that differs from the call before in the same lane; what the provider says it read from the cache stands beside
it, for a cache also expires. Reasoning that a provider drops at the next prompt does not count as a break.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench.data.store.course import Stretch, course
from workbench.data.store.snapshots import check_step
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.turns import ANSWERS, BOUNDARIES, CONVERSATION, KINDS, Call, Message, calls, is_off_branch

if TYPE_CHECKING:
    import psycopg

    from workbench.data.frames.load import Frames

CALLS: dict[str, Any] = {
    "step_number": pl.Int64,  # the first step of the answer
    "last_step": pl.Int64,
    "event_id": pl.String,
    "agent": pl.String,  # lane; each has a context of its own
    "model": pl.String,
    "is_reconstructed": pl.Boolean,  # from the conversation; else the source recorded the input
    "n_messages": pl.Int64,
    "tokens": pl.Int64,  # of all that the model was given
    "tokens_from": pl.String,  # source · estimated
    **{f"{kind.replace(' ', '_')}_tokens": pl.Int64 for kind in KINDS},
    "unrecorded_tokens": pl.Int64,  # the source counted them and does not tell what they were
    "n_added": pl.Int64,
    "n_dropped": pl.Int64,
    "added_tokens": pl.Int64,
    "dropped_tokens": pl.Int64,
    "compacted_at": pl.Int64,  # step; null: the conversation was not compacted since the call before
    "broke_at": pl.Int64,  # position of the first message that differs from the call before; null: none does
    "prefix_kept_tokens": pl.Int64,  # in front of it, unrecorded ones included; null at the first call of a lane
    "cache_read_tokens": pl.Int64,  # as the source says
    "cache_write_tokens": pl.Int64,
    "cache_lost_tokens": pl.Int64,  # of the kept prefix, not read from the cache: it had expired, or what we do not see
    "input_tokens": pl.Int64,  # uncached
    "output_tokens": pl.Int64,
}
MESSAGES: dict[str, Any] = {
    "position": pl.Int64,  # in the context; null: dropped since the call before
    "kind": pl.String,  # system · tool definitions · user · assistant · reasoning · tool result · summary · unrecorded
    "role": pl.String,
    "name": pl.String,  # of the tool
    "change": pl.String,  # kept · added · changed · dropped · compacted; null at the first call of a lane
    "in_prefix": pl.Boolean,  # in front of the first difference: what a cache may hold
    "tokens": pl.Int64,
    "tokens_from": pl.String,  # scaled (to the source's total) · estimated · source (unrecorded)
    "text": pl.String,  # cut
    "n_chars": pl.Int64,  # of the whole text
    "step_number": pl.Int64,  # that added it; of a recorded input the call that was given it first
    "event_id": pl.String,
    "agent": pl.String,
    "call_step": pl.Int64,  # the model call that was given it
    "is_reconstructed": pl.Boolean,
}
_TYPES = ", ".join(f"'{name}'" for name in CONVERSATION)
_NAMES = ", ".join(f"'{name}'" for name in BOUNDARIES)
_WHERE = f"(event_type IN ({_TYPES}) OR (event_type IN ('state', 'log') AND name IN ({_NAMES})))"


def context(
    frames: Frames, run: Any, step: int | None = None, *, agent: str | None = None, chars: int = 2_000
) -> pl.DataFrame:
    """What the model saw: of one step its messages, else one row per model call.

    Parameters
    ----------
    run
        A run, as in :meth:`workbench.data.frames.load.Frames.events`.
    step
        The model call that says this step, else the last one before it in the same lane.
    agent
        The lane; ``None`` = that of the step, or all.
    chars
        Of each message's text, at most.

    Returns
    -------
    polars.DataFrame
        With ``step`` the columns of :data:`MESSAGES`, in the order that the model was given them, what was dropped
        since the call before behind them; else those of :data:`CALLS`. Abandoned branches are left out, and each lane
        has a context of its own.

    Raises
    ------
    NotFoundError
        No such run, step or lane, no model call at or before the step, or the step is on an abandoned branch.
    """
    if isinstance(chars, bool) or not isinstance(chars, int) or chars < 1:
        raise ConfigurationError(f"chars={chars!r} must be a whole number, 1 or more.", value=chars)
    run_id = frames.run_id(run)
    with frames.store.raw() as connection:
        if step is not None:
            check_step(connection, run_id, step)
        stretches = course(connection, run_id)
        answered = _answered(connection, stretches, step)
    there_are = f"There are: {', '.join(map(str, answered))}." if answered else "The run has no model calls."
    if agent is not None and agent not in answered:
        raise NotFoundError(f"No model call of {agent!r} in execution {run_id}. {there_are}", agent=agent)
    if step is None:
        seen = _measured(_events(frames, stretches), answered)
        rows = [one.row() for one in seen if agent in (None, one.call.agent)]
        return pl.DataFrame(rows, schema=CALLS, orient="row").sort("step_number")
    lane = _lane_of(frames, stretches, step, answered) if agent is None else agent
    rows = _rows_at(frames, stretches, answered, lane, step, chars)
    return pl.DataFrame(rows, schema=MESSAGES, orient="row")


_LANES = f"""
SELECT agent, max(step_number) FILTER (WHERE step_number <= %s)
FROM workbench.observability_events
WHERE execution_id = %s AND step_number > %s AND step_number <= %s AND {ANSWERS}
GROUP BY agent ORDER BY min(step_number)
"""
_END = 2**31 - 1
_AHEAD = 1_000  # events read at once behind the step asked for: the rest of its answer


def _answered(connection: psycopg.Connection, stretches: Sequence[Stretch], step: int | None) -> dict[str, int]:
    """The lanes in which a model answers, in that order, each with the last step until `step` in which it does."""
    found: dict[str, int] = {}
    for one in stretches:
        until = _END if one.until is None else one.until
        given = [_END if step is None else step, one.execution_id, one.after, until]
        for agent, last in connection.execute(_LANES.encode(), given):
            found[agent] = found.get(agent, -1) if last is None else last
    return found


def _rows_at(
    frames: Frames, stretches: Sequence[Stretch], answered: Mapping[str, int], lane: str, step: int, chars: int
) -> list[tuple[Any, ...]]:
    """The messages of the call of a lane that says a step, or of the last one before it."""
    at = first = None
    for seen in _measured(_events(frames, stretches, until=step), answered):
        call = seen.call
        if call.agent == lane and call.step_number > step:
            first = call.step_number
            break
        if call.agent == lane:
            at = call.step_number
            if call.last_step >= answered[lane]:
                return seen.rows(chars)
    if at is None:
        run = str(stretches[-1].execution_id)
        there_is = "it has none at all" if first is None else f"the first is at step {first}"
        raise NotFoundError(
            f"Execution {run} has no model call at or before step {step}; {there_is}. See bench.context(run).",
            execution_id=run,
            step=step,
        )
    # Behind it a model said something that is no call of its own (as of a made-up answer). Now its place is known.
    again = _measured(_events(frames, stretches, until=step), answered)
    return next(seen.rows(chars) for seen in again if (seen.call.agent, seen.call.step_number) == (lane, at))


def _events(frames: Frames, stretches: Sequence[Stretch], *, until: int | None = None) -> Iterator[dict[str, Any]]:
    """The conversation of a run's course, ``data`` parsed; behind a step a few at a time, for who stops there."""
    columns = ["step_number", "id", "event_type", "name", "agent", "span_id", "data"]
    cuts = [("", None)] if until is None else [(f" AND step_number <= {until}", None),
                                               (f" AND step_number > {until}", _AHEAD)]  # fmt: skip
    for one in stretches:
        last = "" if one.until is None else f" AND step_number <= {one.until}"
        for cut, size in cuts:
            where = f"step_number > {one.after}{last}{cut} AND {_WHERE}"
            for page in frames.pages("events", str(one.execution_id), size=size, columns=columns, where=where):
                for event in page.iter_rows(named=True):
                    event["data"] = orjson.loads(event["data"] or "{}")
                    yield event


def _lane_of(frames: Frames, stretches: Sequence[Stretch], step: int, lanes: Collection[str]) -> str:
    """The lane that a step is of, where a model answers in it; else the main one."""
    owner = next(one for one in stretches if one.until is None or step <= one.until).execution_id
    columns = ["agent", "data"]
    here = frames.events(str(owner), columns=columns, where=f"step_number = {step} AND {_WHERE}", limit=1)
    agent: Any = here["agent"][0] if len(here) else None
    data = here["data"][0] if len(here) else None
    if is_off_branch(orjson.loads(data or "{}")):
        run = str(stretches[-1].execution_id)
        raise NotFoundError(
            f"Step {step} of execution {run} is on an abandoned branch, of which no context is known.",
            execution_id=run,
            step=step,
        )
    return agent if agent in lanes else next(iter(lanes), "")


# ---------------------------------------------------------------- tokens and differences


@dataclass(slots=True)
class _Seen:
    """A model call, measured, beside the one before in its lane."""

    call: Call
    before: _Seen | None
    prefix: int  # messages in front of the first difference
    is_broken: bool
    added: list[Message]
    dropped: list[Message]
    first_seen: dict[int, int]  # of a recorded input: key → the call that was given it first
    sums: Counter[str] = field(default_factory=Counter)
    total: int | None = None
    ratio: float = 1.0  # tokens by estimated tokens, of what was measured last in this lane
    shown: float = 1.0  # factor for what is shown of this call
    unrecorded: int = 0
    prefix_tokens: float = 0.0

    @property
    def tokens(self) -> int:
        return self.total if self.total is not None else round(sum(self.sums.values()))

    @property
    def kept_tokens(self) -> int | None:
        if self.before is None:
            return None
        return min(round(self.prefix_tokens * self.shown) + self.unrecorded, self.tokens)

    def row(self) -> tuple[Any, ...]:
        """One row of the frame of calls."""
        call, usage, kept = self.call, self.call.usage, self.kept_tokens
        read = usage.get("cache_read_tokens")
        lost = None if kept is None or read is None else max(kept - read, 0)
        return (
            call.step_number, call.last_step, call.event_id, call.agent, call.model, call.is_reconstructed,
            call.n_messages, self.tokens, "estimated" if self.total is None else "source",
            *(round(self.sums[kind] * self.shown) for kind in KINDS), self.unrecorded, len(self.added),
            len(self.dropped), round(_weight(self.added) * self.shown), round(_weight(self.dropped)), call.compacted_at,
            self.prefix if self.is_broken else None, kept, read, usage.get("cache_write_tokens"), lost,
            usage.get("input_tokens"), usage.get("output_tokens"),
        )  # fmt: skip

    def rows(self, chars: int) -> list[tuple[Any, ...]]:
        """The frame of messages."""
        call, told = self.call, "estimated" if self.total is None else "scaled"
        added, dropped = Counter(one.key for one in self.added), list(self.dropped)
        lost = {id(one) for one in dropped}
        gone = {n: one for n, one in enumerate(call.old, call.n_known) if id(one) in lost}
        rows: list[tuple[Any, ...]] = []
        if self.unrecorded:
            is_kept = None if self.before is None else "kept"
            rows.append((0, "unrecorded", "system", None, is_kept, self.before is not None, self.unrecorded, "source",
                         None, None, None, None, call.agent, call.step_number, True))  # fmt: skip
        for n, one in enumerate(call.messages[: call.n_messages]):
            change = None if self.before is None else "kept"
            if self.before is not None and n >= self.prefix and added[one.key]:
                added[one.key] -= 1
                was = gone.get(n)
                is_alike = was is not None and (was.kind, was.name) == (one.kind, one.name)
                change = "changed" if is_alike and call.compacted_at is None else "added"
                if change == "changed":
                    dropped.remove(gone.pop(n))
            rows.append(self._told(one, len(rows), change, n < self.prefix, told, chars))
        how = "dropped" if call.compacted_at is None else "compacted"
        return rows + [self._told(one, None, how, False, told, chars) for one in dropped]

    def _told(
        self, one: Message, position: int | None, change: str | None, in_prefix: bool, told: str, chars: int
    ) -> tuple[Any, ...]:
        text = one.text if len(one.text) <= chars else one.text[: chars - 1] + "…"
        step = one.step_number if one.step_number is not None else self.first_seen.get(one.key)
        return (
            position, one.kind, one.role, one.name, change, in_prefix and self.before is not None,
            round(one.tokens * self.shown), told, text, len(one.text), step, one.event_id, self.call.agent,
            self.call.step_number, self.call.is_reconstructed,
        )  # fmt: skip


def _measured(events: Iterable[dict[str, Any]], lanes: Collection[str]) -> Iterator[_Seen]:
    """The calls of all lanes, each compared with the one before in its lane, their messages measured."""
    last: dict[str, _Seen] = {}
    first_seen: dict[str, dict[int, int]] = {}
    for call in calls(events, lanes):
        before = last.get(call.agent)
        seen = _compared(call, before, first_seen.setdefault(call.agent, {}))
        _measure(seen)
        if before is not None:
            before.before = None  # a chain of them would keep all
        last[call.agent] = seen
        yield seen


def _compared(call: Call, before: _Seen | None, first_seen: dict[int, int]) -> _Seen:
    if not call.is_reconstructed:
        for one in call.messages:
            first_seen.setdefault(one.key, call.step_number)
    if before is None:
        return _Seen(call, None, 0, False, list(call.messages[: call.n_messages]), [], first_seen)
    known, old = call.n_known, call.old
    new = call.messages[known : call.n_messages]
    if not old:  # it only grew
        return _Seen(call, before, known, False, list(new), [], first_seen)
    same = _common(old, new)
    # Reasoning that is dropped moves nothing that a cache holds.
    rest = [one for one in old[same:] if one.kind != "reasoning"]
    same_rest = _common(rest, new[same:])
    is_broken = same_rest < len(rest)
    before_left, now_left = Counter(one.key for one in old[same:]), Counter(one.key for one in new[same:])
    return _Seen(
        call, before, known + same + same_rest, is_broken, _beyond(new[same:], before_left),
        _beyond(old[same:], now_left), first_seen,
    )  # fmt: skip


def _common(a: Sequence[Message], b: Sequence[Message]) -> int:
    """Length of the common front."""
    n = 0
    for one, other in zip(a, b, strict=False):
        if one.key != other.key or one.text != other.text:
            break
        n += 1
    return n


def _beyond(messages: Sequence[Message], others: Counter[int]) -> list[Message]:
    """Those that the others lack."""
    found = []
    for one in messages:
        if others[one.key]:
            others[one.key] -= 1
        else:
            found.append(one)
    return found


def _measure(seen: _Seen) -> None:
    """Give the messages that a call added their tokens, and sum up."""
    call, before = seen.call, seen.before
    usage = call.usage
    given = [usage.get(name) for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens")]
    seen.total = sum(n for n in given if n is not None) or None  # 0: the call was broken off, and nothing is known
    seen.ratio = before.ratio if before is not None else 1.0
    if before is None or not call.is_reconstructed or call.compacted_at is not None or not before.call.is_reconstructed:
        _measure_whole(seen)
    else:
        _measure_growth(seen, before)
    weight = sum(seen.sums.values())
    if seen.total is not None:
        seen.unrecorded = max(seen.total - round(weight), 0) if call.is_reconstructed else 0
        seen.shown = seen.total / weight if weight > seen.total or (weight and not call.is_reconstructed) else 1.0
    seen.prefix_tokens = _front(seen)


def _measure_whole(seen: _Seen) -> None:
    messages = seen.call.messages[: seen.call.n_messages]
    estimate = sum(one.estimate for one in messages)
    knows_all = not seen.call.is_reconstructed or any(one.kind == "system" for one in messages)
    if seen.total and estimate and (knows_all or estimate > seen.total):
        seen.ratio = seen.total / estimate
    for one in messages:
        one.tokens = one.estimate * seen.ratio
        seen.sums[one.kind] += one.tokens  # pyright: ignore[reportArgumentType] (a sum of shares)


def _measure_growth(seen: _Seen, before: _Seen) -> None:
    estimate = sum(one.estimate for one in seen.added)
    if seen.total is not None and before.total is not None and estimate:
        grown = seen.total - before.total + _weight(seen.dropped)
        if grown > 0:
            # More than that is not the way text is cut into tokens: something came that the source does not tell.
            seen.ratio = min(max(grown / estimate, _LEAST), _MOST)
    for one in seen.added:
        one.tokens = one.estimate * seen.ratio
    seen.sums = before.sums.copy()
    for sign, messages in ((1, seen.added), (-1, seen.dropped)):
        for one in messages:
            seen.sums[one.kind] += sign * one.tokens  # pyright: ignore[reportArgumentType]


_LEAST, _MOST = 0.3, 3.0


def _weight(messages: Sequence[Message]) -> float:
    return sum(one.tokens for one in messages)


def _front(seen: _Seen) -> float:
    """Tokens of the messages in front of the first difference."""
    call = seen.call
    if call.is_reconstructed:  # what is behind it is short
        return sum(seen.sums.values()) - _weight(call.messages[seen.prefix : call.n_messages])
    return _weight(call.messages[: seen.prefix])
