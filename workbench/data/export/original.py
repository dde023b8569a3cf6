"""The file that a run came from, byte for byte as it lay on disk."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

FORMAT = "original"
TITLE = "the file the run came from, as it lay on disk"


def export(store: Store, run_id: str, *, redact: Any = True, import_id: Any = None) -> bytes:
    """The bytes of the file; of a file with several runs, all of it.

    Parameters
    ----------
    redact
        An original cannot be redacted: only ``False`` gives it.
    import_id
        Of several files that hold the run, the one of this import, by its id or the first characters of it; else the
        newest one that was kept.

    Raises
    ------
    ConfigurationError
        ``redact`` is not ``False``.
    NotFoundError
        The file was not kept; or the import does not hold the run.
    IngestError
        The kept bytes are damaged.
    """
    return b"".join(pieces(store, run_id, redact=redact, import_id=import_id))


def pieces(store: Store, run_id: str, *, redact: Any = True, import_id: Any = None) -> Iterator[bytes]:
    """As :func:`export`, a megabyte at a time; what is wrong with a block is said when its turn comes."""
    from workbench.data.ingest.ledger import originals

    if redact is not False:
        raise ConfigurationError(
            "An original is given as it was, with whatever secrets are in it: ask for it with redact=False"
            " (workbench export RUN --no-redact).",
            redact=redact,
        )
    with store.raw() as connection:
        rows = connection.execute(_HOLDING, {"run": run_id}).fetchall()
        if import_id is not None:
            rows = _chosen(rows, import_id, run_id)
        kept = next((row for row in rows if row[3]), None)
        if kept is None:
            raise _not_kept(rows, run_id)
        _, path, sha256, blocks = kept
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the taker may be slow
        yield from originals.read(connection, blocks, sha256=sha256, name=path)


def _chosen(rows: list[tuple[Any, ...]], given: Any, run_id: str) -> list[tuple[Any, ...]]:
    start = str(getattr(given, "id", given)).strip().lower().replace("-", "")
    found = [row for row in rows if start and uuid.UUID(str(row[0])).hex.startswith(start)]
    if len(found) != 1:
        those = ", ".join(str(row[0]) for row in rows) or "none"
        raise NotFoundError(
            f"{len(found) or 'No'} import {str(given)!r} holds the run {run_id}. These hold it: {those}.", id=str(given)
        )
    return found


def _not_kept(rows: list[tuple[Any, ...]], run_id: str) -> NotFoundError:
    if not rows:
        return NotFoundError(
            f"The run {run_id} came from no file: it was recorded here. Export it in another format.", run=run_id
        )
    paths = ", ".join(row[1] for row in rows)
    return NotFoundError(
        f"The original of the run {run_id} was not kept. Ingest its file again to keep it: {paths}.", run=run_id
    )


# Imports of older versions did not note which runs a file holds, only who brought a run first.
_HOLDING = """
SELECT i.id, i.path, i.sha256, i.blocks FROM workbench.imports i
WHERE i.id IN (
  SELECT import_id FROM workbench.import_runs WHERE execution_id = %(run)s
  UNION SELECT import_id FROM workbench.agent_executions WHERE id = %(run)s)
ORDER BY i.created_at DESC, i.id DESC
"""
