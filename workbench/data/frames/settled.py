"""What has to be written before frames are read, so that they tell all that was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_ABANDONED_S = 10.0  # longer than a living process takes to show what it has put


def settle(store: Store) -> None:
    """Write what waits in this process, and show what a killed one had put and not shown yet."""
    store.settle()
    if store.read_only:
        return
    with store.raw() as connection:
        if connection.execute(_IS_BEHIND, [_ABANDONED_S]).fetchone() is None:
            return
    from workbench.data.ingest.mirror import left_behind, mirror_of

    mirror = mirror_of(store)
    for thread in left_behind(store, since_s=_ABANDONED_S):
        mirror.note(thread)
    mirror.flush()


_IS_BEHIND = """
SELECT FROM workbench.graph_threads
WHERE mirrored < changed AND changed_at < clock_timestamp() - %s * interval '1 s' LIMIT 1
"""
