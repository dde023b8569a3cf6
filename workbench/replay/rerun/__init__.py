"""Run an agent again from any step: answered from the recording, or for real as far as it is allowed."""

from __future__ import annotations

from .effects import idempotent, model, pure, side_effect
from .rerun import Rerun, rerun

__all__ = ["Rerun", "idempotent", "model", "pure", "rerun", "side_effect"]
