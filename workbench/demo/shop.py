"""The world of the demo: a shop in memory, with the tools an agent may call and what each call costs."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from typing import Any

COLOURS = ("black", "blue", "green", "red")
SIZES = ("S", "M", "L")
GOODS = {"raincoat": 79.0, "backpack": 54.5, "running shoe": 99.0, "fleece": 45.0, "bike lamp": 24.9}
RETURN_DAYS = 30

#: US dollars a call. `ask_carrier` bills by contract, so a run that calls it cannot be priced.
PRICES: dict[str, float | None] = {
    "find_orders": 0.0004,
    "get_order": 0.0002,
    "check_stock": 0.0002,
    "cancel_order": 0.0010,
    "refund": 0.0031,
    "exchange": 0.0024,
    "change_address": 0.0010,
    "ask_carrier": None,
}


class ToolError(Exception):
    """The shop refuses; the text says why."""


class ToolTimeoutError(TimeoutError):
    """The shop did not answer in time; nothing was done."""


class Shop:
    """Orders and stock, made from a seed; tools change them.

    Parameters
    ----------
    seed
        Same seed, same shop.
    weather
        Source of the tools' latency and of their timeouts; ``None`` = answers at once and always.
    timeout_rate
        Share of calls that time out, 0..1.
    """

    def __init__(self, seed: int = 7, *, weather: random.Random | None = None, timeout_rate: float = 0.0) -> None:
        self.weather = weather
        self.timeout_rate = timeout_rate
        rng = random.Random(seed)
        skus = [f"{good}/{colour}/{size}" for good in GOODS for colour in COLOURS for size in SIZES]
        self.stock = {sku: rng.choice((0, 2, 5, 9)) for sku in skus}
        self.orders: dict[str, dict[str, Any]] = {}
        for number in range(1001, 1061):
            items = rng.sample(skus, rng.randint(1, 3))
            status = rng.choice(("pending", "shipped", "delivered", "delivered"))
            self.orders[f"W{number}"] = {
                "order_id": f"W{number}",
                "customer": f"{rng.choice(('ada', 'bo', 'chen', 'dara', 'eli', 'fay'))}@example.org",
                "status": status,
                "items": [{"sku": sku, "price": GOODS[sku.split("/")[0]]} for sku in items],
                "days_since_delivery": rng.randint(2, 60) if status == "delivered" else None,
                "address": f"{rng.randint(1, 99)} Harbour Street",
                "refunded": 0.0,
            }

    def state(self) -> dict[str, Any]:
        """A copy of all that a tool can change."""
        return copy.deepcopy({"orders": self.orders, "stock": self.stock})

    def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool by name.

        Raises
        ------
        ToolError
            Unknown tool, or refused by the shop's rules.
        ToolTimeoutError
            By chance, at ``timeout_rate``.
        """
        tools: dict[str, Callable[..., Any]] = {name: getattr(self, name) for name in PRICES}
        if tool not in tools:
            raise ToolError(f"no tool {tool!r}; there are {', '.join(tools)}")
        if self.weather is not None:
            time.sleep(self.weather.uniform(0.0005, 0.003))
            if self.weather.random() < self.timeout_rate:
                time.sleep(0.006)
                raise ToolTimeoutError(f"{tool} did not answer within 6 ms")
        return tools[tool](**arguments)

    def find_orders(self, customer: str) -> list[str]:
        """Order ids of a customer."""
        return [order["order_id"] for order in self.orders.values() if order["customer"] == customer]

    def get_order(self, order_id: str) -> dict[str, Any]:
        """One order as it is now."""
        if order_id not in self.orders:
            raise ToolError(f"no order {order_id!r}")
        return copy.deepcopy(self.orders[order_id])

    def check_stock(self, sku: str) -> int:
        """Pieces of an article on the shelf."""
        if sku not in self.stock:
            raise ToolError(f"no article {sku!r}")
        return self.stock[sku]

    def cancel_order(self, order_id: str) -> dict[str, Any]:
        """Cancel an order that is still pending."""
        order = self.orders[self.get_order(order_id)["order_id"]]
        if order["status"] != "pending":
            raise ToolError(f"{order_id} is {order['status']}; only a pending order can be cancelled")
        order["status"] = "cancelled"
        return {"order_id": order_id, "status": "cancelled"}

    def refund(self, order_id: str, sku: str) -> dict[str, Any]:
        """Pay an article of a delivered order back. The shop trusts its clerks to mind the return period."""
        order = self.orders[self.get_order(order_id)["order_id"]]
        if order["status"] != "delivered":
            raise ToolError(f"{order_id} is {order['status']}; only a delivered order can be refunded")
        price = next((item["price"] for item in order["items"] if item["sku"] == sku), None)
        if price is None:
            raise ToolError(f"{order_id} holds no {sku}")
        order["refunded"] = round(order["refunded"] + price, 2)
        return {"order_id": order_id, "refunded": order["refunded"]}

    def exchange(self, order_id: str, sku: str, new_sku: str) -> dict[str, Any]:
        """Swap an article of a delivered order for another that is in stock."""
        order = self.orders[self.get_order(order_id)["order_id"]]
        item = next((item for item in order["items"] if item["sku"] == sku), None)
        if item is None:
            raise ToolError(f"{order_id} holds no {sku}")
        if self.check_stock(new_sku) == 0:
            raise ToolError(f"{new_sku} is out of stock")
        self.stock[new_sku] -= 1
        self.stock[sku] += 1
        item["sku"] = new_sku
        return {"order_id": order_id, "items": copy.deepcopy(order["items"])}

    def change_address(self, order_id: str, address: str) -> dict[str, Any]:
        """Send a pending order elsewhere."""
        order = self.orders[self.get_order(order_id)["order_id"]]
        if order["status"] != "pending":
            raise ToolError(f"{order_id} is {order['status']}; its address cannot be changed any more")
        order["address"] = address
        return {"order_id": order_id, "address": address}

    def ask_carrier(self, order_id: str) -> dict[str, Any]:
        """Where a shipped order is."""
        order = self.get_order(order_id)
        return {"order_id": order_id, "position": "depot" if order["status"] == "shipped" else order["status"]}
