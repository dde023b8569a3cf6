"""Run an agent again from a step of a recorded run, in a branch of its own, with its effects under guard."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Collection
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.data.store.snapshots import chain_to, rebuild
from workbench.replay import branches
from workbench.replay.capture import record
from workbench.replay.rerun.answering import Answering, callable_of
from workbench.replay.rerun.guard import Effect, Guard, free
from workbench.replay.rerun.tape import Tape

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

RECEIPTS = {
    "step_number": pl.Int64,
    "tool": pl.String,
    "effect": pl.String,
    "receipt": pl.String,
}


@dataclass(frozen=True)
class Rerun:
    """What came of running a run again.

    Attributes
    ----------
    id
        The branch in which it is recorded: ``bench.compare(run, rerun)``, ``bench.replay(rerun)``.
    status
        ``completed`` or ``failed``; else as an agent that records itself says.
    output
        What the agent returned, or gave to ``run.finish(output=…)``.
    error
        The exception that ended it; ``None`` when it completed.
    n_recorded, n_live
        Calls answered from the recording, and made for real.
    receipts : polars.DataFrame
        One row per real effect on the world: ``step_number`` in the branch, ``tool``, ``effect`` (idempotent · side
        effect), ``receipt`` (its id, also in the event's ``data.extra.receipt``).
    refused
        What the guard let not happen, in order.
    """

    id: uuid.UUID
    status: str
    output: Any
    error: BaseException | None
    n_recorded: int
    n_live: int
    receipts: pl.DataFrame
    refused: list[Effect] = field(default_factory=list)


def rerun(
    frames: Frames,
    run: str,
    agent: Any,
    *,
    step: int = 0,
    state: Any = branches.SAME,
    live_from: int | None = None,
    allow: Collection[str] = (),
    name: str | None = None,
) -> Rerun:
    """Go on from a step of a run with an agent, in a new branch; the run itself is never changed.

    Calls of functions that are declared (:mod:`workbench.replay.rerun.effects`) are answered from the recording by
    tool and arguments, those of a model in their order. Everything else that would leave the process is refused.

    An agent that records itself (``bench.record()`` or ``bench.trace(kind="agent")``) does so in the branch: the first
    run of the same ``agent_type`` that it begins outside of any step is this one.

    Parameters
    ----------
    agent
        A function of the state: what it returns is the output; of a generator, each value that it yields is the state
        after a step, and the last one the output where it returns nothing. Or an object with ``stream`` as a compiled
        LangGraph graph has it. Sync or async.
    step
        Where it goes on: the branch begins with the state after this step.
    state
        The state to begin with instead.
    live_from
        The step of the recording from which on calls are real; ``None`` = none ever is. Before it an agent that asks
        for what was not recorded has diverged. From it on functions without side effects are called, those with side
        effects are answered from the recording if it holds that very call, and refused else.
    allow
        Names of functions with side effects that may be called for real.
    name
        What to call the branch.

    Returns
    -------
    Rerun
        Also when the agent fails: ``.error`` says how.

    Raises
    ------
    NotFoundError
        No such run or step.
    ConfigurationError
        The agent is nothing that can be run.
    """
    call = callable_of(agent)
    store = frames.store
    events = frames.course(run, columns=["step_number", "event_type", "name", "data"])
    branch = branches.fork(store, run, step, state=state, name=name)
    with store.raw() as connection:
        rows = chain_to(connection, branch, step)
    begun = rebuild(rows, step) if rows else None
    recording = record(store, into=branch)
    answers = Answering(recording, Tape(events.filter(pl.col("step_number") > step)), live_from, frozenset(allow))
    output, failed, guard = None, None, Guard()
    with recording:
        recording.awaits_agent = True
        try:
            with guard:
                output = copy_context().run(answers.run, call, copy.deepcopy(begun))
            with free():
                if not recording.is_finished:
                    recording.finish(output=output)
        except Exception as error:  # noqa: BLE001 (the agent's own, whatever it is: told, not raised)
            failed = error
            recording.finish(error=str(error), error_type=type(error).__name__)
    receipts = pl.DataFrame(answers.receipts, schema=RECEIPTS, orient="row")
    status = "failed" if failed else recording.status
    output = recording.output if output is None else output
    return Rerun(branch, status, output, failed, answers.n_recorded, answers.n_live, receipts, guard.refused)
