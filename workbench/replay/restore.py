"""A recorded state as an object of the user's own: a dataclass, pydantic model, TypedDict, or one that is there."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping, MutableSequence
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from workbench.errors import ConfigurationError, InvalidRecordError

T = TypeVar("T")


def restored(state: Any, into: type[T] | T) -> T:
    """Make an object of a state, or bring one that is there into it.

    Parameters
    ----------
    state
        Plain JSON values. They are copied: what is done to the object later does not reach them.
    into
        A type that pydantic can validate (dataclass, model, ``TypedDict``, ``dict[str, int]`` …), or an object: a
        mapping or list is refilled, of any other its attributes are set.

    Returns
    -------
    object
        The new object, or the one given.

    Raises
    ------
    InvalidRecordError
        The state does not fit the type; ``.fields`` names each place.
    ConfigurationError
        The object cannot take such a state.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Cart:
    ...     items: list[str]
    ...     total: float = 0
    >>> restored({"items": ["tea"], "total": 3}, Cart)
    Cart(items=['tea'], total=3.0)
    """
    state = copy.deepcopy(state)
    if isinstance(into, type) or hasattr(into, "__origin__"):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", into))
            return adapter.validate_python(state)
        except ValidationError as error:
            fields = {".".join(map(str, one["loc"])) or "state": one["msg"] for one in error.errors()}
            name = getattr(into, "__name__", str(into))
            told = "; ".join(f"{place}: {message}" for place, message in fields.items())
            raise InvalidRecordError(f"The state is no {name}: {told}.", fields=fields) from error
    if isinstance(into, MutableMapping) and isinstance(state, dict):
        into.clear()
        into.update(state)
    elif isinstance(into, MutableSequence) and isinstance(state, list):
        into[:] = state
    elif isinstance(state, dict) and hasattr(into, "__dict__"):
        for name, value in state.items():
            setattr(into, name, value)
    else:
        raise ConfigurationError(
            f"A {type(into).__name__} cannot take a state that is {type(state).__name__}. Give a type, like"
            " restore(MyState), or a part of the state by path='/…'."
        )
    return into
