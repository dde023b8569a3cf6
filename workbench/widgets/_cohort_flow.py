"""The graph of a cohort as the browser draws it: nodes, and flows between those that are left when rare ones fold."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
import polars as pl

from workbench._typing import RunCohort

from ._text import one_line
from ._wire import pack

# Shares of the runs below which a step may be folded away; the browser offers them.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.25)
USUAL = 0.05
LABEL = 160
LABELS_BYTES = 300_000
"""Labels of all nodes together: a graph of many thousand nodes gets shorter ones."""
MAX_FLOWS = 12_000
KEPT_DIVERGENCES = 5
FEW = 5
"""Where steps of at most this many runs fold, every flow between the others is drawn."""
NOWHERE = -1  # the source of first steps, the target of last ones

_FLAGS = {"n_variants": "u4", "n_repeats": "u4", "n_moved": "u4", "n_errors": "u4"}


class Level(NamedTuple):
    """One way to fold: which nodes stand, and the flows between them."""

    least: int
    """Nodes that fewer runs come to are folded, unless a divergence is there."""
    kept: np.ndarray
    """Row of each node that stands."""
    flows: pl.DataFrame
    """``source target`` (rows of nodes; -1: start or end) ``n_good n_failed is_back``."""
    n_folded: int
    """Nodes folded away."""
    n_hidden: int
    """Flows left out."""


def thresholds(n_runs: int) -> list[int]:
    """The least numbers of runs that a step may be asked to have, ascending; 1 folds nothing."""
    found = {1} | {max(2, ceil(share * n_runs)) for share in SHARES[1:]} if n_runs > 2 else {1}
    return sorted(found)


def usual(n_runs: int) -> int:
    """The threshold to begin with: 5 % of the runs; three or fewer runs are shown whole."""
    return 1 if n_runs <= 3 else max(2, ceil(USUAL * n_runs))


def levels(cohort: RunCohort, least: list[int]) -> list[Level]:
    """The graph at each threshold."""
    nodes = cohort.nodes.with_row_index("row")
    always = cohort.divergences["node"].head(KEPT_DIVERGENCES).to_list()
    found = []
    for threshold in least:
        kept = nodes.filter((pl.col("n_runs") >= threshold) | pl.col("node").is_in(always)) if threshold > 1 else nodes
        everything = _flows(cohort, kept, whole=kept.height == nodes.height)
        # A few runs apart, what goes on from a step should be all that came to it: one run is a flow there.
        least_flow = threshold if threshold > FEW else 1
        flows = everything.filter(pl.col("n_good") + pl.col("n_failed") >= least_flow)
        flows = flows.sort(pl.col("n_good") + pl.col("n_failed"), descending=True, maintain_order=True).head(MAX_FLOWS)
        found.append(
            Level(
                threshold, kept["row"].to_numpy(), flows, nodes.height - kept.height, everything.height - flows.height
            )
        )
    return found


def _flows(cohort: RunCohort, kept: pl.DataFrame, *, whole: bool) -> pl.DataFrame:
    edges = cohort.edges if whole else _edges_between(cohort.steps, kept)
    rows = kept.select(pl.col("node"), pl.col("row").cast(pl.Int32))
    joined = edges.filter(pl.col("source").ne_missing(pl.col("target")))
    for end in ("source", "target"):
        joined = joined.join(rows.rename({"node": end, "row": f"{end}_row"}), on=end, how="left")
    return joined.select(
        source=pl.col("source_row").fill_null(NOWHERE),
        target=pl.col("target_row").fill_null(NOWHERE),
        n_good="n_good",
        n_failed="n_failed",
        is_back="is_back",
    )


def _edges_between(steps: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Edges as the cohort counts them, over the steps at these nodes alone: who passes a folded node goes on."""
    along = steps.filter(~pl.col("is_repeat"), pl.col("node").is_in(kept["node"].implode())).select(
        "execution_id",
        "outcome",
        target="node",
        at="position",
        source=pl.col("node").shift(1).over("execution_id"),
        came_from=pl.col("position").shift(1).over("execution_id"),
    )
    ends = along.group_by("execution_id", maintain_order=True).last()
    ends = ends.select("execution_id", "outcome", source="target", came_from="at")
    runs = pl.col("execution_id")
    return (
        pl.concat([along, ends], how="diagonal")
        .group_by("source", "target")
        .agg(
            n_good=runs.filter(pl.col("outcome") == "good").n_unique(),
            n_failed=runs.filter(pl.col("outcome") == "failed").n_unique(),
            is_back=(pl.col("came_from") >= pl.col("at")).any().fill_null(False),
        )
        .sort("source", "target", nulls_last=False)
    )


def packed(cohort: RunCohort, found: list[Level]) -> bytes:
    """Nodes and the flows of all levels as one block for the browser."""
    nodes = cohort.nodes
    arrays = {name: nodes[name].to_numpy().astype("i4") for name in ("node", "position", "step")}
    arrays |= {name: nodes[name].to_numpy().astype("u4") for name in ("n_good", "n_failed")}
    arrays |= {name: nodes[name].to_numpy().astype(kind) for name, kind in _FLAGS.items()}
    for number, level in enumerate(found):
        flows = level.flows
        arrays[f"kept{number}"] = level.kept.astype("u4")
        arrays |= {f"{name}{number}": flows[name].to_numpy().astype("i4") for name in ("source", "target")}
        arrays |= {f"{name}{number}": flows[name].to_numpy().astype("u4") for name in ("n_good", "n_failed")}
        arrays[f"is_back{number}"] = flows["is_back"].to_numpy().astype("u1")
    return pack(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        labels=_labels(nodes["label"].to_list()),
        types=nodes["event_type"].to_list(),
        levels=[{"least": one.least, "folded": one.n_folded, "hidden": one.n_hidden} for one in found],
    )


def _labels(labels: list[str | None]) -> list[str]:
    limit = max(12, min(LABEL, LABELS_BYTES // max(1, len(labels))))
    return [one_line(label or "", limit) for label in labels]
