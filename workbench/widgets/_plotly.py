"""plotly.js for the browser, once per kernel and once per page.

The bundle is a model of its own that every dashboard refers to: a second dashboard costs its numbers only, and a
notebook that keeps its widgets' state, or a saved page, carries it along. In the page it lives under a global symbol
with its version, so two notebooks with two kernels in one JupyterLab still evaluate it once.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import anywidget
import traitlets

from ._sources import STATIC

VENDOR = STATIC / "_vendor"
_LIBRARY: _Library | None = None

# The bundle is a UMD module: given a `module` of ours it leaves the page's globals and any AMD loader alone.
_WRAPPED = """
function load() {{
  const module = {{ exports: {{}} }};
  const exports = module.exports;
{code}
  return module.exports;
}}
export default {{
  initialize() {{
    const slots = (globalThis[Symbol.for("workbench.libraries")] ??= new Map());
    const name = {name};
    let slot = slots.get(name);
    if (!slot) {{
      slot = {{ isLoaded: false }};
      slot.promise = new Promise((resolve) => (slot.resolve = resolve));
      slots.set(name, slot);
    }}
    if (slot.isLoaded) return;
    slot.isLoaded = true;
    slot.resolve(load());
  }},
}};
"""


def version() -> str:
    """Version of the bundle, as its record says."""
    return json.loads((VENDOR / "plotly-basic.json").read_text())["version"]


@cache
def source() -> str:
    """The ES module that puts plotly.js where ``static/_lib/library.js`` finds it."""
    code = (VENDOR / "plotly-basic.min.js").read_text(encoding="utf-8")
    return _WRAPPED.format(code=code, name=json.dumps(f"plotly@{version()}"))


class _Library(anywidget.AnyWidget):
    """A model without a view: its module is the library."""

    _is_library = traitlets.Bool(True).tag(sync=True)

    def __repr__(self) -> str:
        return "plotly.js"


def library() -> anywidget.AnyWidget:
    """The one model of this kernel; a new one after all widgets were closed."""
    global _LIBRARY
    if _LIBRARY is None or _LIBRARY.comm is None:
        _LIBRARY = _Library(_esm=source())
    return _LIBRARY


def state() -> dict[str, Any]:
    """What a saved page needs of it."""
    return {"_esm": source(), "_css": "", "_is_library": True}
