"""What agents remember, and the nearest of it."""

from __future__ import annotations

from .search import MemoryStore

__all__ = ["MemoryStore"]
