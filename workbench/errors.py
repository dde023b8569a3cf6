"""The error tree. Every error that Workbench raises on purpose is one of these.

::

    WorkbenchError
    ├── ConfigurationError (ValueError)       a setting, argument or URL that cannot be used
    ├── MissingExtraError (ImportError)       an optional part is not installed; names the extra
    ├── StoreError
    │   ├── ServerError (RuntimeError)        the embedded Postgres could not be started or stopped
    │   ├── StoreUnavailableError (ConnectionError)  no answer from the database
    │   ├── SchemaError (RuntimeError)        the schema is missing, older or newer than this version
    │   ├── ReadOnlyError (PermissionError)   a write was asked of a read-only connection
    │   └── QueryError (ValueError)           the database refused a query
    ├── NotFoundError (LookupError)           no record with that id or name
    │   └── PrunedError                       the state was stored once, and was pruned
    ├── ConflictError (RuntimeError)          the record changed since it was read, or exists already
    ├── InvalidRecordError (ValueError)       fields that do not validate; `.fields` names each
    ├── IngestError (ValueError)              a path or file that cannot be read as agent history
    │   └── UnknownFormatError                no reader recognises the file
    ├── PatchError (ValueError)               an RFC 6902 patch that does not apply
    ├── EffectRefusedError (PermissionError)  a run that is run again wanted to reach outside
    ├── DivergedError (RuntimeError)          a run that is run again asked for what was not recorded
    ├── RecordedFailureError (RuntimeError)   a tool failed when it was recorded, and so again
    ├── DisclosureError (RuntimeError)        what was to leave the store still holds a secret
    └── ReportError (RuntimeError)            a report notebook failed

Each leaf also inherits the builtin it refines, so callers may catch either. The text says what happened,
the value, what is allowed and the next step; the values are attributes too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WorkbenchError(Exception):
    """Base of all errors raised on purpose; keyword values become attributes."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in values.items():
            setattr(self, name, value)


class ConfigurationError(WorkbenchError, ValueError):
    """A setting, argument or URL that cannot be used."""


class MissingExtraError(WorkbenchError, ImportError):
    """An optional part is not installed; the text names the extra to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an optional part that is not installed. Install it with:"
            f" pip install 'agent-workbench[{extra}]'",
            extra=extra,
        )


class StoreError(WorkbenchError):
    """Something about the database."""


class ServerError(StoreError, RuntimeError):
    """The embedded Postgres could not be started or stopped."""


class StoreUnavailableError(StoreError, ConnectionError):
    """No answer from the database."""


class SchemaError(StoreError, RuntimeError):
    """The schema is missing, older or newer than this version of Workbench."""


class ReadOnlyError(StoreError, PermissionError):
    """A write was asked of a connection opened with ``read_only=True``."""


class QueryError(StoreError, ValueError):
    """The database refused a query."""


class NotFoundError(WorkbenchError, LookupError):
    """No record with that id or name."""


class PrunedError(NotFoundError):
    """The state after a step was stored once, and was pruned; ``first_step`` to ``last_step`` have none any more."""

    first_step: int
    last_step: int


class ConflictError(WorkbenchError, RuntimeError):
    """The record changed since it was read, or exists already."""


class InvalidRecordError(WorkbenchError, ValueError):
    """Fields that do not validate.

    Attributes
    ----------
    fields
        Field name → what is wrong with it and what is allowed.
    """

    def __init__(self, message: str, *, fields: Mapping[str, str]) -> None:
        super().__init__(message)
        self.fields = dict(fields)


class IngestError(WorkbenchError, ValueError):
    """A path or file that cannot be read as agent history."""


class UnknownFormatError(IngestError):
    """No reader recognises the file."""


class PatchError(WorkbenchError, ValueError):
    """An RFC 6902 patch that does not apply to the document."""


class EffectRefusedError(WorkbenchError, PermissionError):
    """A run that is run again wanted to reach outside: a connection, a process, a file, a tool with side effects."""


class DivergedError(WorkbenchError, RuntimeError):
    """A run that is run again asked for what was not recorded."""


class RecordedFailureError(WorkbenchError, RuntimeError):
    """A tool failed when the run was recorded, and so it does when that is run again; ``.result`` is what it said."""

    result: Any


class ReportError(WorkbenchError, RuntimeError):
    """A report notebook failed; the text holds the failing cell's error."""


class DisclosureError(WorkbenchError, RuntimeError):
    """A redacted report, export or bundle would still hold a secret: nothing was written. See ``rule``, ``place``."""
