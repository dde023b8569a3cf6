"""``ReplayPlayer``: a run step by step: its states, events, what changed, what the model saw, notes and branches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl
import traitlets

from workbench._delta import Patch, apply, diff
from workbench._typing import ReplayCursor, is_like
from workbench.errors import PatchError, WorkbenchError

from . import _replay_scene, _replay_still, _state
from ._base import Widget
from ._document import Document
from ._wire import Answer, pack

TABS = ("step", "messages", "notes", "branches")
SPEEDS = (1.0, 2.0, 5.0, 10.0, 30.0)
SAID = 400_000  # characters of steps that a saved page holds
AHEAD = 40  # steps of a short run that are sent at once
MESSAGES = 40  # messages of one answer
MESSAGE = 1_200  # characters of each
EDITED = 20_000  # characters of a value that is edited by hand
WATCHED = 20


class _Shown(NamedTuple):
    """A step and the one before it, as they were rebuilt."""

    position: int
    before: Any
    after: Any
    problem: str | None
    is_derived: bool
    document: Document | None


class ReplayPlayer(Widget):
    """Play a run step by step.

    Parameters
    ----------
    replay
        What ``bench.replay(run)`` gives. The player moves it: ``player.replay.state`` is the state that is seen.
    author
        Who writes the notes.
    **options
        ``position``, ``tab`` (step, messages, notes or branches), ``watched``, ``speed``, ``height``, ``layout``.

    Attributes
    ----------
    position : int
        The row of ``replay.steps`` that is seen. Setting it moves the player.
    replay
        The cursor; another one after another branch was chosen.
    watched : list of str
        JSON pointers into the state whose changes are marked, and jumped to by C.
    speed : float
        Steps per second at play.
    selected : polars.DataFrame
        The step that is seen: its row of ``replay.steps``.
    code : str
        Python that makes this view again.

    Raises
    ------
    TypeError
        What is given is no cursor, or an option is unknown.
    """

    _name = "replay_player"

    position = traitlets.Int(0).tag(sync=True)
    tab = traitlets.Enum(TABS, "step").tag(sync=True)
    watched = traitlets.List(traitlets.Unicode(), maxlen=WATCHED).tag(sync=True)
    speed = traitlets.Float(5.0, min=0.1, max=100.0).tag(sync=True)
    height = traitlets.Int(420, min=200, max=2_000).tag(sync=True)
    """Pixels that the state and the step take at most; more of them scrolls."""

    _scene = traitlets.Dict().tag(sync=True)
    _steps = traitlets.Bytes().tag(sync=True)
    _marks = traitlets.Dict().tag(sync=True)
    _said = traitlets.Dict().tag(sync=True)

    def __init__(self, replay: ReplayCursor, *, author: str | None = None, **options: Any) -> None:
        self._check_options(options)
        if not is_like(replay, ReplayCursor):
            raise TypeError(f"ReplayPlayer takes bench.replay(run); this is a {type(replay).__name__}.")
        self.author = author
        self._take(replay)
        options.setdefault("position", replay.position)
        self._scene, self._steps = self._described()
        self._marks = self._marked()
        super().__init__(**options)
        self.replay.position = self.position
        self._said = self._first_words()

    def _take(self, replay: ReplayCursor) -> None:
        self.replay = replay
        self._numbers: list[int] = replay.steps["step_number"].to_list()
        self._shown: _Shown | None = None
        self._changes: dict[str, list[int]] = {}
        self._messages: tuple[int, pl.DataFrame] | None = None

    # -- for Python ------------------------------------------------------------------------------------------------

    @property
    def selected(self) -> pl.DataFrame:
        """The step that is seen, one row of ``replay.steps``."""
        return self.replay.steps.slice(self.position, 1)

    @property
    def step_number(self) -> int:
        """The number of the step that is seen."""
        return self._numbers[self.position]

    @property
    def code(self) -> str:
        """Python that makes this view again from a ``bench``."""
        arguments = [f"bench.replay({self.replay.id!r})", f"position={self.position}"]
        if self.tab != "step":
            arguments.append(f"tab={self.tab!r}")
        if self.watched:
            arguments.append(f"watched={self.watched!r}")
        return f"workbench.ReplayPlayer({', '.join(arguments)})"

    def seek(self, step: int) -> ReplayPlayer:
        """Show a step by its number.

        Raises
        ------
        LookupError
            There is no such step.
        """
        place = bisect_right(self._numbers, step) - 1
        if place < 0 or self._numbers[place] != step:
            raise LookupError(f"There is no step {step!r}; the steps are {self._numbers[0]} to {self._numbers[-1]}.")
        self.position = place
        return self

    def goto(self, place: Mapping[str, Any] | pl.DataFrame) -> ReplayPlayer:
        """Show a step of this run or of another: a row of ``bench.find(…)`` or of an events frame.

        Raises
        ------
        TypeError
            It has no ``step_number``, or is a frame of several rows.
        LookupError
            There is no such step.
        """
        row = place
        if isinstance(place, pl.DataFrame):
            if place.height != 1:
                raise TypeError(f"goto takes one row; this frame has {place.height}. Try frame[0].")
            row = place.row(0, named=True)
        if not isinstance(row, Mapping) or row.get("step_number") is None:
            raise TypeError("goto takes a row with a step_number (and execution_id), as bench.find(…) gives them.")
        run = row.get("execution_id")
        if run is not None and run not in set(self.replay.steps["execution_id"]):
            self.show(self.replay.on(str(run)))
        return self.seek(row["step_number"])

    def show(self, replay: ReplayCursor) -> ReplayPlayer:
        """Show another cursor, of this run or another, where it stands."""
        self._show(replay, replay.position)
        return self

    def refresh(self) -> ReplayPlayer:
        """Read the run again: steps that came since, notes and branches that others made."""
        self._show(self.replay.on(self.replay.id), self.position)
        return self

    def static_html(self) -> str:
        """The steps as a table, and the state of the one that is seen."""
        return _replay_still.html(self.replay, self.position, self._look(self.position), self._marks)

    def _facts(self) -> dict[str, Any]:
        return {"steps": len(self._numbers), "step": self.step_number}

    @traitlets.validate("position")
    def _valid_position(self, proposal: Mapping[str, Any]) -> int:
        position = proposal["value"]
        if not 0 <= position < len(self._numbers):
            raise traitlets.TraitError(
                f"ReplayPlayer has no position {position}; its positions are 0 to {len(self._numbers) - 1}."
                " By the number of a step: player.seek(step)."
            )
        return position

    @traitlets.validate("watched")
    def _valid_watched(self, proposal: Mapping[str, Any]) -> list[str]:
        for path in proposal["value"]:
            if path and not path.startswith("/"):
                raise traitlets.TraitError(
                    f"watched={path!r} is no JSON pointer; one begins with '/', like '/cart/total'."
                )
        return list(dict.fromkeys(proposal["value"]))

    @traitlets.observe("position")
    def _moved(self, _change: object) -> None:
        self.replay.position = self.position

    # -- what the browser is told ----------------------------------------------------------------------------------

    def _described(self) -> tuple[dict[str, Any], bytes]:
        described, arrays = _replay_scene.scene(self.replay)
        return {**described, "speeds": list(SPEEDS), "author": self.author}, pack(arrays)

    def _marked(self) -> dict[str, Any]:
        return _replay_scene.marks(self.replay, self._numbers)

    def _show(self, replay: ReplayCursor, position: int) -> None:
        """Put another cursor in the place of this one."""
        self._take(replay)
        described, steps = self._described()
        with self.hold_sync():
            self.position = min(position, len(self._numbers) - 1)
            replay.position = self.position
            self._said = {}
            self._marks = self._marked()
            self._steps, self._scene = steps, described

    def _first_words(self) -> dict[str, Any]:
        """What a reader without a kernel may want of the first steps: all of a short run, else what is seen first."""
        n = len(self._numbers)
        return self._words(range(n) if n <= AHEAD else [self.position], SAID)

    def _words(self, positions: Iterable[int], left: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for position in positions:
            answer = self._step(position=position, pages=_state.near(self._look(position).after))
            left -= len(repr(answer))
            if left < 0 and said:
                break
            said[str(position)] = answer
        self.replay.position = self.position
        return said

    def _saved_states(self) -> list[dict[str, Any]]:
        """A saved page holds the step that is seen, those with errors or notes, and of the others as many as it may."""
        steps = self.replay.steps
        wrong = steps.select(pl.col("severity").is_in(["error", "critical"]).arg_true()).to_series().to_list()
        noted = [note["position"] for note in self._marks["notes"]]
        order = dict.fromkeys([self.position, *noted, *wrong, *range(len(self._numbers))])
        return [{**state, "_said": self._words(order, SAID)} for state in super()._saved_states()]

    # -- a step ----------------------------------------------------------------------------------------------------

    def _look(self, position: int) -> _Shown:
        if self._shown is not None and self._shown.position == position:
            return self._shown
        if not 0 <= position < len(self._numbers):
            raise LookupError(f"There is no step at position {position}; the run has {len(self._numbers)} steps.")
        self.replay.position = position
        before = after = problem = None
        try:
            after = self.replay.state
            before = self.replay.state_at(self._numbers[position - 1]) if position else None
        except WorkbenchError as error:
            problem = str(error)
        event = self.replay.event
        document = None if event is None else Document.of(event, position)
        self._shown = _Shown(position, before, after, problem, self.replay.is_derived, document)
        return self._shown

    def _step(self, *, position: int, pages: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        """Everything about a step but what must be asked for: pages of the open containers, changes, its event."""
        shown = self._look(position)
        before = shown.before if shown.before is not None or position else {}
        changed = (
            _state.told(before, shown.after) if shown.problem is None else {"changes": [], "has_more_changes": False}
        )
        return {
            "position": position,
            "detail": self._detail(position),
            "problem": shown.problem,
            "is_derived": shown.is_derived,
            "root": _state.entry("", shown.after)[1:],
            "nodes": _state.pages(shown.after, pages),
            **changed,
            "watched": {path: _value(shown.after, path) for path in self.watched},
        }

    def _detail(self, row: int) -> dict[str, Any] | None:
        document = self._look(row).document
        if document is None:
            return None
        data, cuts = document.trimmed()
        return {"fields": document.fields(), "data": data, "cuts": cuts}

    def _document(self, row: int) -> Document:
        document = self._look(row).document
        if document is None:
            raise LookupError(f"Step {self._numbers[row]} has no event.")
        return document

    # -- answers to the browser ------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[..., Answer | Mapping[str, Any] | None]]:
        return {
            "step": self._asked_step,
            "pages": self._pages,
            "state_text": self._state_text,
            "way": lambda position, pointer: {"pages": _state.way(self._look(position).after, pointer)},
            "find": self._find,
            "changes": self._changed_at,
            "messages": self._messages_at,
            "origin": self._origin,
            "detail": lambda row: self._detail(row),
            "text": lambda row, pointer, offset: {"text": self._document(row).text_piece(pointer, offset)},
            "entries": self._entries,
            "note": self._note,
            "edit_note": self._edit_note,
            "remove_note": self._remove_note,
            "value": self._editable,
            "plan": self._plan,
            "fork": self._fork,
            "rollback": self._rollback,
            "branch": self._branch,
            "refresh": self._refresh,
            "code": lambda: {"code": self.code},
        }

    def _asked_step(self, *, position: int, pages: Mapping[str, Iterable[int]], run: str) -> dict[str, Any]:
        # Asked before another branch was chosen, answered after: the browser drops it.
        return self._step(position=position, pages=pages) if run == self.replay.id else {"position": -1}

    def _pages(self, *, position: int, pages: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        return {"position": position, "nodes": _state.pages(self._look(position).after, pages)}

    def _state_text(self, *, position: int, pointer: str, offset: int) -> dict[str, Any]:
        return {"text": _state.text_piece(self._look(position).after, pointer, offset)}

    def _entries(self, row: int, pointer: str, offset: int) -> dict[str, Any]:
        entries, cuts = self._document(row).entries(pointer, offset)
        return {"entries": entries, "cuts": cuts}

    def _find(self, *, position: int, text: str) -> dict[str, Any]:
        if not text.strip():
            return {"hits": [], "n": 0, "is_whole": True}
        return _state.find(self._look(position).after, text.strip())._asdict()

    def _changed_at(self, *, path: str) -> dict[str, Any]:
        """The positions at which the value at a path became another one."""
        if path not in self._changes:
            places = {number: place for place, number in enumerate(self._numbers)}
            self._changes[path] = [places[step] for step in self.replay.changes(path)]
        return {"path": path, "positions": self._changes[path]}

    def _messages_at(self, *, position: int, start: int | None = None) -> dict[str, Any]:
        """Messages as the model saw them, a part at a time; left out, the last part."""
        if self._messages is None or self._messages[0] != position:
            self.replay.position = position
            try:
                self._messages = position, self.replay.context()
            except WorkbenchError as error:
                return {"position": position, "none": str(error), "messages": [], "n": 0, "start": 0}
            finally:
                self.replay.position = self.position
        frame = self._messages[1]
        first = max(0, frame.height - MESSAGES) if start is None else max(0, start)
        part = frame.slice(first, MESSAGES).with_columns(pl.col("text").str.slice(0, MESSAGE))
        given = frame.filter(pl.col("change").is_null() | ~pl.col("change").is_in(["dropped", "compacted"]))
        return {
            "position": position,
            "start": first,
            "n": frame.height,
            "n_given": given.filter(pl.col("kind") != "unrecorded").height,
            "tokens": int(given["tokens"].sum() or 0),
            "messages": part.drop("event_id").to_dicts(),
        }

    def _origin(self, *, position: int, path: str) -> dict[str, Any]:
        self.replay.position = position
        try:
            rows = self.replay.origin(path).head(60).to_dicts()
        except WorkbenchError as error:
            return {"path": path, "none": str(error), "rows": []}
        finally:
            self.replay.position = self.position
        here = set(self.replay.steps["execution_id"])
        places = {number: place for place, number in enumerate(self._numbers)}
        for row in rows:
            row["position"] = places.get(row["step_number"]) if row["execution_id"] in here else None
        return {"path": path, "rows": rows}

    # -- notes -----------------------------------------------------------------------------------------------------

    def _note(self, *, position: int, kind: str, text: str = "") -> dict[str, Any]:
        self.replay.position = position
        try:
            if kind == "pin":
                self.replay.pin(author=self.author)
            elif kind == "checkpoint":
                self.replay.checkpoint(text, author=self.author)
            else:
                self.replay.note(text, author=self.author)
        except WorkbenchError as error:
            return {"problem": str(error)}
        finally:
            self.replay.position = self.position
        return self._noted()

    def _edit_note(self, *, note: str, text: str) -> dict[str, Any]:
        if not text.strip():
            return {"problem": "A note needs a text. Remove it instead."}
        try:
            self.replay.edit_note(note, text)
        except WorkbenchError as error:
            return {"problem": str(error)}
        return self._noted()

    def _remove_note(self, *, note: str) -> dict[str, Any]:
        try:
            self.replay.remove_note(note)
        except WorkbenchError as error:
            return {"problem": str(error)}
        return self._noted()

    def _noted(self) -> dict[str, Any]:
        self._marks = self._marked()
        return {}

    # -- branches --------------------------------------------------------------------------------------------------

    def _editable(self, *, position: int, pointer: str) -> dict[str, Any]:
        """A value as JSON text to edit."""
        text = _state.editable(self._look(position).after, pointer, EDITED)
        if text is None:
            return {"problem": f"This value is longer than {EDITED:,} characters of JSON: edit a part of it."}
        return {"text": text}

    def _plan(self, *, position: int, patch: Patch) -> dict[str, Any]:
        """What a fork with an edited state would begin with; a patch that does not apply is told with its place."""
        state = self._look(position).after
        try:
            edited = apply({} if state is None else state, patch)
        except PatchError as error:
            return {"problem": str(error)}
        return _state.told(state, edited)

    def _fork(self, *, position: int, patch: Patch, name: str = "") -> dict[str, Any]:
        return self._leave(
            position, lambda: self.replay.fork(patch=self._whole(position, patch), name=name.strip() or None)
        )

    def _whole(self, position: int, patch: Patch) -> Patch | None:
        """The operations; where no state is known yet, one that gives it."""
        if not patch:
            return None
        if self._look(position).after is not None:
            return patch
        return diff(None, apply({}, patch))

    def _rollback(self, *, position: int, reason: str = "") -> dict[str, Any]:
        return self._leave(position, lambda: self.replay.rollback(reason=reason.strip() or None))

    def _leave(self, position: int, go: Callable[[], ReplayCursor]) -> dict[str, Any]:
        self.replay.position = position
        try:
            branch = go()
        except WorkbenchError as error:
            self.replay.position = self.position
            return {"problem": str(error)}
        self._show(branch, position)
        return {"run": branch.id}

    def _branch(self, *, run: str) -> dict[str, Any]:
        """Show another branch, at the same step where it has it."""
        branch = self.replay.on(run, step=self.step_number)
        self._show(branch, branch.position)
        return {"run": branch.id}

    def _refresh(self) -> dict[str, Any]:
        before = len(self._numbers)
        self.refresh()
        return {"n_new": len(self._numbers) - before}


def _value(state: Any, path: str) -> tuple[str, int, str] | None:
    """A watched value in one line; None: there is nothing at the path."""
    try:
        return _state.entry("", _state.at(state, path))[1:]
    except LookupError:
        return None
