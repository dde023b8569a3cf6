"""What became of a file by class of field: kept, changed, lost, and the keys that were kept as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import KINDS, claude_line, dumps

from workbench.data.ingest import FileReport, ingest
from workbench.data.ingest.normal import Run, State, Step
from workbench.data.ingest.report import IngestReport, Item
from workbench.data.ingest.writing import fidelity
from workbench.data.ingest.writing.fidelity import Fidelity, class_of
from workbench.data.store.engine import Store

COLUMNS = ["file", "field", "kept", "changed", "how", "lost", "why", "unknown"]


def test_kept_changed_and_lost_meet_in_their_class() -> None:
    """A note joins the counts of the class it is about; classes that a file has not are not listed."""
    file = FileReport(
        "a.jsonl", "pi", executions=1, snapshots=9, fields={"text": 4, "tokens": 2, "states": 3},
        unknown={"cwd": 4, "run x": 1},
        changed=(Item("tokens", 2, "estimated"), Item("tokens", 1, "negative"), Item("run", 1, "joined")),
        lost=(Item("reductions", 5, "cannot be placed"),),
    )  # fmt: skip

    found = IngestReport((file, FileReport("b", error="broken"))).fidelity()

    assert found.columns == COLUMNS
    assert [row[1:] for row in found.rows()] == [
        ("text", 4, 0, None, 0, None, None),
        ("tokens", 2, 3, "tokens: estimated; tokens: negative", 0, None, None),
        ("states", 3, 0, None, 0, None, None),
        ("structure", 0, 1, "run: joined", 5, "reductions: cannot be placed", None),
        ("unknown", 5, 0, None, 0, None, "cwd ×4 · run x ×1"),
    ]
    assert file.fidelity.equals(found)
    assert IngestReport().fidelity().columns == COLUMNS


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ("run cost", "cost"), ("session id", "ids"), ("NUL character", "text"), ("state changes", "states"),
        ("tool calls", "tools"), ("run", "structure"), ("valid side", "structure"), ("working_start", "times"),
    ],
)  # fmt: skip
def test_the_class_of_a_note(what: str, field: str) -> None:
    """Whole words decide, in the singular or the plural."""
    assert class_of(what) == field


def test_hostile_keys_are_bounded() -> None:
    """A new key on every line, or one as long as a page, makes no report of a million names; none is uncounted."""
    counted = Fidelity()
    for n in range(2000):
        counted.step(Step("log", extra={f"key {n}": 1}))
    counted.step(Step("log", extra={"x" * 1000: 1}))
    counted.run(Run("r", "a", metadata={"y": 1}))

    assert len(counted.unknown) <= fidelity._MAX_NAMES + 1
    assert max(map(len, counted.unknown)) <= fidelity._NAME_CHARS
    assert sum(counted.unknown.values()) == 2002


def test_derived_states_are_not_said_to_be_kept() -> None:
    """Only a state that the source recorded is kept of it, once a step."""
    counted = Fidelity()
    counted.run(Run("r", "a", steps=[Step("message", text="x")]))
    assert "states" not in counted.fields

    counted.run(Run("r", "a", states=[State(0, 1), State(0, 2), State(1, 3)]))

    assert counted.fields["states"] == 2


@pytest.mark.parametrize("name", KINDS)
def test_every_format_says_what_was_kept(name: str, store: Store, tmp_path: Path) -> None:
    """The report of a file of each format counts its classes, is stored with the import, and is told again."""
    kind = KINDS[name]
    path = tmp_path / kind.name
    path.write_bytes(kind.make())

    [first] = ingest(store, path, progress=False).files
    [again] = ingest(store, path, progress=False).files

    kept = dict(first.fidelity.select("field", "kept").rows())
    assert kept["ids"] >= kind.n_runs
    assert sum(kept.values()) > kind.n_events
    assert again.fidelity.equals(first.fidelity)


def test_a_grown_file_counts_what_it_holds(store: Store, tmp_path: Path) -> None:
    """Also of a run that is merged with what is there, every step of the file is counted once, with its own keys."""
    path = tmp_path / "s.jsonl"
    for n in (2, 5):
        path.write_bytes(b"".join(dumps(claude_line(i, oddity=1)) + b"\n" for i in range(n)))
        [file] = ingest(store, path, progress=False).files

    assert file.fields["text"] == 5
    assert file.unknown["oddity"] == 5


def test_the_notebook_shows_it_without_harm() -> None:
    """Names of keys are foreign text."""
    report = IngestReport((FileReport("<b>", "pi", executions=1, unknown={"<script>": 2}),))

    html = report._repr_html_()

    assert "fidelity by class of fields" in html
    assert "<script" not in html
    assert "&lt;script&gt; ×2" in html
