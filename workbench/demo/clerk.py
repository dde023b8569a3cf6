"""A clerk that can be run again: a function of its state, over tools that say what they do to the world.

:func:`clerk` settles returns for the demo's shop. Its handbook has a mistake in it, :data:`HANDBOOK`, that costs money:
notebook ``03_replay_and_fork`` finds it, mends it in a fork, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.replay.capture.decorators import trace
from workbench.testing import pure, side_effect

from .shop import Shop

HANDBOOK = {"refund": {"return_days": 300}}  # 30 is meant

shop = Shop()


@trace(kind="tool")
@pure
def get_order(order_id: str) -> dict[str, Any]:
    """One order as it is now."""
    return shop.get_order(order_id)


@trace(kind="tool")
@pure
def read_handbook(chapter: str) -> dict[str, Any]:
    """The rules for a kind of wish."""
    return HANDBOOK[chapter]


@trace(kind="tool")
@side_effect
def refund(order_id: str, sku: str) -> dict[str, Any]:
    """Pay an article back."""
    return shop.refund(order_id, sku)


def clerk(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go on from a state, which is all that the clerk knows; each state that is yielded is one after a step."""
    if "order" not in state:
        state = {**state, "order": get_order(state["order_id"])}
        yield state
    if "rules" not in state:
        state = {**state, "rules": read_handbook("refund")}
        yield state
    age, limit = state["order"]["days_since_delivery"], state["rules"]["return_days"]
    if age <= limit:
        refund(state["order_id"], state["sku"])
        answer = f"Done: the money for your {state['sku']} is on its way."
    else:
        answer = f"I am sorry, it came {age} days ago; returns end after {limit}."
    yield {**state, "answer": answer}
