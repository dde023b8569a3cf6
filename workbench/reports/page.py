"""What makes a saved page alive with no kernel and no network, as pieces of HTML.

A page holds, beside its visible HTML,

- static views, ``<div class="wb-static" data-wb-static="timeline-1">``: readable as they are, hidden once the widget is
  drawn;
- empty places, ``<div data-wb-view="<model id>">``: filled by the widget manager;
- two gzipped blocks: ``wb-code`` (the vendored widget manager, anywidget's front end) and ``wb-state`` (the widgets'
  own state, every long string stored once);
- ``boot.js``, the only script that may run: the content security policy names its hash, and allows no request at all.
  HTML inside an output cannot run scripts or call out, whatever an agent wrote into it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

STATE_MIME = "application/vnd.jupyter.widget-state+json"
VIEW_MIME = "application/vnd.jupyter.widget-view+json"
PLOTLY_MIME = "application/vnd.plotly.v1+json"

TEMPLATE = Path(__file__).parent / "template"

# Shorter strings cost more as a reference than as themselves.
_SHARED_FROM = 1000


def place(model_id: str, fallback: str = "") -> str:
    """Where a widget is drawn; ``fallback`` is its text for the reader without JavaScript."""
    key = html.escape(model_id, quote=True)
    text = f'<pre class="wb-fallback">{html.escape(fallback)}</pre>' if fallback else ""
    return f'<div class="wb-live" data-wb-view="{key}">{text}</div>'


def figure(spec: Mapping[str, Any]) -> str:
    """Where a plain plotly figure (its JSON) is drawn."""
    return f'<div class="wb-live" data-wb-plotly><script type="application/json">{safe_json(spec)}</script></div>'


def policy(state: Mapping[str, Any], *, plotly: bool = False) -> str:
    """The content security policy: our one script by its hash, nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(boot().encode()).digest()).decode()
    # plotly compiles its WebGL draw calls with Function(); nothing else here needs it.
    compiling = " 'unsafe-eval'" if plotly or _has_plotly(state) else ""
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:{compiling}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def payload(state: Mapping[str, Any], *, plotly: bool = False) -> dict[str, str]:
    """The gzipped blocks by element id; empty when there is nothing to draw.

    Parameters
    ----------
    state
        Jupyter's widget state as a notebook's ``metadata.widgets`` holds it.
    plotly
        Whether the page has a :func:`figure`.
    """
    if not state.get("state") and not plotly:
        return {}
    slim, shared = _share(state)
    return {"wb-code": _code(plotly), "wb-state": _pack({"state": slim, "shared": shared})}


def safe_json(value: Any) -> str:
    """JSON that may stand inside a ``<script>``: no ``<`` is left in it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@cache
def boot() -> str:
    """The page's one script, exactly as the policy's hash covers it."""
    return (TEMPLATE / "boot.js").read_text("utf-8")


@cache
def _code(plotly: bool) -> str:
    from importlib.resources import files

    from ..widgets._sources import STATIC

    vendor = STATIC / "_vendor"
    # anywidget's front end comes from the installed package, so that it always fits the widgets' state. It is an AMD
    # module: it is given a `define` of its own, which keeps its factory.
    front = (files("anywidget") / "nbextension" / "index.js").read_text("utf-8")
    capture = "(needs, factory) => { globalThis.workbenchAnywidget = factory; }"
    scripts = [
        f"((define) => {{\n{front}\n}})({capture});",
        (vendor / "html-manager.min.js").read_text("utf-8") + "\nglobalThis.WorkbenchPage = WorkbenchPage;",
    ]
    if plotly:
        scripts.append((files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8"))
    return _pack({"css": (vendor / "html-manager.min.css").read_text("utf-8"), "scripts": scripts})


def _pack(value: Any) -> str:
    """Gzipped JSON in base64; the same value gives the same text."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _share(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Replace each long string of the models by a reference; ten widgets of a kind carry their code once."""
    shared: dict[str, str] = {}
    models = {}
    for model_id, model in state.get("state", {}).items():
        slim = dict(model["state"])
        for key, value in slim.items():
            if isinstance(value, str) and len(value) >= _SHARED_FROM:
                digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
                shared[digest] = value
                slim[key] = {"$shared": digest}
        models[model_id] = {**model, "state": slim}
    return {"version_major": 2, "version_minor": 0, **state, "state": models}, shared


def _has_plotly(state: Mapping[str, Any]) -> bool:
    return any("plotly" in str(m["state"].get("_anywidget_id", "")) for m in state.get("state", {}).values())
