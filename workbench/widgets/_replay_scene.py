"""What a player draws of a run: its steps as arrays of flags, its notes, and how its branches hang together."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from workbench._typing import ReplayCursor

# Bits of a step's flags; ``static/_lib/scrubber.js`` has the same.
ERROR, WARNING, CALL, SHARED, ABANDONED, STATE_ONLY = 1, 2, 4, 8, 16, 32
KINDS = ("message", "llm_call", "tool_call", "tool_result", "reasoning", "state", "span")
"""Types with a colour of their own, in the order of the colours; all others share the last."""
TEXT = 4_000  # characters of a note that are sent
NOTES = 2_000
BRANCHES = 500


def scene(replay: ReplayCursor) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Facts about the run, and one value per step: ``number kind flags at`` (ms since the first, NaN = no time)."""
    steps = replay.steps
    kind = steps["event_type"].replace_strict(
        list(KINDS), list(range(len(KINDS))), default=len(KINDS), return_dtype=pl.UInt8
    )
    severity = steps["severity"]
    when = steps["timestamp"].cast(pl.Int64).to_numpy().astype(np.float64) / 1_000
    known = when[~np.isnan(when)]
    flags = (
        severity.is_in(["error", "critical"]).fill_null(False).to_numpy() * ERROR
        | (severity == "warning").fill_null(False).to_numpy() * WARNING
        | (steps["event_type"] == "tool_call").fill_null(False).to_numpy() * CALL
        | (steps["execution_id"] != replay.id).fill_null(False).to_numpy() * SHARED
        | _abandoned(replay) * ABANDONED
        | steps["id"].is_null().to_numpy() * STATE_ONLY
    )
    arrays = {
        "number": steps["step_number"].to_numpy().astype(np.float64),
        "kind": kind.fill_null(len(KINDS)).to_numpy(),
        "flags": flags.astype(np.uint8),
        "at": when - (known.min() if len(known) else 0.0),
    }
    return {"run": replay.id, "n": steps.height, "kinds": [*KINDS, "other"]}, arrays


def _abandoned(replay: ReplayCursor) -> np.ndarray:
    """Steps that the course of the head leaves out, of runs that were it once."""
    branches = replay.branches.filter("was_head").select("id", "head_until_step")
    told = replay.steps.select("execution_id", "step_number").join(
        branches.rename({"id": "execution_id"}).with_columns(known=pl.lit(True)),
        on="execution_id",
        how="left",
        maintain_order="left",
    )
    beyond = pl.col("step_number") > pl.col("head_until_step").fill_null(-1)
    return told.select((pl.col("known").fill_null(False) & beyond).fill_null(False)).to_series().to_numpy()


def marks(replay: ReplayCursor, numbers: list[int]) -> dict[str, Any]:
    """Notes by position, the lineage tree, and where other branches leave this course."""
    places = {number: place for place, number in enumerate(numbers)}
    notes = [
        {
            "id": row["id"],
            "position": places[row["step_number"]],
            "kind": row["kind"],
            "text": (row["text"] or "")[:TEXT],
            "author": row["author"],
            "at": None if row["created_at"] is None else row["created_at"].timestamp() * 1_000,
            "is_recorded": row["is_recorded"],
        }
        for row in replay.notes.head(NOTES).iter_rows(named=True)
        if row["step_number"] in places
    ]
    course = {*replay.steps["execution_id"].drop_nulls().unique().to_list(), replay.id}
    tree = [_branch(row, replay.id, course) for row in replay.branches.head(BRANCHES).iter_rows(named=True)]
    forks = [
        {"position": places[one["from"]], "run": one["id"], "name": one["name"]}
        for one in tree
        if one["from"] in places and one["parent"] in course and not one["is_on_course"]
    ]
    return {"notes": notes, "branches": tree, "forks": forks}


def _branch(row: dict[str, Any], shown: str, course: set[str]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "parent": row["parent_execution_id"],
        "depth": row["depth"],
        "name": (row["name"] or "")[:200],
        "status": row["status"],
        "from": row["forked_at_step"],
        "last": row["last_step"],
        "is_head": row["is_head"],
        "was_head": row["was_head"],
        "head_until": row["head_until_step"],
        "is_shown": row["id"] == shown,
        "is_on_course": row["id"] in course,
    }
