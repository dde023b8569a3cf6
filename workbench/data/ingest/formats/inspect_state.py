"""The state of an Inspect sample through time, from the changes its log records.

A log holds the state at the start (``sample_init``) and RFC 6902 changes to two documents: ``state`` events change the
task's state (messages, tools, output, and the store as it was when a solver ended), ``store`` events the live store.
A snapshot is the task's state with the live store as its ``store``.

A change event says how its span changed a document *since the span began* (inspect_ai, ``util/_span.py``), so changes
of nested spans overlap: the outer event repeats the inner ones. Each is therefore applied to what was there when its
span began, and becomes the patch from what was there just before the event. Where nothing came between, that is the
recorded patch itself, passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench._delta import Patch, apply, diff
from workbench.errors import PatchError

Changes = Sequence[Mapping[str, Any]]


class Replay:
    """A cursor over the changes of one sample.

    Attributes
    ----------
    task
        The task's state as of the last event; None before ``sample_init``.
    store
        The live store as of the last event.
    """

    def __init__(self) -> None:
        self.task: dict[str, Any] | None = None
        self.store: dict[str, Any] = {}
        self._begun: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {}

    def start(self, state: dict[str, Any]) -> None:
        """Take the state of ``sample_init``."""
        self.task = state
        store = state.get("store")
        self.store = store if isinstance(store, dict) else {}

    def begin(self, span_id: str) -> None:
        """Remember what was there when a span began."""
        self._begun[span_id] = (self.task, self.store)

    def document(self) -> dict[str, Any]:
        """The snapshot as of the last event."""
        return {**(self.task or {}), "store": self.store}

    def change_task(self, changes: Changes, span_id: str | None) -> Patch:
        """Apply a ``state`` event; returns its patch on the snapshot before.

        Raises
        ------
        PatchError
            The changes fit neither the beginning of the span nor the present.
        """
        if self.task is None:
            raise PatchError("no sample_init event says what these changes start from")
        was_task, was_store = self.task, self.store
        base = self._begun.get(span_id or "", (self.task, self.store))[0] or self.task
        self.task = _applied(base, self.task, changes)
        store = self.task.get("store")
        self.store = store if isinstance(store, dict) else was_store
        if base is was_task and was_store is was_task.get("store"):
            return _patch(changes)
        if base is was_task and all(_is_plain(change) for change in changes):
            outside = _patch(change for change in changes if not _in_store(change))
            return outside + _under_store(diff(was_store, self.store))
        return diff({**was_task, "store": was_store}, self.document())

    def change_store(self, changes: Changes, span_id: str | None) -> Patch:
        """Apply a ``store`` event; returns its patch on the snapshot before.

        Raises
        ------
        PatchError
            The changes fit neither the beginning of the span nor the present.
        """
        was = self.store
        base = self._begun.get(span_id or "", (self.task, self.store))[1]
        self.store = _applied(base, was, changes)
        return _under_store(_patch(changes) if base is was else diff(was, self.store))


def _applied(base: dict[str, Any], now: dict[str, Any], changes: Changes) -> dict[str, Any]:
    try:
        document = apply(base, changes)
    except PatchError:
        if base is now:
            raise
        document = apply(now, changes)
    if not isinstance(document, dict):
        raise PatchError("the changes replace the whole document by something that is no object")
    return document


def _patch(changes: Iterable[Mapping[str, Any]]) -> Patch:
    """The changes as RFC 6902 has them; Inspect's own member ``replaced`` repeats the value before."""
    return [{key: change[key] for key in ("op", "path", "from", "value") if key in change} for change in changes]


def _is_plain(change: Mapping[str, Any]) -> bool:
    """Whether a change touches one place only: nothing is moved or copied, the whole document is not replaced."""
    return change.get("op") in ("add", "remove", "replace") and change.get("path") != ""


def _in_store(change: Mapping[str, Any]) -> bool:
    path = str(change.get("path"))
    return path == "/store" or path.startswith("/store/")


def _under_store(patch: Patch) -> Patch:
    moved = []
    for change in patch:
        places = {key: f"/store{change[key]}" for key in ("path", "from") if key in change}
        moved.append({**change, **places})
    return moved
