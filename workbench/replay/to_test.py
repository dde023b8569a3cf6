"""Write a recorded run as a pytest file that passes on the recorded agent and fails on a changed one.

What was recorded is hostile text. It gets into the file as literals only (``repr`` of strings, numbers, lists and
objects), never by being put into code; what is large or deep goes to a JSON file beside it.
"""

from __future__ import annotations

import copy
import json
import pprint
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench._delta import diff
from workbench.data.secrets.known import knowing
from workbench.data.secrets.leaks import refuse
from workbench.data.store.course import course
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.capture.writing import SOURCE
from workbench.replay.rerun.play import SUFFIX, steps_of
from workbench.replay.rerun.tape import Tape

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

INLINE_CHARS = 2_000  # of a value that stays in the Python file
FILE_CHARS = 100_000  # of all of them; the rest of a longer run goes to the JSON file
INLINE_DEPTH = 30  # Python's parser refuses what is nested some 90 deep
_WIDTH = 112
_IN = "    "


def to_pytest(
    frames: Frames,
    run: str,
    path: str | Path,
    *,
    agent: str | None = None,
    step: int | None = None,
    redact: bool = True,
) -> Path:
    """Write a run as a test of its agent.

    The file holds what tools and models answered, and asserts that the agent asks for the same again, goes through the
    same states, and comes to the same output and end. It needs ``workbench`` and the agent; no database, no network.

    Parameters
    ----------
    path
        The ``.py`` file, replaced when it is there. Values above :data:`INLINE_CHARS` characters are written beside it,
        into a file of the same name that ends in ``.recorded.json``.
    agent
        Import path of the agent, ``"my_package.agents:plan"``. Without it the file has a marked place for it, and fails
        with what to do until it is named.
    step
        Begin with the state after this step, as ``bench.rerun(run, agent, step=…)`` does. ``None`` = from the
        beginning: with the state that was recorded before the first call, else with the run's input.
    redact
        Replace every password, token and key by ``[redacted: rule]``; any text of the agent fits there.

    Returns
    -------
    Path
        The Python file. Written twice it is the same, byte by byte.

    Raises
    ------
    NotFoundError
        No such run, or no recorded state at ``step``.
    ConfigurationError
        The path is no ``.py`` file in a folder that exists, or ``agent`` is no import path.
    DisclosureError
        A secret would be left; nothing is written.
    """
    from workbench.data.export import place

    target = place(path)
    if target.suffix != ".py":
        raise ConfigurationError(f"{target} is no Python file. Name it like tests/test_agent.py.", path=target)
    if agent is not None and not all(agent.partition(":")[::2]):
        raise ConfigurationError(f'agent={agent!r} is no import path. Write it as "package.module:name".', agent=agent)
    recorded = _recorded(frames, run, step)
    known: list[str] = []
    if redact:
        recorded, known = _redacted(frames, run, recorded)
    text, beside = _written(recorded, agent)
    whole = json.dumps(beside, indent=1).encode() if beside else None
    if redact:
        for data in (text.encode(), whole or b"", orjson.dumps(_document(recorded), option=_ANY_KEY)):
            refuse(data, target.name, known=known)
    # The answers first: a test that is there has all that it needs.
    for file, data in ((target.with_suffix(SUFFIX), whole), (target, text.encode())):
        if data is not None:
            unfinished = file.with_name(f".{file.name}.part")
            try:
                unfinished.write_bytes(data)
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
    return target


_SAID = b"SELECT input::text, output::text FROM workbench.agent_executions WHERE id = %s"
_ANY_KEY = orjson.OPT_NON_STR_KEYS


@dataclass(slots=True)
class _Recorded:
    about: dict[str, Any]
    steps: list[dict[str, Any]]
    states: list[tuple[int, Any]]
    begun: Any = None  # a list of the state to begin with
    input: Any = None
    output: Any = None
    error_type: str | None = None
    tells_end: bool = True
    n_unanswered: int = 0


def _document(recorded: _Recorded) -> dict[str, Any]:
    return {
        "about": recorded.about,
        "steps": recorded.steps,
        "states": [list(pair) for pair in recorded.states],
        "begun": recorded.begun,
        "input": recorded.input,
        "output": recorded.output,
    }


def _recorded(frames: Frames, run: str, step: int | None) -> _Recorded:
    columns = ["agent_type", "name", "task", "source", "status", "error_type"]
    row = frames.executions(ids=[run], columns=columns).row(0, named=True)
    with frames.store.raw() as connection:
        said = connection.execute(_SAID, [run]).fetchone() or (None, None)
        root = course(connection, run)[0].execution_id
    # A branch is captured as the run is that it was forked from; so is what was run again.
    row["source"] = frames.executions(ids=[str(root)], columns=["source"])["source"][0]
    given, output = (None if text is None else orjson.loads(text) for text in said)
    events = _events(frames, run, has_sub_agents=row["source"] == SOURCE)
    states = _states(frames, run)
    own = pl.col("lane").is_null()
    first = min((one.step_number for one in Tape(events.filter(own)).calls), default=None)
    begun = None
    if step is not None:
        begun = next(([state] for number, state in reversed(states) if number <= step), None)
        if begun is None:
            at = ", ".join(str(number) for number, _ in states[:20]) or "none"
            raise NotFoundError(
                f"No state was recorded at or before step {step} of this run; there is: {at}.", step=step
            )
        states = [(number, state) for number, state in states if number > step]
        states.insert(0, (step, begun[0]))
        events = _after(events, step)
    elif states and (first is None or states[0][0] < first):
        begun = [states[0][1]]
        events = _after(events, states[0][0])
    calls = Tape(events).calls
    if row["source"] == SOURCE:  # a captured call of a tool is no turn of a model
        calls = [one for one in calls if not one.is_turn or "content" in one.result]
    steps = steps_of(calls)
    about = {"id": run, "agent_type": row["agent_type"], "name": row["name"], "task": row["task"]}
    about |= {"source": row["source"], "status": row["status"]}
    is_known = row["status"] == "completed" or (
        row["status"] == "failed" and row["error_type"] not in (None, "abandoned")
    )
    return _Recorded(
        about={key: value for key, value in about.items() if value is not None},
        steps=steps,
        states=states,
        begun=begun,
        input=given,
        output=output,
        error_type=row["error_type"] if row["status"] == "failed" else None,
        tells_end=is_known,
        n_unanswered=sum("tool" in one and "result" not in one for one in steps),
    )


def _events(frames: Frames, run: str, *, has_sub_agents: bool) -> pl.DataFrame:
    """The events of a run and, of a captured one, those of the sub-agents that it started, as they came."""
    columns = ["step_number", "event_type", "timestamp", "data"]
    found = frames.course(run, columns=columns).with_columns(lane=pl.lit(None, pl.String))
    spawned, lanes = {run}, []
    for row in frames.tree(run).iter_rows(named=True) if has_sub_agents else ():
        if row["link"] == "spawned" and row["parent_execution_id"] in spawned:
            spawned.add(row["id"])
            lanes.append(frames.events(row["id"], columns=columns).with_columns(lane=pl.lit(row["agent_type"])))
    if not lanes or not all(one["timestamp"].null_count() == 0 for one in (found, *lanes)):
        return found
    return pl.concat([found, *lanes]).sort("timestamp", maintain_order=True)


def _after(events: pl.DataFrame, step: int) -> pl.DataFrame:
    """What came after a step of the run itself."""
    is_before = pl.col("lane").is_null() & (pl.col("step_number") <= step)
    last = events.with_row_index("row").filter(is_before)["row"].max()
    return events if last is None else events[int(last) + 1 :]  # pyright: ignore[reportArgumentType]


def _states(frames: Frames, run: str) -> list[tuple[int, Any]]:
    """The states that were recorded, not those derived from the conversation; of a fork, of its whole course."""
    with frames.transport.reading() as connection:
        stretches = course(connection, run)
    found: dict[int, Any] = {}
    for one in stretches:
        rows = frames.snapshots(str(one.execution_id), is_derived=False, columns=["step_number", "state"])
        for number, state in rows.iter_rows():
            if one.until is None or number <= one.until:
                found[number] = orjson.loads(state)
    return sorted(found.items())


def _redacted(frames: Frames, run: str, recorded: _Recorded) -> tuple[_Recorded, list[str]]:
    redactor = knowing(frames.store, run)
    document = _document(recorded)
    redactor.learn_from([orjson.dumps(document)])
    clean = redactor.value(copy.deepcopy(document))
    told = _Recorded(
        about=clean["about"] | {"id": recorded.about["id"]},
        steps=clean["steps"],
        states=[(number, state) for number, state in clean["states"]],
        begun=clean["begun"],
        input=clean["input"],
        output=clean["output"],
        error_type=recorded.error_type,
        tells_end=recorded.tells_end,
        n_unanswered=recorded.n_unanswered,
    )
    return told, list(redactor.known)


# -- as Python --------------------------------------------------------------------------------------------------------


class _Kept:
    """Stands in a literal for what lies in the JSON file."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"LARGE[{self.key!r}]"


@dataclass(slots=True)
class _Literals:
    """Values as Python text, and those that are too large for that."""

    beside: dict[str, Any] = field(default_factory=dict)
    n_chars: int = 0

    def of(self, value: Any, key: str) -> Any:
        """The value, or what stands for it."""
        n = len(json.dumps(value))
        if n > INLINE_CHARS or self.n_chars + n > FILE_CHARS or _depth(value) > INLINE_DEPTH:
            self.beside[key] = value
            return _Kept(key)
        self.n_chars += n
        return value


def _written(recorded: _Recorded, agent: str | None) -> tuple[str, dict[str, Any]]:
    literals = _Literals()
    values = {"RUN": recorded.about, "AGENT": agent}
    given = []
    if recorded.begun is not None:
        given.append("state=STATE")
        values["STATE"] = literals.of(recorded.begun[0], "state")
    if recorded.input is not None:
        given.append("input=INPUT")
        values["INPUT"] = literals.of(recorded.input, "input")
    values["STEPS"] = [_step(literals, one, at) for at, one in enumerate(recorded.steps)]
    if recorded.states[recorded.begun is not None :]:
        values["STATES"] = [_state(literals, one) for one in _as_patches(recorded.states)]
    if recorded.output is not None:
        values["OUTPUT"] = literals.of(recorded.output, "output")
    if literals.n_chars >= FILE_CHARS or len(recorded.steps) * 60 > FILE_CHARS:  # a long run: a list of references
        literals.beside["steps"] = recorded.steps
        for key in [key for key in literals.beside if key.startswith("step ")]:
            del literals.beside[key]
        values["STEPS"] = _Kept("steps")
    return _python(recorded, values, given, has_more=bool(literals.beside)), literals.beside


def _step(literals: _Literals, step: dict[str, Any], at: int) -> dict[str, Any]:
    large = ("arguments", "result", "answer", "turn")
    return {
        key: literals.of(value, f"step {step['step']}, {key}, call {at}") if key in large else value
        for key, value in step.items()
    }


def _as_patches(states: Iterable[tuple[int, Any]]) -> Iterable[dict[str, Any]]:
    """States whole, or as a patch on the one before where that is much shorter."""
    before: Any = None
    for number, state in states:
        size = len(orjson.dumps(state))
        patch = diff(before, state) if before is not None and size > INLINE_CHARS else None
        if patch is not None and 2 * len(orjson.dumps(patch)) < size:
            yield {"step": number, "patch": patch}
        else:
            yield {"step": number, "state": state}
        before = state


def _state(literals: _Literals, state: dict[str, Any]) -> dict[str, Any]:
    kind = "patch" if "patch" in state else "state"
    return {"step": state["step"], kind: literals.of(state[kind], f"{kind} of step {state['step']}")}


def _python(recorded: _Recorded, values: dict[str, Any], given: list[str], *, has_more: bool) -> str:
    """The file. What was recorded comes in by :func:`_literal` only."""
    is_own = recorded.about.get("source") == SOURCE
    parts = [_HEAD, _OWN if is_own else _FOREIGN]
    if recorded.n_unanswered:
        parts.append(_UNANSWERED)
    parts.append('"""\n\nfrom __future__ import annotations\n\nimport pytest\n\nfrom workbench import testing\n')
    if has_more:
        parts.append("\nLARGE = testing.kept_beside(__file__)  # the JSON file beside this one\n")
    for name, value in values.items():
        comment = _COMMENTS[name] if not (name == "AGENT" and value is None) else _NO_AGENT
        parts.append(f"\n{comment}{name} = {_literal(value)}\n")
    parts.append(_PLAYED.replace("GIVEN", ", ".join(["AGENT", "STEPS", *given])))
    parts.append(_TEST_STEPS)
    if "STATES" in values:
        parts.append(_TEST_STATES)
    if "OUTPUT" in values:
        parts.append(_TEST_OUTPUT)
    if recorded.tells_end:
        error = "" if recorded.error_type is None else f", {recorded.error_type!r}"
        parts.append(_TEST_END.replace("ERROR", error))
    return "".join(parts)


def _literal(value: Any) -> str:
    """Python text of a value; strings by ``repr``, which leaves no line end and nothing that is not shown."""
    if isinstance(value, list) and value:
        return _block("[", map(_pretty, value), "]")
    if isinstance(value, dict) and value:
        return _block("{", (f"{key!r}: {_pretty(item)}" for key, item in value.items()), "}")
    return _pretty(value)


def _block(begin: str, items: Iterable[str], end: str) -> str:
    """One item a line, and deeper lines of an item below it."""
    return "\n".join([begin, *(f"{indent(item, _IN)}," for item in items), end])


def _pretty(value: Any) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            item
            for one in level
            if isinstance(one, (dict, list))
            for item in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


_HEAD = '''\
"""A recorded run of an agent as a test, written by `workbench to-pytest`.

The agent is run once, on what its tools and its model answered then. Nothing else gets out: connections, processes
and changed files are refused. The test needs no database and no network, and may be edited.

Checked: which tools are called, in which order, with which arguments; how often the model is asked, and when;
the states, the output and how it ends, where they were recorded. Identifiers and times that a run makes up may differ.

Not checked: what the model would answer to another prompt (it gives its recorded answers, whatever it is asked), and
what the tools would answer today.
'''
_OWN = ""
_FOREIGN = """
This run was read from a file of another program, which cannot be called from here. Checked is an agent of yours that
has the same tools (by name and arguments) and is given the recorded turns of the model, one after the other.
"""
_UNANSWERED = """
Some calls have no recorded result (the run ended before, or its source does not say): an agent that makes one of
them is stopped there.
"""
_NO_AGENT = """\
# >>> NAME YOUR AGENT HERE, as "my_package.agents:plan". Until then each test fails and says what is wanted. <<<
"""
_COMMENTS = {
    "RUN": "# Where this comes from.\n",
    "AGENT": '# "package.module:name" of the agent.\n',
    "STATE": "# The state that it begins with.\n",
    "INPUT": "# What the run was given. An agent whose parameters are the keys of it is given them by name.\n",
    "STEPS": "# What it called, and what it was answered.\n",
    "STATES": "# Its states after steps: whole, or as an RFC 6902 patch on the one before.\n",
    "OUTPUT": "# What it came to.\n",
}
_PLAYED = '''

@pytest.fixture(scope="module")
def played() -> testing.Played:
    """The agent, run on the recording."""
    return testing.play(GIVEN)


'''
_TEST_STEPS = '''\
def test_steps(played: testing.Played) -> None:
    """It calls the same tools with the same arguments, and asks its model as often."""
    testing.check_steps(played, STEPS)
'''
_TEST_STATES = '''

def test_states(played: testing.Played) -> None:
    """It goes through the same states."""
    testing.check_states(played, STATES)
'''
_TEST_OUTPUT = '''

def test_output(played: testing.Played) -> None:
    """It comes to the same output."""
    testing.check_output(played, OUTPUT)
'''
_TEST_END = '''

def test_end(played: testing.Played) -> None:
    """It ends as it did."""
    testing.check_end(playedERROR)
'''
