"""One HTML file that works from a disk with the network off: static views, brought to life by the widgets' own modules.

Our widgets need no widget manager: each is one ES module that wants a model with ``get``, ``set``, ``on``, ``send``.
The page gives it one that holds the saved state; with ``_offline`` set there, what would ask the kernel says so.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ._sources import STATIC

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 16px; font: 14px/1.5 system-ui, sans-serif; background: #fff; color: #1f2328; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14171c; color: #e3e6ea; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _squeeze(text: str) -> str:
    """Text → gzip → base64: small, free of what HTML takes for markup, and the same bytes for the same text."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    return value


def live(states: Iterable[Mapping[str, Any]]) -> str:
    """The scripts that bring static views to life.

    Parameters
    ----------
    states
        Widget states as ``Widget.get_state()`` or a notebook's saved widget state has them, with ``_esm``, ``_css`` and
        ``_static_id``; bytes as bytes. Each is shown in place of the element ``data-wb-static="<_static_id>"``.

    Returns
    -------
    str
        HTML to put at the end of ``<body>``. A module that several widgets share is stored once.
    """
    shared: dict[str, str] = {}
    models = []
    for state in states:
        model = {
            k: _plain(v) for k, v in state.items() if not k.startswith(("_model_", "_view_", "_dom")) and k != "layout"
        }
        for key in ("_esm", "_css"):
            text = str(model.get(key, ""))
            name = hashlib.sha256(text.encode()).hexdigest()[:16]
            shared[name] = text
            model[key] = name
        models.append(model)
    runtime = (STATIC / "_page" / "runtime.js").read_text(encoding="utf-8")
    blocks = [
        f'<script type="text/plain" data-wb-text="{name}">{_squeeze(text)}</script>' for name, text in shared.items()
    ]
    blocks += [f'<script type="text/plain" data-wb-model>{_squeeze(json.dumps(model))}</script>' for model in models]
    return "\n".join([*blocks, f'<script type="module">\n{runtime}</script>'])


def page(title: str, body: str) -> str:
    """A whole document around ``body``; its policy forbids every request."""
    return _PAGE.format(title=escape(title), policy=_POLICY, body=body)
