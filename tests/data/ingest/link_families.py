"""Families of files whose runs hang on each other, made for the tests: each a list of what is written where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.data.ingest import histories

Write = tuple[str, bytes]  # the path of a file, and what it holds then: one path may hold several, one after the other


# -- ATIF --------------------------------------------------------------------------------------------------------------


def trajectory(asked: str, at: int | None = None, lasts: int = 10, **fields: Any) -> bytes:
    """A trajectory of two steps; ``reference`` is what the second says of a sub-agent's."""
    reference = fields.pop("reference", None)
    call = {"tool_call_id": "c1", "function_name": "look", "arguments": {}}
    result = {"source_call_id": "c1", **({"subagent_trajectory_ref": [reference]} if reference else {})}
    steps: list[dict[str, Any]] = [
        {"step_id": 1, "source": "user", "message": asked},
        {"step_id": 2, "source": "agent", "message": "", "tool_calls": [call], "observation": {"results": [result]}},
    ]
    if at is not None:
        for step, second in zip(steps, (at, at + lasts), strict=True):
            step["timestamp"] = f"2026-01-02T10:{second // 60:02d}:{second % 60:02d}Z"
    about = {"schema_version": "ATIF-v1.7", "session_id": "NORMALIZED_SESSION_ID"}
    return histories.dumps({**about, "agent": {"name": "acme", "version": "1"}, "steps": steps, **fields})


_SUB = {"trajectory_path": "sub.json"}


def two_name_one() -> list[Write]:
    """Two trajectories that name one file."""
    return [
        ("a.json", trajectory("a", reference=_SUB)),
        ("b.json", trajectory("b", reference=_SUB)),
        ("sub.json", trajectory("sub")),
    ]


def two_name_one_in_time() -> list[Write]:
    """Two trajectories that name one file, whose run began while one of them ran."""
    return [
        ("a.json", trajectory("a", 0, reference=_SUB)),
        ("b.json", trajectory("b", 100, reference=_SUB)),
        ("sub.json", trajectory("sub", 105, 2)),
    ]


def written_anew() -> list[Write]:
    """A file that is named, overwritten with another run."""
    return [
        ("main.json", trajectory("main", reference=_SUB)),
        ("sub.json", trajectory("sub 1")),
        ("sub.json", trajectory("sub 2")),
    ]


def both_written_anew() -> list[Write]:
    """A trajectory and the file that it names, both overwritten by the next run in the folder."""
    return [
        ("main.json", trajectory("main 1", 0, reference=_SUB)),
        ("sub.json", trajectory("sub 1", 5, 2)),
        ("main.json", trajectory("main 2", 100, reference=_SUB)),
        ("sub.json", trajectory("sub 2", 105, 2)),
    ]


def continued_anew() -> list[Write]:
    """A trajectory that goes on in a file, which was overwritten by a run of before."""
    return [
        ("main.json", trajectory("main", 100, continued_trajectory_ref="sub.json")),
        ("sub.json", trajectory("after", 200)),
        ("sub.json", trajectory("before", 0)),
    ]


def copies() -> list[Write]:
    """A file that is named, and copies of it that are not; a trajectory in two folders beside two files."""
    main = trajectory("main", reference={"trajectory_path": "agents/sub.json"})
    return [
        ("old/agents/sub.json", trajectory("sub 1")),
        ("new/agents/sub.json", trajectory("sub 2")),
        ("backup/sub.json", trajectory("sub 1")),
        ("old/main.json", main),
        ("new/main.json", main),
    ]


def by_path_and_by_id() -> list[Write]:
    """A file that one trajectory names by its path, and another by the id of its session."""
    return [
        ("a.json", trajectory("a", session_id="main-1", reference=_SUB)),
        ("b.json", trajectory("b", session_id="main-2", reference={"session_id": "sub-7"})),
        ("sub.json", trajectory("sub", session_id="sub-7")),
        ("sub.json", trajectory("other", session_id="sub-8")),
    ]


def one_id_of_two() -> list[Write]:
    """A session that two trajectories say they started, one of which its id says too."""
    own = "main-1-summarization-1-summary"
    return [
        ("a.json", trajectory("a", 100, session_id="main-1", reference={"session_id": own})),
        ("b.json", trajectory("b", 0, session_id="main-2", reference={"session_id": own})),
        ("c.json", trajectory("c", session_id="main-3", reference={"session_id": own})),
        ("sub.json", trajectory("sub", 5, session_id=own)),
    ]


def in_a_circle() -> list[Write]:
    """Three files that name each other in a circle."""
    return [
        (f"{name}.json", trajectory(name, reference={"trajectory_path": f"{other}.json"}))
        for name, other in ("ab", "bc", "ca")
    ]


# -- Claude Code -------------------------------------------------------------------------------------------------------


FAMILIES: dict[str, Callable[[], list[Write]]] = {
    "two name one": two_name_one,
    "two name one, one in time": two_name_one_in_time,
    "written anew": written_anew,
    "both written anew": both_written_anew,
    "continued anew": continued_anew,
    "copies": copies,
    "by path and by id": by_path_and_by_id,
    "one id of two": one_id_of_two,
    "in a circle": in_a_circle,
}
