"""Notes, pins and named checkpoints that people put on steps. They hang on the event, wherever its step number goes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Literal

from workbench.data.store.course import course
from workbench.data.store.snapshots import check_step
from workbench.data.store.storable import storable_text
from workbench.errors import ConfigurationError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

Kind = Literal["note", "pin", "checkpoint"]


def add_note(
    store: Store, run: uuid.UUID | str, step: int, *, text: str = "", kind: Kind = "note", author: str | None = None
) -> uuid.UUID:
    """Put a note on a step; of a fork's shared steps, on the run that holds them, so that every branch shows it.

    Raises
    ------
    NotFoundError
        No such run or step.
    ConfigurationError
        A note or a checkpoint without a text.
    ConflictError
        The run has a checkpoint of this name at another step.
    """
    if kind != "pin" and not text.strip():
        raise ConfigurationError(f"A {kind} needs a text; a pin needs none: kind='pin'.", kind=kind)
    with store.raw() as connection:
        check_step(connection, run, step)
        stretches = course(connection, run)
        owner = next(one.execution_id for one in reversed(stretches) if one.after < step or one.after == -1)
        asked = {"run": owner, "step": step, "kind": kind, "text": storable_text(text)}
        asked["author"] = storable_text(author)
        if kind == "checkpoint":
            _check_name(connection, {**asked, "runs": [one.execution_id for one in stretches], "note": None})
        row = connection.execute(_ADD, asked).fetchone()
        assert row is not None
        return row[0]


def edit_note(store: Store, note: uuid.UUID | str, text: str) -> None:
    """Change the text of a note, or the name of a checkpoint.

    Raises
    ------
    NotFoundError
        There is no such note.
    ConflictError
        The run has another checkpoint of this name.
    """
    with store.raw() as connection:
        told = connection.execute(_KIND, {"note": str(note)}).fetchone()
        if told is not None and told[1] == "checkpoint":
            runs = [one.execution_id for one in course(connection, told[0])]
            _check_name(connection, {"runs": runs, "text": storable_text(text), "note": str(note)})
    _one(store, _EDIT, {"note": str(note), "text": storable_text(text)})


def remove_note(store: Store, note: uuid.UUID | str) -> None:
    """Take a note, pin or checkpoint away; the step stays as it is.

    Raises
    ------
    NotFoundError
        There is no such note.
    """
    _one(store, "DELETE FROM workbench.step_notes WHERE id = %(note)s::uuid", {"note": str(note)})


def _check_name(connection: Any, asked: dict[str, Any]) -> None:
    taken = connection.execute(_NAMED, asked).fetchone()
    if taken is not None:
        raise ConflictError(
            f"The run has a checkpoint {asked['text']!r} already, at step {taken[0]}. Choose another name.",
            name=asked["text"],
            step=taken[0],
        )


def _one(store: Store, query: Any, asked: dict[str, Any]) -> None:
    with store.raw() as connection:
        if not connection.execute(query, asked).rowcount:
            raise NotFoundError(f"No note {asked['note']}. List them with bench.notes(run).", note=asked["note"])


_NAMED = """
SELECT step_number FROM workbench.step_notes
WHERE execution_id = ANY(%(runs)s) AND kind = 'checkpoint' AND text = %(text)s
  AND (%(note)s::uuid IS NULL OR id <> %(note)s::uuid) LIMIT 1
"""

_KIND = "SELECT execution_id, kind FROM workbench.step_notes WHERE id = %(note)s::uuid"

_ADD = """
INSERT INTO workbench.step_notes (execution_id, step_number, event_id, kind, text, author)
VALUES (%(run)s, %(step)s, (SELECT id FROM workbench.observability_events
  WHERE execution_id = %(run)s AND step_number = %(step)s ORDER BY id LIMIT 1), %(kind)s, %(text)s, %(author)s)
RETURNING id
"""

_EDIT = """
UPDATE workbench.step_notes SET text = %(text)s, updated_at = clock_timestamp(), row_version = row_version + 1
WHERE id = %(note)s::uuid
"""
