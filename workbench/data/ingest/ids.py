"""The ids of runs, events, tasks and imports: made of the source's own, so that reading again finds them again."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable

import uuid_utils
from uuid_utils.compat import uuid5

from workbench.data.store.storable import storable_text

NAMESPACE = uuid.UUID("7d1cf0a6-5f0f-5c55-9a55-3f1f2a3b6c01")
_MAX_KEY_BYTES, _KEY_CHARS = 2_000, 200  # a btree takes rows of up to 2,704 bytes


def execution_id(format: str, source_id: str) -> uuid.UUID:
    """The id of a run: the same for the same run of the same format, in every store."""
    return uuid5(NAMESPACE, f"{format}:{clean(source_id)}")


def event_id(execution: uuid.UUID, source_id: str) -> uuid.UUID:
    """The id of an event of a run, by its source's own id."""
    return uuid5(execution, clean(source_id))


def event_texts(execution: uuid.UUID) -> Callable[[str], str]:
    """Makes :func:`event_id` as text, for many events of one run."""
    namespace = uuid_utils.UUID(bytes=execution.bytes)
    return lambda source_id: str(uuid_utils.uuid5(namespace, clean(source_id)))


def task_id(format: str, source_id: str) -> uuid.UUID:
    """The id of a task."""
    return uuid5(NAMESPACE, f"{format}:task:{clean(source_id)}")


def import_id(format: str, sha256: str) -> uuid.UUID:
    """The id of the import of one state of a file, wherever it lies and whatever it is called."""
    return uuid5(NAMESPACE, f"{format}:import:{sha256}")


def clean(text: str) -> str:
    """Text without lone surrogates: a file name may hold any bytes, an id any escape."""
    return text.encode("utf-8", "replace").decode()


def key(text: str) -> str:
    """An id as a column with an index takes it: of a very long one the beginning, and a digest of the whole."""
    told = storable_text(text) or ""
    data = told.encode()
    if len(data) <= _MAX_KEY_BYTES:
        return told
    return f"{told[:_KEY_CHARS]}… [cut: sha256 {hashlib.sha256(data).hexdigest()}]"
