"""RFC 6902 patches between states: the public place of :mod:`workbench._delta`."""

from __future__ import annotations

from workbench._delta import Patch, apply, diff, same
from workbench.errors import PatchError

__all__ = ["Patch", "PatchError", "apply", "diff", "same"]
