"""Predicates from text: the Python that makes them, read as a syntax tree and never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, NoReturn

from workbench._predicates import makers, nodes, words
from workbench._predicates.nodes import Event, Node, Predicate, Value
from workbench.errors import ConfigurationError

_MAX_LENGTH = 20_000  # characters
_MAX_DEPTH = 200
_MAKERS = {"state": makers.state, "event": makers.event, "run": makers.run, "never": makers.never}
_OF_VALUES = ("contains", "is_in", "matches", "exists", "changed")
_OF_PREDICATES = ("then", "without", "before", "at_least", "begins", "until", "repeats")
_COMPARES: dict[type, str] = {
    ast.Eq: "__eq__", ast.NotEq: "__ne__", ast.Lt: "__lt__", ast.LtE: "__le__", ast.Gt: "__gt__", ast.GtE: "__ge__",
}  # fmt: skip
_MIRRORED = {"__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__"}
_COMPUTES: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}


def parse(text: str) -> Predicate:
    """The predicate that a text says.

    Only what makes predicates is understood: ``state()``, ``event()``, ``run()``, ``never()`` (with or without ``wb.``
    before them), their methods, operators and constants.

    Raises
    ------
    ConfigurationError
        It says none; the text points to the place.

    Examples
    --------
    >>> parse('(state("cart.total") > 100) & event("tool", name="refund")')
    (state("cart.total") > 100) & event("tool", name="refund")
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f'{text!r} says no predicate. Write one like state("cart.total") > 100.', value=text)
    if len(text) > _MAX_LENGTH:
        raise ConfigurationError(f"A predicate of {len(text)} characters; {_MAX_LENGTH} are allowed.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        made = _Reader(text.strip()).read(tree.body)
    except SyntaxError as error:
        raise ConfigurationError(
            f"{_short(text)} is no Python expression: {error.msg}, at character {error.offset}. Join predicates with &,"
            " | and ~, each comparison in parentheses.",
            value=text,
        ) from error
    except (RecursionError, MemoryError):
        raise ConfigurationError("The predicate is nested too deeply.") from None
    if isinstance(made, Predicate):
        return made
    raise ConfigurationError(
        f'{text!r} is a value, not a predicate: compare it, like state("cart.total") > 100.', value=text
    )


def from_dict(given: Mapping[str, Any]) -> Predicate:
    """The predicate of which :meth:`Predicate.to_dict` made this.

    Raises
    ------
    ConfigurationError
        Not such a dict, or of a newer version.
    """
    if not isinstance(given, Mapping) or "predicate" not in given:
        raise ConfigurationError(f"{given!r} is no predicate as JSON: it has no 'predicate'.", value=given)
    if given.get("version", 1) != 1:
        raise ConfigurationError(
            f"This predicate is of version {given['version']!r}, and this Workbench reads version 1. Upgrade it.",
            value=given,
        )
    return parse(given["predicate"])


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:199] + "…")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0

    def read(self, tree: ast.expr) -> Any:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise RecursionError
        try:
            return self._read(tree)
        finally:
            self.depth -= 1

    def _read(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Constant(value=None | bool() | int() | float() | str()):
                return tree.value
            case ast.List() | ast.Tuple() | ast.Dict():
                return self._constant(tree)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.UnaryOp(op=ast.Invert()):
                return ~nodes.as_predicate(self.read(tree.operand))
            case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                self._refuse(tree, "Join predicates with &, | and ~ in place of 'and', 'or' and 'not', each comparison"
                                   " in parentheses")  # fmt: skip
            case ast.Compare():
                return self._compare(tree)
            case ast.BinOp():
                return self._binary(tree)
            case ast.Subscript():
                return self._subscript(tree)
            case ast.Call():
                return self._call(tree)
        return self._refuse(tree, "It is no part of a predicate")

    def _constant(self, tree: ast.expr) -> Any:
        try:
            return ast.literal_eval(tree)
        except ValueError:
            return self._refuse(tree, "A list or dict holds constants only")

    def _node(self, tree: ast.expr) -> Node:
        made = self.read(tree)
        return made if isinstance(made, Node) else self._refuse(tree, "A constant is no predicate")

    def _compare(self, tree: ast.Compare) -> Any:
        if len(tree.ops) != 1:
            self._refuse(tree, "Split a chain of comparisons, (1 < a) & (a < 3), and put each in parentheses")
        name = _COMPARES.get(type(tree.ops[0]))
        if name is None:
            self._refuse(tree, "For 'in' write .is_in([…]) or .contains(x); for 'is None' write == None")
        left, right = self.read(tree.left), self.read(tree.comparators[0])
        if isinstance(left, Predicate):
            nodes.as_value(left)
        if not isinstance(left, Value):
            left, right, name = right, left, _MIRRORED.get(name, name)
        if not isinstance(left, Value):
            self._refuse(tree, "It compares constants")
        return getattr(left, name)(right)

    def _binary(self, tree: ast.BinOp) -> Any:
        if isinstance(tree.op, (ast.BitAnd, ast.BitOr)):
            left, right = nodes.as_predicate(self.read(tree.left)), nodes.as_predicate(self.read(tree.right))
            return left & right if isinstance(tree.op, ast.BitAnd) else left | right
        sign = _COMPUTES.get(type(tree.op))
        if sign is None:
            self._refuse(tree, f"There are the operators {' '.join(_COMPUTES.values())}")
        return nodes.Arithmetic(sign, nodes.as_value(self.read(tree.left)), nodes.as_value(self.read(tree.right)))

    def _subscript(self, tree: ast.Subscript) -> Any:
        of, path = self.read(tree.value), self.read(tree.slice)
        if not isinstance(of, Event):
            self._refuse(tree, 'Only an event has [...], like event("tool_call")["data.text"]')
        return of[path]

    def _call(self, tree: ast.Call) -> Any:
        if any(keyword.arg is None for keyword in tree.keywords) or any(isinstance(a, ast.Starred) for a in tree.args):
            self._refuse(tree, "Write the arguments out, without * and **")
        arguments = [self.read(argument) for argument in tree.args]
        options = {str(keyword.arg): self.read(keyword.value) for keyword in tree.keywords}
        called = self._called(tree.func)
        try:
            return called(*arguments, **options)
        except TypeError as error:
            return self._refuse(tree, str(error).replace("Predicate.", "").replace("Value.", ""))

    def _called(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="wb" | "workbench"), attr=name):
                return _MAKERS[words.known(name, _MAKERS, what="Function")]
            case ast.Attribute(value=of, attr=name):
                made = self._node(of)
                allowed = _OF_VALUES if isinstance(made, Value) else _OF_PREDICATES
                words.known(name, allowed, what="Method of a value" if isinstance(made, Value) else "Method")
                if name == "until" and not isinstance(made, nodes.Never):
                    self._refuse(tree, "Only never(…) has .until()")
                if name == "repeats" and not isinstance(made, Event):
                    self._refuse(tree, "Only event(…) has .repeats(); of any predicate, .at_least(n) counts the steps")
                return getattr(made, name)
        return self._refuse(tree, "Only state(), event(), run(), never() and their methods are called")

    def _refuse(self, tree: ast.expr, why: str) -> NoReturn:
        part = ast.get_source_segment(self.text, tree) or self.text
        raise ConfigurationError(f"{part!r} in the predicate: {why}.", value=part)
