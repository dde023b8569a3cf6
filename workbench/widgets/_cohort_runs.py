"""Which runs stand behind a node or a divergence of a cohort, as rows for its list; the browser gets them in pages."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from workbench._typing import RunCohort

from ._text import one_line

PAGE = 200
AHEAD_BYTES = 450_000
"""What is sent of the lists at first, so that they open without a kernel."""
LABEL = 160

OUTCOMES = ("all", "good", "failed")


class Runs:
    """Rows of lists: ``{"id", "name", "outcome", "steps" (their numbers), "label", "marks"}``, failed runs first."""

    def __init__(self, cohort: RunCohort) -> None:
        self._cohort = cohort
        self._names = dict(cohort.runs.select("execution_id", "name").iter_rows())

    def of(self, node: int | None, rank: int | None) -> pl.DataFrame:
        """The steps that a node, or the side of a divergence that fails more, stands for.

        Returns
        -------
        polars.DataFrame
            ``execution_id``, ``step_number`` (null: the step was left out before the first one) and ``outcome``.
        """
        if rank is not None:
            named = self._cohort.divergences.filter(pl.col("rank") == rank)
            pairs = named.select(execution_id="runs", step_number="step_numbers").explode("execution_id", "step_number")
            return pairs.join(self._cohort.runs.select("execution_id", "outcome"), on="execution_id", how="left")
        if node is None:
            return self._cohort.steps.clear().select("execution_id", "step_number", "outcome")
        return self._cohort.at(node).select("execution_id", "step_number", "outcome")

    def page(self, node: int | None, rank: int | None, outcome: str = "all", start: int = 0) -> dict[str, Any]:
        """A page of the list, and how many runs there are."""
        found = self._listed(node, rank)
        if outcome != "all":
            found = found.filter(pl.col("outcome") == outcome)
        rows = [self._row(row) for row in found.slice(max(0, start), PAGE).iter_rows(named=True)]
        return {"rows": rows, "total": found.height}

    def _listed(self, node: int | None, rank: int | None) -> pl.DataFrame:
        chosen = self.of(node, rank)
        told = ("execution_id", "step_number", "label", "is_repeat", "is_moved", "is_error")
        steps = self._cohort.steps
        if rank is None:
            steps = steps.filter(pl.col("node") == node)
        found = chosen.join(steps.select(told), on=["execution_id", "step_number"], how="left", maintain_order="left")
        return (
            found.group_by("execution_id", maintain_order=True)
            .agg(
                pl.col("outcome").first(),
                pl.col("label").first(),
                steps="step_number",
                **{name: pl.col(name).fill_null(False).any() for name in ("is_repeat", "is_moved", "is_error")},
            )
            .sort(pl.col("outcome") != "failed", pl.col("steps").list.first(), maintain_order=True)
        )

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        marks = {"repeated": row["is_repeat"], "elsewhere": row["is_moved"], "error": row["is_error"]}
        return {
            "id": row["execution_id"],
            "name": one_line(self._names.get(row["execution_id"]) or "", 80),
            "outcome": row["outcome"],
            "steps": [step for step in row["steps"] if step is not None][:20],
            "label": one_line(row["label"] or "", LABEL),
            "marks": [name for name, is_so in marks.items() if is_so],
        }

    def ahead(self) -> dict[str, Any]:
        """First pages of as many lists as a budget holds: the divergences in their order, then the busiest nodes."""
        busiest = self._cohort.nodes.sort("n_runs", descending=True, maintain_order=True)["node"].to_list()
        wanted = [(f"d{rank}", None, rank) for rank in self._cohort.divergences["rank"].head(20).to_list()]
        wanted += [(f"n{node}", node, None) for node in busiest[:400]]
        found: dict[str, Any] = {}
        left = AHEAD_BYTES
        for key, node, rank in wanted:
            page = self.page(node, rank)
            left -= len(orjson.dumps(page))
            if left < 0:
                break
            found[key] = page
        return found
