"""Protocols by which rooms that may not import each other speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl


@runtime_checkable
class RunDiff(Protocol):
    """The aligned difference of two runs: what ``bench.compare(a, b)`` gives and ``DiffView`` shows."""

    @property
    def a(self) -> str:
        """What the first run is called."""
        ...

    @property
    def b(self) -> str:
        """What the second run is called."""
        ...

    @property
    def titles(self) -> tuple[str, str]:
        """What a heading says of either run."""
        ...

    @property
    def steps(self) -> pl.DataFrame:
        """One row per aligned pair: ``position a_step b_step kind what a_label b_label similarity``."""
        ...

    @property
    def first_divergence(self) -> dict[str, Any] | None:
        """The first row that differs in more than wording."""
        ...

    @property
    def summary(self) -> str:
        """One sentence."""
        ...

    def detail(self, position: int) -> dict[str, Any]:
        """Both sides of a row: ``a`` and ``b`` with ``calls result is_error text``, or None."""
        ...
