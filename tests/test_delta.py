"""RFC 6902 patches: the standard's own cases, agreement with another implementation, round trips, small patches."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import jsonpatch
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from workbench._align import gaps, matching_blocks
from workbench._delta import Patch, apply, diff, same
from workbench.errors import PatchError

keys = st.sampled_from(["", "a", "b", "a/b", "m~n", "~1", "0", "-", "é", "long key"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 1.5, -0.0, 2.0**60])
    | st.sampled_from(["", "x", "1"])
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)


def strict(value: Any) -> Any:
    """Give equal results for the same JSON value and no other: True is not 1."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [strict(item) for item in value]
    return (isinstance(value, bool), value)


# ---------------------------------------------------------------- round trips


@given(json_values, json_values)
@example([1, 2, 3], [True, 2, 3])
@example({"a": [0]}, {"a": [False]})
@example([[], {}], [{}, []])
def test_apply_after_diff_gives_the_other(a: Any, b: Any) -> None:
    """Applying the difference of two documents to the first gives the second, types included."""
    before_a, before_b = copy.deepcopy(a), copy.deepcopy(b)
    patch = diff(a, b)

    assert strict(apply(a, patch)) == strict(b)
    assert (strict(a), strict(b)) == (strict(before_a), strict(before_b))


@given(json_values, json_values)
def test_other_implementation_agrees(a: Any, b: Any) -> None:
    """Our patches applied by the jsonpatch library give the same document."""
    patch = json.loads(json.dumps(diff(a, b)))

    assert strict(jsonpatch.apply_patch(a, patch)) == strict(b)


@given(json_values, json_values)
def test_patches_of_the_other_implementation_apply(a: Any, b: Any) -> None:
    """Patches made by the jsonpatch library (moves included) are applied as that library applies them."""
    patch = jsonpatch.make_patch(a, b).patch
    theirs = jsonpatch.apply_patch(a, patch)

    assert strict(apply(a, patch)) == strict(theirs)


@given(json_values)
def test_no_difference_no_operations(a: Any) -> None:
    """A document and its copy, keys in another order, have an empty patch."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in reversed(value)}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert diff(a, shuffled(a)) == []


@given(st.lists(json_values, max_size=8), st.lists(json_values, max_size=8))
def test_sequences_of_patches(first: list[Any], second: list[Any]) -> None:
    """Two patches may be joined into one, also where the second changes what the first brought in."""
    middle = {"box": first}
    joined = diff({}, middle) + diff(middle, {"box": second, "more": first})
    before = copy.deepcopy(joined)

    assert strict(apply({}, joined)) == strict({"box": second, "more": first})
    assert joined == before


# ---------------------------------------------------------------- types and pointers


@pytest.mark.parametrize(
    ("a", "b", "is_same"),
    [
        (True, 1, False),
        (False, 0, False),
        (False, 0.0, False),
        (None, False, False),
        (1, 1.0, True),
        (0.0, -0.0, True),
        (2**60, 2.0**60, True),
        (2**60 + 1, 2.0**60, False),
        ("1", 1, False),
        ([], {}, False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": [True]}, {"a": [1]}, False),
        (2**80, 2**80, True),
        ([2**80, True], [2**80, 1], False),
    ],
)
def test_json_values_not_python_values(a: Any, b: Any, is_same: bool) -> None:
    """True is not 1, but 1 and 1.0 are the same number, as RFC 6902 section 4.6 says."""
    assert same(a, b) is is_same
    assert same(b, a) is is_same
    assert (diff(a, b) == []) is is_same
    assert (diff({"k": [a]}, {"k": [b]}) == []) is is_same


def test_pointer_escapes_and_odd_keys() -> None:
    """Slashes, tildes and empty keys are written as RFC 6901 writes them."""
    a: dict[str, Any] = {"a/b": 1, "m~n": 1, "": {"": 1}, "~1": 1, " ": 1, '"': 1}
    b: dict[str, Any] = {"a/b": 2, "m~n": 2, "": {"": 2}, "~1": 2, " ": 2, '"': 2}
    patch = diff(a, b)

    assert [op["path"] for op in patch] == ["/a~1b", "/m~0n", "//", "/~01", "/ ", '/"']
    assert apply(a, patch) == b


def test_deep_documents() -> None:
    """A document nested 20,000 levels deep is compared, patched and applied without exhausting the stack."""

    def nested(leaf: Any, levels: int) -> Any:
        for level in range(levels):
            leaf = {"k": leaf} if level % 2 else [leaf]
        return leaf

    a, b = nested(1, 20_000), nested(2, 20_000)
    patch = diff(a, b)

    assert len(patch) == 1
    assert same(apply(a, patch), b)
    assert not same(a, b)
    assert diff([1, a, 2, 3], [2, b, a, 4]) != []


# ---------------------------------------------------------------- small patches of arrays


def operations(a: Any, b: Any) -> list[tuple[str, str]]:
    patch = diff(a, b)
    assert same(apply(a, patch), b)
    return [(op["op"], op["path"]) for op in patch]


def test_insert_delete_append_in_long_arrays() -> None:
    """One item more or less anywhere in a long array is one operation."""
    a = [{"id": i, "text": f"message {i}"} for i in range(5_000)]

    assert operations(a, [*a, {"id": -1}]) == [("add", "/5000")]
    assert operations(a, [*a[:2_000], {"id": -1}, *a[2_000:]]) == [("add", "/2000")]
    assert operations(a, a[:2_000] + a[2_001:]) == [("remove", "/2000")]
    assert operations(a, a[1:]) == [("remove", "/0")]


def test_scattered_changes_in_arrays() -> None:
    """Several inserts, removals and changes in one array cost one operation each."""
    a = [{"id": i, "text": f"message {i}"} for i in range(1_000)]
    b = copy.deepcopy(a)
    b[700]["text"] = "changed"
    del b[500]
    b.insert(100, {"id": -1, "text": "new"})

    assert operations(a, b) == [("add", "/100"), ("remove", "/501"), ("replace", "/700/text")]


def test_changed_item_beside_inserted_item() -> None:
    """In a gap, the item that changed is found by likeness, not by position."""
    a = [{"id": 1, "text": "a", "ok": True}, {"id": 2, "text": "b", "ok": True}]
    b = [{"id": 9, "role": "x"}, {"id": 1, "text": "a!", "ok": True}, {"id": 2, "text": "b!", "ok": True}]

    assert operations(a, b) == [("add", "/0"), ("replace", "/1/text"), ("replace", "/2/text")]


def test_nothing_in_common_is_one_replace() -> None:
    """Where no member or item survives, the container is replaced as a whole."""
    assert operations({"x": {"a": 1, "b": 2}}, {"x": {"c": 1}}) == [("replace", "/x")]
    assert operations({"x": [1, 2, 3]}, {"x": [4, 5, 6]}) == [("replace", "/x")]


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40))
def test_blocks_are_a_longest_common_subsequence(a: list[int], b: list[int]) -> None:
    """The matching blocks are equal, in order, and as long as the textbook table says."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    blocks = matching_blocks(a, b)

    assert sum(n for _, _, n in blocks) == table[-1][-1]
    assert all(a[i : i + n] == b[j : j + n] for i, j, n in blocks)
    assert all(0 <= g[0] <= g[1] and 0 <= g[2] <= g[3] for g, _ in gaps(blocks, len(a), len(b)))


def test_large_arrays_are_cut_at_anchors() -> None:
    """Beyond the size of the table, items that occur once on each side still align the rest."""
    shuffle = random.Random(7)
    a = list(range(3_000))
    b = [x for x in a if shuffle.random() > 0.1]
    for position in range(0, 2_000, 50):
        b.insert(position, -position - 1)
    exact = matching_blocks(a, b)
    cut = matching_blocks(a, b, max_cells=1_000)

    assert sum(n for _, _, n in cut) == sum(n for _, _, n in exact)
    assert matching_blocks([1] * 100 + [2], [3] + [1] * 90, max_cells=10) == []


def test_items_of_one_hash_are_different() -> None:
    """Items that only share a hash are not taken for equal: 0 and 2**61 - 1, "a" and 97 (as rapidfuzz hashes)."""
    assert len(operations([1, 0, 5, 0, 7], [2, 2**61 - 1, 5, 2**61 - 1, 8])) == 4
    assert len(operations([1, "a", 5, "a", 7], [2, 97, 5, 97, 8])) == 4


# ---------------------------------------------------------------- the standard's cases (RFC 6902 appendix A)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        pytest.param(
            {"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}, id="A1"
        ),
        pytest.param(
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
            id="A2",
        ),
        pytest.param({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}, id="A3"),
        pytest.param(
            {"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}, id="A4"
        ),
        pytest.param(
            {"baz": "qux", "foo": "bar"},
            [{"op": "replace", "path": "/baz", "value": "boo"}],
            {"baz": "boo", "foo": "bar"},
            id="A5",
        ),
        pytest.param(
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
            id="A6",
        ),
        pytest.param(
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
            id="A7",
        ),
        pytest.param(
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2, "c"]},
            id="A8",
        ),
        pytest.param(
            {"foo": "bar"},
            [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
            {"foo": "bar", "child": {"grandchild": {}}},
            id="A10",
        ),
        pytest.param(
            {"foo": "bar"},
            [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
            {"foo": "bar", "baz": "qux"},
            id="A11",
        ),
        pytest.param({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}, id="A14"),
        pytest.param(
            {"foo": ["bar"]},
            [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
            {"foo": ["bar", ["abc", "def"]]},
            id="A16",
        ),
        pytest.param({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1], id="whole document"),
        pytest.param({"a": 1}, [{"op": "add", "path": "", "value": None}], None, id="add whole document"),
        pytest.param({}, [{"op": "add", "path": "/", "value": 1}], {"": 1}, id="empty key"),
        pytest.param({"-": 1}, [{"op": "replace", "path": "/-", "value": 2}], {"-": 2}, id="minus as member"),
        pytest.param({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}, id="add replaces a member"),
        pytest.param([1], [{"op": "add", "path": "/1", "value": 2}], [1, 2], id="add behind the last"),
        pytest.param({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}, id="move onto itself"),
        pytest.param({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}, id="numerically equal"),
        pytest.param([1, 2], [{"op": "move", "from": "/0", "path": "/-"}], [2, 1], id="move to the end"),
        pytest.param({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": ""}], 1, id="move to the root"),
        pytest.param(
            {"a": {"x": []}},
            [
                {"op": "copy", "from": "/a", "path": "/b"},
                {"op": "add", "path": "/b/x/-", "value": 1},
                {"op": "copy", "from": "/b", "path": "/a/y"},
                {"op": "add", "path": "/a/y/x/-", "value": 2},
            ],
            {"a": {"x": [], "y": {"x": [1, 2]}}, "b": {"x": [1]}},
            id="a copy is not an alias",
        ),
    ],
)
def test_standard_cases(document: Any, patch: Patch, expected: Any) -> None:
    """The cases of the standard's appendix, and its edges, give the standard's results; the input stays as it was."""
    before = copy.deepcopy((document, patch))

    assert apply(document, patch) == expected
    assert (document, patch) == before


@pytest.mark.parametrize(
    ("document", "patch", "index", "pointer", "reason"),
    [
        (
            {"baz": "qux"},
            [{"op": "test", "path": "/baz", "value": "bar"}],
            0,
            "/baz",
            "the value there is 'qux', not 'bar'",
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": 1}], 0, "/baz/bat", "there is no member 'baz'"),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": "10"}], 0, "/~01", "is 10, not '10'"),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], 0, "/a", "is 1, not True"),
        ({}, [{"op": "add", "path": "/a", "value": 1}, {"op": "remove", "path": "/b"}], 1, "/b", "no member 'b'"),
        ([1], [{"op": "remove", "path": "/1"}], 0, "/1", "index 1 is out of range, the array has 1 items"),
        ([1], [{"op": "add", "path": "/3", "value": 1}], 0, "/3", "out of range"),
        ([1], [{"op": "add", "path": "/01", "value": 1}], 0, "/01", "'01' is not an index"),
        ([1], [{"op": "add", "path": "/-1", "value": 1}], 0, "/-1", "'-1' is not an index"),
        ([1], [{"op": "add", "path": "/¹", "value": 1}], 0, "/¹", "is not an index"),
        ([1], [{"op": "add", "path": "/1e0", "value": 1}], 0, "/1e0", "is not an index"),
        ([1], [{"op": "add", "path": "/" + "9" * 5_000, "value": 1}], 0, "/" + "9" * 5_000, "out of range"),
        ([1], [{"op": "replace", "path": "/-", "value": 1}], 0, "/-", "not an index of an array that holds a value"),
        ([1], [{"op": "add", "path": "1", "value": 1}], 0, "1", "does not start with '/'"),
        ({}, [{"op": "add", "path": "/a~2", "value": 1}], 0, "/a~2", "'~' must be followed by 0 or 1"),
        ({}, [{"op": "add", "path": "/a~", "value": 1}], 0, "/a~", "'~' must be followed by 0 or 1"),
        ({}, [{"op": "add", "path": "/a"}], 0, "/a", "'value' is missing"),
        ({}, [{"op": "add", "value": 1}], 0, None, "'path' is missing"),
        ({}, [{"op": "add", "path": 3, "value": 1}], 0, 3, "'path' is a number, not a string"),
        ({}, [{"path": "/a"}], 0, "/a", "'op' is missing"),
        ({}, [{"op": "merge", "path": "/a"}], 0, "/a", "unknown op 'merge'; known: add remove replace move copy test"),
        ({"a": 1}, [{"op": "move", "path": "/b"}], 0, "/b", "'from' is missing"),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b/c"}], 0, "/a/b/c", "cannot be moved into itself"),
        ({"a": 1}, [{"op": "remove", "path": ""}], 0, "", "cannot be removed, only replaced"),
        ({"a": "text"}, [{"op": "add", "path": "/a/0", "value": 1}], 0, "/a/0", "asks for a part of a string"),
        ({"a": None}, [{"op": "replace", "path": "/a/b", "value": 1}], 0, "/a/b", "asks for a part of null"),
        (3, [{"op": "add", "path": "/a", "value": 1}], 0, "/a", "asks for a part of a number"),
        ({}, ["add"], 0, None, "an operation is an object, not a string"),
    ],
)
def test_bad_operations(document: Any, patch: Any, index: int, pointer: Any, reason: str) -> None:
    """An operation that does not apply is an error with its index, pointer and reason, and changes nothing."""
    before = copy.deepcopy(document)
    with pytest.raises(PatchError, match=f"Operation {index} of the patch") as caught:
        apply(document, patch)

    assert (caught.value.op_index, caught.value.pointer) == (index, pointer)
    assert reason in caught.value.reason
    assert document == before


@given(json_values, json_values, st.data())
def test_corrupted_patches_fail_cleanly(a: Any, b: Any, data: st.DataObject) -> None:
    """A patch applied to another document gives a document or a PatchError, never another exception."""
    patch = diff(a, b)
    assume(patch)
    other = data.draw(json_values)
    before = copy.deepcopy(other)
    try:
        apply(other, patch)
    except PatchError as error:
        failed_at = error.op_index
    else:
        failed_at = 0

    assert 0 <= failed_at < len(patch)
    assert strict(other) == strict(before)


def test_public_place() -> None:
    """The public names are those of workbench.replay.delta."""
    from workbench.replay import delta

    assert (delta.apply, delta.diff) == (apply, diff)
