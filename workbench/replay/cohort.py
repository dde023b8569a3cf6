"""Compare many: the good and the failed runs of one task on one graph, and the step where their outcomes part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from workbench.errors import ConfigurationError, NotFoundError

from .divergences import divergences, sentence
from .graph import Graph, graph
from .outcomes import Good, outcomes_of
from .splits import Splits, ranked, splits_of
from .steps import steps_of

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

    from .player import Replay

RUNS = {
    "execution_id": pl.String,
    "name": pl.String,
    "status": pl.String,
    "score": pl.Float64,
    "outcome": pl.String,
    "n_steps": pl.Int64,
}
NODES = {
    "node": pl.Int64,
    "position": pl.Int64,
    "step": pl.Int64,
    "event_type": pl.String,
    "role": pl.String,
    "name": pl.String,
    "label": pl.String,
    "n_good": pl.Int64,
    "n_failed": pl.Int64,
    "n_runs": pl.Int64,
    "n_variants": pl.Int64,
    "n_repeats": pl.Int64,
    "n_moved": pl.Int64,
    "n_errors": pl.Int64,
}
EDGES = {
    "source": pl.Int64,
    "target": pl.Int64,
    "n_good": pl.Int64,
    "n_failed": pl.Int64,
    "n_runs": pl.Int64,
    "is_back": pl.Boolean,
}
STEPS = {
    "execution_id": pl.String,
    "outcome": pl.String,
    "step_number": pl.Int64,
    "node": pl.Int64,
    "position": pl.Int64,
    "label": pl.String,
    "is_repeat": pl.Boolean,
    "is_moved": pl.Boolean,
    "is_error": pl.Boolean,
}

# A verdict on a run is its outcome told twice, and what is measured of it does nothing.
NO_STEPS = ("score", "metric")
_EVENTS = {
    "execution_id": pl.String,
    "step_number": pl.Int64,
    "event_type": pl.String,
    "name": pl.String,
    "data": pl.String,
}
_SPANS = {"span_id": pl.String, "parent_span_id": pl.String}
_COLUMNS = [*_EVENTS, *_SPANS]


@dataclass(frozen=True)
class Cohort:
    """Good and failed runs of one task, aligned.

    Attributes
    ----------
    task
        Title of the task.
    runs
        One row a run: ``execution_id name status score``, ``outcome`` (good · failed · undecided: neither, left out ·
        empty: without steps, left out), ``n_steps``.
    steps
        One row a step: ``execution_id outcome step_number``, ``node`` and ``position`` in the graph (null where nothing
        of other runs corresponds and the graph was full), ``label``, ``is_repeat`` (word for word what this run did
        before at this node), ``is_moved`` (other runs do it elsewhere), ``is_error``.
    """

    task: str
    runs: pl.DataFrame
    steps: pl.DataFrame
    _graph: Graph = field(repr=False)
    _failed: np.ndarray = field(repr=False)
    _frames: Frames | None = field(default=None, repr=False)

    @property
    def n_good(self) -> int:
        """Good runs in the graph."""
        return int((~self._failed).sum())

    @property
    def n_failed(self) -> int:
        """Failed runs in the graph."""
        return int(self._failed.sum())

    def __repr__(self) -> str:
        return f"Cohort({self.task!r}, good={self.n_good}, failed={self.n_failed})"

    @cached_property
    def nodes(self) -> pl.DataFrame:
        """The steps of the graph, in the order of the runs.

        Returns
        -------
        polars.DataFrame
            ``node``, ``position`` (nodes of one position stand for each other: runs take one or another), ``step``
            (median step number), ``event_type role name``, ``label`` (the commonest), ``n_good n_failed n_runs`` (runs
            that come there), ``n_variants`` (different things done or said there), ``n_repeats``, ``n_moved``,
            ``n_errors`` (steps).
        """
        kinds = [kind for _, kind in self._graph.nodes]
        described = pl.DataFrame(
            {
                "node": range(len(kinds)),
                "event_type": [kind[0] for kind in kinds],
                "role": [kind[1] for kind in kinds],
                "name": [", ".join(kind[2]) if isinstance(kind[2], tuple) else kind[2] for kind in kinds],
            },
            schema={name: NODES[name] for name in ("node", "event_type", "role", "name")},
        )
        first = pl.col("execution_id").filter
        found = (
            self.steps.drop_nulls("node")
            .group_by("node", "position")
            .agg(
                step=pl.col("step_number").median().round().cast(pl.Int64),
                label=pl.col("label").mode(maintain_order=True).first(),
                n_good=first(pl.col("outcome") == "good").n_unique(),
                n_failed=first(pl.col("outcome") == "failed").n_unique(),
                n_runs=pl.col("execution_id").n_unique(),
                n_variants=pl.col("label").n_unique(),
                n_repeats=pl.col("is_repeat").sum(),
                n_moved=pl.col("is_moved").sum(),
                n_errors=pl.col("is_error").sum(),
            )
            .join(described, on="node", how="left")
            .sort("node")
        )
        return found.select(pl.col(name).cast(dtype) for name, dtype in NODES.items())

    @cached_property
    def edges(self) -> pl.DataFrame:
        """How many runs go from one node straight to another; repeats are passed over.

        Returns
        -------
        polars.DataFrame
            ``source`` and ``target`` (null: the start, the end), ``n_good n_failed n_runs``, ``is_back`` (against the
            order of the graph: a step that other runs do earlier).
        """
        steps = self.steps.filter(pl.col("node").is_not_null() & ~pl.col("is_repeat"))
        along = steps.select(
            "execution_id", "outcome", "node", "position",
            source=pl.col("node").shift(1).over("execution_id"),
            came_from=pl.col("position").shift(1).over("execution_id"),
        ).rename({"node": "target"})  # fmt: skip
        ends = steps.group_by("execution_id", maintain_order=True).last()
        ends = ends.select("execution_id", "outcome", source="node", came_from="position")
        both = pl.concat([along, ends], how="diagonal")
        counted = both.group_by("source", "target").agg(
            n_good=pl.col("execution_id").filter(pl.col("outcome") == "good").n_unique(),
            n_failed=pl.col("execution_id").filter(pl.col("outcome") == "failed").n_unique(),
            n_runs=pl.col("execution_id").n_unique(),
            is_back=(pl.col("came_from") >= pl.col("position")).any().fill_null(False),
        )
        counted = counted.sort("source", "target", nulls_last=False)
        return counted.select(pl.col(name).cast(dtype) for name, dtype in EDGES.items())

    @cached_property
    def divergences(self) -> pl.DataFrame:
        """What divides the runs and goes with failing, the one to look at first on top; at most 100.

        On top are those that predict, in the order of the steps: corrected p ≤ 0.05, and at least half of the
        greatest difference among such. Then the rest by p, earlier steps first. In both, what was said comes after
        what was done.
        What divides the runs in exactly the same way as an earlier step is counted in ``n_alike``, not shown again.

        Returns
        -------
        polars.DataFrame
            ``rank`` (1 = first); ``position`` and ``node`` in the graph; ``step`` (median step number); ``class``
            (structure: a step is done or left out; decision: another tool or other arguments; result: the tool answers
            otherwise; wording); ``what`` (step · tool · argument · arguments · error · result · text · word); ``label``
            (what the runs *with* it have); ``instead`` (what most of the others have there; null: nothing); ``fails``
            (``with`` or ``without``: who fails more); ``n_with n_without failed_with failed_without`` (runs);
            ``rate_with rate_without`` (share that failed), ``difference`` of the two with its 95 % interval ``low
            high`` (Newcombe 1998, method 10), ``p_value`` (Fisher's exact test, two-sided), ``p_adjusted`` (Westfall &
            Young's minP over all questions asked of what was done, or of what was said); ``n_alike``; ``runs`` (ids of
            those on the side that fails more) and ``step_numbers`` (of each, the step that is there; where it was left
            out, the last step before; null: left out before the first step).
        """
        return divergences(self._graph, self._splits, self._failed, self._ids)

    @property
    def divergence(self) -> dict[str, Any] | None:
        """The row of :attr:`divergences` to look at first; None where no outcome differs, or nothing else does."""
        return next(self.divergences.iter_rows(named=True), None)

    @property
    def summary(self) -> str:
        """A sentence or two: how many failed, where they part, and how sure that is."""
        head = f"{self.n_failed} of {self.n_good + self.n_failed} runs failed."
        row = self.divergence
        if row is None:
            if not self.n_good or not self.n_failed:
                return f"{head} Without runs of both outcomes there is nothing to tell them apart by."
            return f"{head} Nothing that they did or said goes with failing."
        return f"{head} {sentence(row)}"

    def at(self, node: int) -> pl.DataFrame:
        """The rows of :attr:`steps` at a node: which runs come there, at which of their steps, and what they do.

        Raises
        ------
        NotFoundError
            There is no such node.
        """
        found = self.steps.filter(pl.col("node") == node)
        if found.is_empty():
            raise NotFoundError(f"No node {node!r} in this cohort; nodes are 0 to {len(self.nodes) - 1}.", node=node)
        return found

    @property
    def is_stored(self) -> bool:
        """Whether the runs are in a store, so that they can be replayed."""
        return self._frames is not None

    def replay(self, run: str, step: int | None = None) -> Replay:
        """A cursor on one of the runs, at a step: what ``bench.replay(run).seek(step)`` gives.

        Parameters
        ----------
        run
            Id of the run.
        step
            Number of the step; left out, the first.

        Raises
        ------
        NotFoundError
            No such run or step.
        ConfigurationError
            The cohort was made of frames alone, without a store.
        """
        from .player import Replay

        if self._frames is None:
            raise ConfigurationError("This cohort was made of frames; runs of bench.cohort(task=…) can be replayed.")
        cursor = Replay(self._frames, self._frames.run_id(run))
        return cursor if step is None else cursor.seek(step)

    def check(self) -> dict[str, float]:
        """Whether the divergence predicts runs that it was not found on: each run left out in turn.

        Returns
        -------
        dict
            ``n_runs`` (runs whose leaving out leaves both outcomes), ``accuracy`` (share that the divergence of the
            others told right: the run fails if it is on the side where more than half of the others fail), ``baseline``
            (share that the commoner outcome of the others tells right), ``n_unnamed`` (no divergence without them: the
            commoner outcome was taken).
        """
        right, usual, unnamed, tried = 0, 0, 0, 0
        for run in range(len(self._failed)):
            others = np.arange(len(self._failed)) != run
            failed = self._failed[others]
            if failed.all() or not failed.any():
                continue
            tried += 1
            guess = bool(failed.mean() > 0.5)
            usual += guess == bool(self._failed[run])
            found = ranked(Splits(self._splits.has[:, others], self._splits.about), failed)
            if not found.is_empty():
                best = found.row(0, named=True)
                side = "with" if self._splits.has[best["split"], run] else "without"
                guess = best[f"rate_{side}"] > 0.5
            unnamed += found.is_empty()
            right += bool(guess) == bool(self._failed[run])
        share = float("nan") if not tried else 1 / tried
        return {"n_runs": tried, "accuracy": right * share, "baseline": usual * share, "n_unnamed": unnamed}

    @cached_property
    def _splits(self) -> Splits:
        return splits_of(self._graph)

    @property
    def _ids(self) -> list[str]:
        return _used(self.runs)["execution_id"].to_list()


def cohort(events: pl.DataFrame, outcomes: pl.DataFrame, *, task: str = "") -> Cohort:
    """Align runs and keep what is needed to tell the failed ones from the good.

    Parameters
    ----------
    events
        Of all runs: ``execution_id step_number event_type name data``, and ``span_id parent_span_id`` where they are
        known, as ``bench.events(runs)`` gives them.
    outcomes
        One row a run: ``execution_id``, ``outcome`` (good · failed; others are left out), and ``name status score``
        where they are known.
    task
        What the runs tried, for headings.
    """
    around = _around(events)
    steps = {
        key[0]: [
            replace(step, result=None, is_error=False) if (key[0], step.number) in around else step
            for step in steps_of(part)
            if step.event_type not in NO_STEPS
        ]
        for key, part in events.partition_by("execution_id", as_dict=True).items()
    }
    n_steps = pl.Series([len(steps.get(run, ())) for run in outcomes["execution_id"]], dtype=pl.Int64)
    known = [name for name in RUNS if name in outcomes.columns]
    runs = pl.concat([pl.DataFrame(schema=RUNS), outcomes.select(known)], how="diagonal_relaxed").with_columns(
        n_steps=n_steps,
        outcome=pl.when(pl.col("outcome").is_in(["good", "failed"]) & (n_steps == 0))
        .then(pl.lit("empty"))
        .otherwise("outcome"),
    )
    used = _used(runs)
    aligned = graph([steps[run] for run in used["execution_id"]])
    return Cohort(task, runs, _steps_frame(aligned, used), aligned, (used["outcome"] == "failed").to_numpy())


def cohort_of(
    frames: Frames, *, task: Any = None, runs: Any = None, good: Good | None = None, **filters: Any
) -> Cohort:
    """Align the stored runs of one task, and find the first step whose outcome predicts failure.

    Parameters
    ----------
    task
        Title or id of the task.
    runs
        Instead, the runs themselves: ids, records, or a frame of runs. They must be of one task, or of none.
    good
        When a run is good. By default by its status: ``completed`` is good unless its score is 0 or less, ``failed`` is
        failed, all others are undecided and left out. A number: a score of at least that is good, less is failed, none
        is undecided. A Polars expression over the frame of executions, or a function of one of its rows as a dict: true
        is good, false is failed, null is undecided.
    **filters
        As of ``bench.executions()``: ``agent_type``, ``model``, ``since``, ….

    Raises
    ------
    ConfigurationError
        Neither task nor runs nor filters; runs of several tasks; fewer than two runs; ``good`` is none of these.
    NotFoundError
        No run matches.

    Notes
    -----
    Runs are taken as exchangeable: each an independent try of the same task. Where a model or a prompt changed on the
    way, what goes with failing may be the change; name it in the filters. Forks count as runs with the steps up to the
    fork, though they share them with the run they left: leave them out where there are many.
    """
    found = _chosen(frames, task, runs, filters)
    outcomes = found.with_columns(outcome=outcomes_of(found, good)).rename({"id": "execution_id"})
    wanted = outcomes.filter(pl.col("outcome").is_in(["good", "failed"]))["execution_id"].to_list()
    forks = outcomes.filter(pl.col("execution_id").is_in(wanted), pl.col("link") == "forked")["execution_id"].to_list()
    whole = [run for run in wanted if run not in set(forks)]
    events = frames.events(whole, columns=_COLUMNS) if whole else pl.DataFrame(schema=_EVENTS | _SPANS)
    # A fork's first steps are stored in the run it left.
    courses = [frames.course(run, columns=_COLUMNS).with_columns(execution_id=pl.lit(run)) for run in forks]
    events = pl.concat([events, *courses])
    title = next((title for title in found["task"] if title), "")
    return replace(cohort(events, outcomes, task=title), _frames=frames)


def _chosen(frames: Frames, task: Any, runs: Any, filters: dict[str, Any]) -> pl.DataFrame:
    from workbench.data.frames.runs import run_ids

    if runs is not None:
        filters["ids"] = run_ids(frames.transport, runs)
    if task is None and not any(value is not None for value in filters.values()):
        raise ConfigurationError(
            "A cohort is made of the runs of one task. Name it: bench.cohort(task='…'), with a title or id of"
            " bench.tasks(), or give the runs: bench.cohort(runs=bench.executions(…))."
        )
    found = frames.executions(task=task, **filters)
    if found.is_empty():
        raise NotFoundError(
            f"No run matches {'task=' + repr(task) if task is not None else 'these filters'}."
            " List tasks with bench.tasks() and runs with bench.executions().",
            task=task,
        )
    several = found.unique("task_id", maintain_order=True, keep="first")
    if len(several) > 1:
        names = [title or task_id or "no task" for title, task_id in several.select("task", "task_id").head(4).rows()]
        some = ", ".join(repr(_cut(name)) for name in names)
        raise ConfigurationError(
            f"These {len(found)} runs are of {len(several)} tasks: {some}{', …' if len(several) > 4 else ''}. Steps of"
            " different tasks do not correspond. Name one by its title or id: bench.cohort(task='…').",
            tasks=several["task_id"].to_list(),
        )
    if len(found) == 1:
        raise ConfigurationError(
            f"Only run {found['id'][0][:8]} matches, and a cohort needs two or more. Rank the steps of one run with"
            " bench.suspects(run).",
            run=found["id"][0],
        )
    return found


def _around(events: pl.DataFrame) -> set[tuple[str, int]]:
    """Run and number of the spans that other steps happened in.

    How such a span ended, nobody knew when it began: what happened in it tells that. Asked of the span itself, it would
    be the outcome told twice, at a step before the one that made the difference.
    """
    if not set(_SPANS) <= set(events.columns):
        return set()
    inside = events.select("execution_id", span_id="parent_span_id").drop_nulls()
    spans = events.filter(pl.col("event_type") == "span").join(inside, on=["execution_id", "span_id"], how="semi")
    return set(spans.select("execution_id", "step_number").iter_rows())


def _used(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.filter(pl.col("outcome").is_in(["good", "failed"]))


def _steps_frame(aligned: Graph, used: pl.DataFrame) -> pl.DataFrame:
    places = aligned.places
    run = pl.Series([one.run for one in places], dtype=pl.Int64)
    at = [None if one.column < 0 else aligned.position[one.column] for one in places]
    node = [None if p is None else aligned.nodes[p, one.step.kind] for p, one in zip(at, places, strict=True)]
    return pl.DataFrame(
        {
            "execution_id": used["execution_id"].gather(run),
            "outcome": used["outcome"].gather(run),
            "step_number": [one.step.number for one in places],
            "node": node,
            "position": at,
            "label": [one.step.label for one in places],
            "is_repeat": [one.is_repeat for one in places],
            "is_moved": [one.is_moved for one in places],
            "is_error": [one.step.is_error for one in places],
        },
        schema=STEPS,
    )


def _cut(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
