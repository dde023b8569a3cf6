"""``%load_ext workbench``: ``%wb`` and ``%%wbsql`` in a notebook."""

from __future__ import annotations

from .magic import WorkbenchMagics, load_ipython_extension

__all__ = ["WorkbenchMagics", "load_ipython_extension"]
