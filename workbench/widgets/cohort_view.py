"""The good and the failed runs of a task on one graph: where their flows part, and which runs stand at each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import polars as pl
import traitlets

from workbench._typing import RunCohort, is_like

from . import _cohort_flow, _cohort_still
from ._base import Widget
from ._cohort_runs import OUTCOMES, Runs
from ._text import one_line
from .replay_player import ReplayPlayer

TEXT = 300  # characters of each text of a divergence
_NUMBERS = ("rank", "node", "step", "class", "what", "fails", "n_with", "n_without", "failed_with", "failed_without",
            "difference", "low", "high", "p_adjusted", "n_alike")  # fmt: skip


class CohortView(Widget):
    """Show the aligned graph of many runs, good and failed, and the steps where they part.

    Parameters
    ----------
    cohort
        What ``bench.cohort(task=…)`` gives.
    on_open
        Called with a run's id and a step (None: its first) when it is opened: a click on a run of the list or on one of
        its steps, or Enter. A widget it returns is shown below. Left out, a :class:`ReplayPlayer` opens at that step.
    node
        The selected step of the graph (``node`` of ``cohort.nodes``); None: none.
    rank
        The selected divergence (``rank`` of ``cohort.divergences``); None: none. It selects its runs, not a node's.
    picked
        Ids of runs ticked in the list of the node or divergence; empty: all of them.
    outcome
        Which runs are drawn, listed and selected: ``"all"``, ``"good"`` or ``"failed"``.
    min_runs
        Steps that fewer runs come to are folded away, unless one of the first divergences is there. By default 5 % of
        the runs; 1 shows everything.

    Attributes
    ----------
    selected
        Frame ``execution_id step_number outcome`` of what is selected; for a divergence the runs on the side that fails
        more, each with the step where it shows (null: left out before the first step). Empty without a selection.
    code
        Python that makes :attr:`selected` from a cohort named ``cohort``.
    opened
        The widget below: the player, after a run was opened; ``view.opened.replay.state`` is the state that is seen.

    Raises
    ------
    TypeError
        The argument is no cohort, or an option is unknown.

    Examples
    --------
    ::

        view = wb.CohortView(bench.cohort(task="…"))
        run, step, _ = view.selected.row(0)     # after a click on a step
        view.show(run, step)                    # as a click on the run does
    """

    _name = "cohort_view"

    node = traitlets.Int(None, allow_none=True).tag(sync=True)
    rank = traitlets.Int(None, allow_none=True).tag(sync=True)
    picked = traitlets.List(traitlets.Unicode()).tag(sync=True)
    outcome = traitlets.Enum(OUTCOMES, "all").tag(sync=True)
    min_runs = traitlets.Int(1, min=1).tag(sync=True)

    _head = traitlets.Dict().tag(sync=True)
    _graph = traitlets.Bytes().tag(sync=True)
    _ahead = traitlets.Dict().tag(sync=True)
    _opened = anywidget.WidgetTrait().tag(sync=True)
    _place = traitlets.Dict().tag(sync=True)
    """What was opened: ``{"run", "name", "step"}``."""

    def __init__(
        self,
        cohort: RunCohort,
        *,
        on_open: Callable[[str, int | None], anywidget.AnyWidget | None] | None = None,
        **options: Any,
    ) -> None:
        self._check_options(options)
        if not is_like(cohort, RunCohort):
            raise TypeError(
                f"CohortView takes bench.cohort(task=…). It was given one {type(cohort).__name__};"
                " two runs are shown by DiffView(bench.compare(a, b))."
            )
        self.cohort = cohort
        self._on_open = on_open or (self._play if cohort.is_stored else None)
        self._runs = Runs(cohort)
        counts = dict(cohort.runs["outcome"].value_counts().iter_rows())
        self.n_good, self.n_failed = counts.get("good", 0), counts.get("failed", 0)
        n_runs = self.n_good + self.n_failed
        least = options.setdefault("min_runs", _cohort_flow.usual(n_runs))
        offered = sorted({*_cohort_flow.thresholds(n_runs), max(1, least)})
        # Before the comm opens, so that they travel with its first message.
        self._levels = _cohort_flow.levels(cohort, offered)
        self._graph = _cohort_flow.packed(cohort, self._levels)
        self._head, self._ahead = self._facts_for_browser(), self._runs.ahead()
        if options.get("rank") is not None:
            options.setdefault("node", self._node_of(options["rank"]))
        super().__init__(**options)
        self.observe(self._follow, ["node", "rank"])

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def selected(self) -> pl.DataFrame:
        """Runs and steps of what is selected."""
        found = self._runs.of(self.node, self.rank)
        if self.outcome != "all":
            found = found.filter(pl.col("outcome") == self.outcome)
        return found.filter(pl.col("execution_id").is_in(self.picked)) if self.picked else found

    @property
    def code(self) -> str:
        """Python that makes :attr:`selected`."""
        conditions = []
        if self.outcome != "all":
            conditions.append(f'pl.col("outcome") == "{self.outcome}"')
        if self.picked:
            conditions.append(f'pl.col("execution_id").is_in({self.picked!r})')
        return self._source_code() + (f".filter({', '.join(conditions)})" if conditions else "")

    def _source_code(self) -> str:
        if self.rank is not None:
            return (
                f'cohort.divergences.filter(pl.col("rank") == {self.rank})'
                '.select(execution_id="runs", step_number="step_numbers").explode("execution_id", "step_number")'
                '.join(cohort.runs.select("execution_id", "outcome"), on="execution_id", how="left")'
            )
        source = "cohort.steps.clear()" if self.node is None else f"cohort.at({self.node})"
        return f'{source}.select("execution_id", "step_number", "outcome")'

    @property
    def opened(self) -> Any:
        """The widget below; None before a run was opened."""
        return self._opened

    def show(self, run: str, step: int | None = None) -> CohortView:
        """Show a run below, at a step, as a click on it does.

        Parameters
        ----------
        run
            Id of the run.
        step
            Number of the step; None: the first.

        Raises
        ------
        LookupError
            The cohort has no such run, or the run no such step.
        TypeError
            The cohort was made of frames without a store, and no ``on_open`` was given.
        """
        named = self.cohort.runs.filter(pl.col("execution_id") == run)
        if named.is_empty():
            raise LookupError(f"This cohort has no run {run!r}; cohort.runs lists those it has.")
        if self._on_open is None:
            raise TypeError(
                "This cohort was made of frames, so there is no store to replay its runs from: give on_open=."
            )
        shown = self._on_open(run, step)
        with self.hold_sync():
            if isinstance(shown, anywidget.AnyWidget):
                self._opened = shown
            self._place = {"run": run, "name": one_line(named["name"][0] or "", 80), "step": step}
        return self

    def _play(self, run: str, step: int | None) -> ReplayPlayer:
        """One player for all runs: what is watched in it, its tab and its speed stay."""
        cursor = self.cohort.replay(run, step)
        return self._opened.show(cursor) if isinstance(self._opened, ReplayPlayer) else ReplayPlayer(cursor)

    def static_html(self) -> str:
        """The sentence, the divergences as a table, and the graph as a list of steps with bars."""
        return _cohort_still.html(self.cohort, self.n_good, self.n_failed, self.min_runs)

    def _facts(self) -> dict[str, Any]:
        first = next(iter(self.cohort.divergences["step"]), None)
        return {"good": self.n_good, "failed": self.n_failed, "steps": self.cohort.nodes.height, "diverges_at": first}

    # -- traits --------------------------------------------------------------------------------------------------

    @traitlets.validate("node")
    def _valid_node(self, proposal: Mapping[str, Any]) -> int | None:
        return self._known("node", proposal["value"], self.cohort.nodes["node"].to_list())

    @traitlets.validate("rank")
    def _valid_rank(self, proposal: Mapping[str, Any]) -> int | None:
        return self._known("rank", proposal["value"], self.cohort.divergences["rank"].to_list())

    def _node_of(self, rank: int | None) -> int | None:
        return next(iter(self.cohort.divergences.filter(pl.col("rank") == rank)["node"]), None)

    def _follow(self, change: Mapping[str, Any]) -> None:
        """A divergence selects its step; another step lets go of the divergence, and either of the ticked runs."""
        if change["name"] == "rank" and self.rank is not None:
            self.node = self._node_of(self.rank)
        elif self.rank is not None and self._node_of(self.rank) != self.node:
            self.rank = None
        self.picked = []

    def _known(self, name: str, value: int | None, known: Sequence[int]) -> int | None:
        if value is None or value in known:
            return value
        what = "step" if name == "node" else "divergence"
        allowed = f"{name}s are {known[0]} to {known[-1]}" if known else f"it has no {what}s"
        raise traitlets.TraitError(f"This cohort has no {what} {value}; {allowed}.")

    @traitlets.validate("min_runs")
    def _valid_min_runs(self, proposal: Mapping[str, Any]) -> int:
        offered = [level.least for level in self._levels]
        if proposal["value"] not in offered:
            # Flows are counted anew where other steps fold; the browser offers what was counted.
            raise traitlets.TraitError(
                f"This view folds below {', '.join(map(str, offered))} runs. For {proposal['value']} make a new one:"
                f" CohortView(cohort, min_runs={proposal['value']})."
            )
        return proposal["value"]

    # -- for the browser -----------------------------------------------------------------------------------------

    def _facts_for_browser(self) -> dict[str, Any]:
        return {
            "task": one_line(self.cohort.task, 200),
            "summary": one_line(self.cohort.summary, 1_000),
            "good": self.n_good,
            "failed": self.n_failed,
            "left_out": self.cohort.runs.height - self.n_good - self.n_failed,
            "can_open": self._on_open is not None,
            "divergences": [self._divergence(row) for row in self.cohort.divergences.iter_rows(named=True)],
        }

    def _divergence(self, row: dict[str, Any]) -> dict[str, Any]:
        texts = {name: None if row[name] is None else one_line(row[name], TEXT) for name in ("label", "instead")}
        return {**{name: row[name] for name in _NUMBERS}, **texts}

    def _handlers(self) -> dict[str, Any]:
        return {
            "runs": self._runs.page,
            "open": self._answer_open,
            "code": lambda: {"code": self.code, "n": self.selected.height},
        }

    def _answer_open(self, run: str, step: int | None) -> dict[str, Any]:
        self.show(run, step)
        return {"is_shown": self._opened is not None}
