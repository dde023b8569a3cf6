"""What every widget has: its browser half, a stable repr, a static view that outlives the kernel, a page of its own.

A subclass names itself (``_name = "timeline"`` pairs ``static/timeline.js`` and ``static/timeline.css``), gives its
facts for the repr (:meth:`Widget._facts`) and its static view (:meth:`Widget.static_html`), and answers requests
(:meth:`Widget._handlers`).
"""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import ipywidgets
import traitlets

from . import _sources
from ._page import live, page
from ._wire import Answer, Wire

_numbers: Counter[str] = Counter()


class _Joined:
    """Reads the browser half when the first widget is made, not when the module is imported."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __get__(self, instance: object, owner: type[Widget]) -> str:
        if not owner._name:
            return ""
        return owner._module() if self.part == "js" else _sources.style(owner._name)


class Widget(anywidget.AnyWidget):
    """Base of all widgets.

    Parameters
    ----------
    **options
        Traits of the subclass, and ``layout``.

    Raises
    ------
    TypeError
        An option this widget does not have; the text names the nearest one.
    """

    _name: ClassVar[str] = ""
    _libs: ClassVar[tuple[str, ...]] = ()
    """Files of ``_lib`` to join besides those the module imports."""

    _esm = _Joined("js")
    _css = _Joined("css")

    _static_id = traitlets.Unicode().tag(sync=True)
    """Ties the live view to its static view. A count, not the model id: nbval compares the HTML of two runs."""

    _offline = traitlets.Bool(False).tag(sync=True)
    """True in a saved page: the browser half does not wait for answers that cannot come."""

    def __init__(self, **options: Any) -> None:
        self._check_options(options)
        _numbers[self._name] += 1
        super().__init__(_static_id=f"{self._name}-{_numbers[self._name]}", **options)
        self._wire = Wire(self.send, self._handlers())
        self.on_msg(self._wire.receive)

    @classmethod
    def _module(cls) -> str:
        """The ES module; a subclass with a vendored library puts it in front here."""
        return _sources.module(cls._name, cls._libs)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The keywords the constructor takes besides its own parameters."""
        inherited = set(ipywidgets.DOMWidget.class_trait_names()) - {"layout"}
        return tuple(sorted(n for n in cls.class_trait_names() if not n.startswith("_") and n not in inherited))

    def _check_options(self, options: Mapping[str, Any]) -> None:
        known = self.option_names()
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{type(self).__name__} has no option {name!r}.{hint} It has: {', '.join(known)}.")

    # -- for subclasses ------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        """What the repr says: few, small, and the same in every run of the same notebook."""
        return {}

    def _handlers(self) -> dict[str, Callable[..., Answer | Mapping[str, Any] | None]]:
        """Verb → the method that answers the browser's request of that name."""
        return {}

    def static_html(self) -> str:
        """The view without a kernel or script: an escaped, self-contained HTML fragment with inline styles."""
        raise NotImplementedError(f"{type(self).__name__} gives no static view.")

    def _saved_states(self) -> list[dict[str, Any]]:
        """What a saved page holds: this widget's state, after those of models it cannot live without."""
        return [self.get_state()]

    # -- display -------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._facts().items())})"

    def still(self) -> str:
        """The static view in the element that the live view hides."""
        return f'<div class="wb-static" data-wb-static="{self._static_id}">{self.static_html()}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        # An output of its own: inside the widget's bundle every host would prefer the (then dead) widget view.
        if "ipykernel" in sys.modules:
            from IPython import get_ipython
            from IPython.display import publish_display_data

            shell = get_ipython()
            if shell is not None and hasattr(shell, "kernel"):
                publish_display_data({"text/html": self.still(), "text/plain": repr(self)})
        return super()._repr_mimebundle_(**kwargs)

    def to_html(self, path: str | Path | None = None) -> str:
        """One HTML document: the live widget with what was sent to it, the static view where scripts do not run.

        Parameters
        ----------
        path
            Where to write it too.

        Returns
        -------
        str
            The document. It makes no request and needs no kernel.
        """
        alive = live([{**state, "_offline": True} for state in self._saved_states()])
        document = page(repr(self), f"{self.still()}\n{alive}")
        if path is not None:
            Path(path).write_text(document, encoding="utf-8")
        return document
