"""Agent Trajectory Interchange Format: any run as a trajectory v1.7 or v1.8, its sub-agents inside it.

A step of the run is a step of the trajectory, but for what a tool answered: ATIF keeps that with the call, so a result
stands in the observation of the step that asked, however much later it came. What ATIF has no field for is in
``extra.workbench`` of the step, the call, the result or the trajectory; what it cannot say even there is counted under
``extra.workbench.fidelity``. A run that came from ATIF gets its own fields back instead.

``prompt_tokens`` are all input tokens, ``cached_tokens`` those of them read from a cache, as the format defines them;
tokens written to a cache and those spent on reasoning are in ``metrics.extra``, under the names that the format's own
agents use. ``final_metrics`` are the sums of the steps.

Source: RFC 0001 of github.com/harbor-framework/harbor and the models of its release 0.24.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row

from workbench.data.export.atif_answers import Answers
from workbench.data.export.atif_step import Steps, known, moment
from workbench.data.store.storable import dumped
from workbench.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

FORMAT = "atif"
TITLE = "Agent Trajectory Interchange Format (.json)"
VERSIONS = ("1.7", "1.8")  # 1.8 is 1.7 with parts of audio

_PAGE = 500  # steps read at once
_DEEPEST = 50  # sub-agents inside sub-agents
_ROOT = ("notes", "final_metrics", "continued_trajectory_ref", "extra")
_VERSION_KEYS = ("version", "cli_version", "claude_code_version", "cliVersion")

Redact = Callable[[Any], Any]


def export(store: Store, run_id: str, *, version: str | None = None, redact: Redact | None = None) -> bytes:
    """One run with its sub-agents as the bytes of a trajectory.

    Parameters
    ----------
    version
        ``"1.7"`` or ``"1.8"``; 1.7, or 1.8 for a run that came as such.
    redact
        Takes each part of the document as plain JSON data and gives back what may be shown of it.

    Raises
    ------
    ConfigurationError
        A version that is not written.
    NotFoundError
        No such run.
    """
    return b"".join(pieces(store, run_id, version=version, redact=redact))


def pieces(store: Store, run_id: str, *, version: str | None = None, redact: Redact | None = None) -> Iterator[bytes]:
    """As :func:`export`, in pieces: no more than one page of steps is in memory."""
    if version is not None and version not in VERSIONS:
        raise ConfigurationError(f"ATIF is written in version {' or '.join(VERSIONS)}, not {version!r}.")
    with store.raw() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the taker may be slow
        row = _one(connection, run_id)
        if row is None:
            raise NotFoundError(f"No execution {run_id!r}. List them with bench.executions().")
        yield from _Trajectory(connection, row, version or _version(row), redact).pieces()
    yield b"\n"


def _version(row: dict[str, Any]) -> str:
    own = str((row["metadata"] or {}).get("schema_version"))
    return "1.8" if row["source"] == FORMAT and own == "ATIF-v1.8" else "1.7"


class _Trajectory:
    """One run on its way to JSON."""

    def __init__(
        self,
        connection: psycopg.Connection,
        row: dict[str, Any],
        version: str,
        redact: Redact | None,
        above: tuple[UUID, ...] = (),
    ) -> None:
        self._connection = connection
        self._row = row
        self._version = version
        self._redact = redact
        self._above = (*above, row["id"])
        self._own = dict(row["metadata"] or {}) if row["source"] == FORMAT else None
        self._steps = Steps(row, is_own=self._own is not None)
        self._children = list(self._find_children())

    def pieces(self) -> Iterator[bytes]:
        head = self._json(self._head())
        yield head[:-1] + b',"steps":['
        between = b""
        for step in self._written():
            yield between + self._json(step)
            between = b","
        if not between:  # a trajectory has one step at least
            yield self._json(self._steps.empty())
        yield b"]"
        for name, value in self._tail().items():
            yield b"," + orjson.dumps(name) + b":" + self._json(value)
        if self._children:
            yield b',"subagent_trajectories":['
            for n, child in enumerate(self._children):
                yield b"," if n else b""
                yield from _Trajectory(self._connection, child, self._version, self._redact, self._above).pieces()
            yield b"]"
        yield b"}"

    def _json(self, value: Any) -> bytes:
        return dumped(value if self._redact is None else self._redact(value)).encode()

    # -- the trajectory around the steps -----------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        row, metadata = self._row, self._row["metadata"] or {}
        head: dict[str, Any] = {"schema_version": f"ATIF-v{self._version}"}
        if self._own is not None:
            head |= known(
                session_id=_text(self._own.get("session_id")), trajectory_id=_text(self._own.get("trajectory_id"))
            )
        else:
            head["session_id"] = row["source_id"] or str(row["id"])
        if len(self._above) > 1 or self._own is None:
            head.setdefault("trajectory_id", str(row["id"]))
        agent = {"name": row["agent_type"], "version": "unknown"}
        if self._own is not None:
            agent |= _agent(self._own.get("agent"))
        else:
            said = next((v for k in _VERSION_KEYS if isinstance(v := metadata.get(k), str)), None)
            agent |= known(version=said, model_name=row["model"])
        head["agent"] = agent
        return head

    def _tail(self) -> dict[str, Any]:
        """What stands behind the steps, because only then it is known."""
        if self._own is not None:
            tail = {key: self._own[key] for key in _ROOT if key in self._own}
            strange = {
                key: value for key, value in self._own.items()
                if key not in (*_ROOT, "schema_version", "session_id", "trajectory_id", "agent", *_LINKS)
            }  # fmt: skip
            if strange:
                tail["extra"] = {**_object(tail.get("extra")), "workbench": strange}
            return tail
        row = self._row
        about = known(
            format=row["source"],
            **{
                name: row[name]
                for name in (
                    "source_id",
                    "name",
                    "status",
                    "score",
                    "trace_id",
                    "error",
                    "error_type",
                    "input",
                    "output",
                )
            },
            id=str(row["id"]),
            started_at=moment(row["started_at"]),
            completed_at=moment(row["completed_at"]),
            execution_time_ms=row["execution_time_ms"],
            cost_source=row["cost_source"],
            reported=row["reported"],
            metadata=row["metadata"] or None,
        )
        totals = self._steps.totals(row)
        about |= known(fidelity=self._steps.fidelity(self._n_states()) or None)
        return {"final_metrics": totals, "extra": {"workbench": about}}

    def _n_states(self) -> int:
        found = self._connection.execute(_STATES, [self._row["id"]]).fetchone()
        return found[0] if found else 0

    # -- its steps -----------------------------------------------------------------------------------------------------

    def _written(self) -> Iterator[dict[str, Any]]:
        execution = self._row["id"]
        answers = Answers() if self._own is not None else Answers.of(self._connection, execution)
        started: dict[UUID, list[dict[str, Any]]] = {}
        for child in self._children:
            started.setdefault(child["parent_event_id"], []).append(child)
        at: tuple[int, Any] = (-1, UUID(int=0))
        while True:
            rows = _events(self._connection, _PAGE_OF, [execution, *at, _PAGE])
            if not rows:
                return
            at = (rows[-1]["step_number"], rows[-1]["id"])
            wanted = [answer for row in rows for answer in answers.to(row["id"])]
            found = {row["id"]: row for row in _events(self._connection, _BY_ID, [wanted])} if wanted else {}
            for row in rows:
                if not answers.is_placed(row["id"]):
                    results = [found[answer] for answer in answers.to(row["id"]) if answer in found]
                    yield self._steps.step(row, results, started)

    def _find_children(self) -> Iterator[dict[str, Any]]:
        for child in _executions(self._connection, _CHILDREN, [self._row["id"]]):
            # A sub-agent that the source wrote into a file of its own stays there: the step names its path.
            is_agent = (child["metadata"] or {}).get("link") in (None, "spawned")
            is_here = self._own is None or str(child["source_id"]).startswith(f"{self._row['source_id']}/")
            if is_agent and is_here and child["id"] not in self._above and len(self._above) < _DEEPEST:
                yield child


_LINKS = ("parent_source_id", "started_by", "link", "spawned_by", "spawns", "linked_files", "possible_parents")


def _agent(value: Any) -> dict[str, Any]:
    """What a trajectory said of its agent; what its fields do not allow is in ``extra``."""
    given = _object(value)
    agent, strange = {}, {}
    for key, said in given.items():
        kind = _AGENT.get(key)
        (agent if kind is not None and isinstance(said, kind) else strange)[key] = said
    if strange:
        agent["extra"] = {**agent.get("extra", {}), "workbench": strange}
    return agent


_AGENT: dict[str, type] = {"version": str, "model_name": str, "tool_definitions": list, "extra": dict}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _one(connection: psycopg.Connection, run_id: str) -> dict[str, Any] | None:
    try:
        return next(_executions(connection, _ONE, [UUID(str(run_id))]), None)
    except ValueError:
        return None


def _executions(connection: psycopg.Connection, query: Any, values: list[Any]) -> Iterator[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        yield from cursor.execute(query, values).fetchall()


def _events(connection: psycopg.Connection, query: Any, values: list[Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, values).fetchall()
    for row in rows:
        row["data"] = orjson.loads(row["data"])
    return rows


_EXECUTION = """
SELECT id, agent_type, name, model, status, score, started_at, completed_at, input, output, error, error_type, metadata,
  trace_id, execution_time_ms, token_usage, cost::float8 AS cost, cost_source, reported, source, source_id,
  parent_event_id
FROM workbench.agent_executions
"""
_ONE = f"{_EXECUTION} WHERE id = %s"
_CHILDREN = f"{_EXECUTION} WHERE parent_execution_id = %s ORDER BY started_at NULLS LAST, created_at, id"
_EVENT = """
SELECT id, step_number, event_type, name, agent, category, severity, timestamp, duration_ms, trace_id, span_id,
  parent_span_id, mark, data::text AS data
FROM workbench.observability_events
"""
_PAGE_OF = f"{_EVENT} WHERE execution_id = %s AND (step_number, id) > (%s, %s) ORDER BY step_number, id LIMIT %s"
_BY_ID = f"{_EVENT} WHERE id = ANY(%s)"
_STATES = """
SELECT count(*) FROM workbench.execution_snapshots WHERE execution_id = %s AND NOT is_derived
"""
