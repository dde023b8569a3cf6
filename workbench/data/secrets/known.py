"""The secrets that the marks of a store point to, so that they are replaced also where nothing around tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from workbench.data.secrets.redact import Redactor

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_DOCUMENTS = (
    "SELECT data::text FROM workbench.observability_events WHERE id IN (SELECT event_id FROM workbench.secrets{of})",
    "SELECT jsonb_build_object('input', input, 'output', output, 'metadata', metadata, 'error', error)::text"
    " FROM workbench.agent_executions WHERE id IN (SELECT execution_id FROM workbench.secrets{of}"
    "{and_} event_id IS NULL)",
    "SELECT state::text FROM workbench.execution_snapshots x WHERE NOT is_derived AND EXISTS (SELECT FROM"
    " workbench.secrets s WHERE s.execution_id = x.execution_id AND s.place LIKE 'state/' || x.step_number || '/%%'"
    "{also})",
)
_redactors: WeakKeyDictionary[Store, Redactor] = WeakKeyDictionary()


def redactor(store: Store) -> Redactor:
    """The redactor that knows all marked secrets of a store; made once."""
    found = _redactors.get(store)
    if found is None:
        found = _redactors[store] = knowing(store)
    return found


def cleared(store: Store, state: Any) -> Any:
    """A state without secrets, where the store's settings ask for that; changed in place."""
    return redactor(store).value(state) if store.settings.redact else state


def knowing(store: Store, execution: str | None = None) -> Redactor:
    """A new redactor that knows the marked secrets of one run, or of all."""
    words = {"of": "", "and_": " WHERE", "also": ""}
    if execution is not None:
        one = "execution_id = %(run)s"
        words = {"of": f" WHERE {one}", "and_": " AND", "also": f" AND s.{one}"}
    made = Redactor()
    with store.raw() as connection:
        for query in _DOCUMENTS:
            text: str = query.format(**words)
            rows = connection.execute(text.encode(), {"run": execution})
            made.learn_from(row[0] for row in rows)
    return made
