"""What could not be read is put aside with its bytes, listed, and read again."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from histories import KINDS, LINES, claude, claude_line, dumps, tau_bench

import workbench
from workbench.data.ingest.ledger import quarantine
from workbench.data.ingest.report import MAX_BAD_LINES
from workbench.errors import IngestError, NotFoundError, UnknownFormatError

EVIL = b'{"<script>": "\x1b[31m\x00\xff'


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def fetch(bench: workbench.Workbench, query: str, *values: Any) -> list[tuple]:
    with bench.store.raw() as connection:
        return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LINES)
def test_bad_lines_are_put_aside_with_their_bytes(name: str, bench: workbench.Workbench, tmp_path: Path) -> None:
    """Of an accepted file, each bad line is a row: number, reason, bytes, hostile ones as harmless text."""
    kind = KINDS[name]
    path = put(tmp_path, kind.name, kind.make() + EVIL + b"\n42\n")

    bench.ingest(path, progress=False)

    found = bench.quarantine(columns=["path", "format", "line", "reason", "text"]).sort("line")
    assert found["line"].to_list() == [5, 6]
    assert found["text"].to_list() == ['{"<script>": "\x1b[31m\u2400\ufffd', "42"]
    assert found["path"].unique().to_list() == [str(path)]
    assert found["format"].unique().to_list() == [name]
    assert "expected a JSON object, found a number" in found["reason"][1]
    assert bench.imports()["n_bad"].to_list() == [2]


def test_the_same_file_again_puts_nothing_more_aside(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A second ingest, a copy and a retry leave the rows as they are, by their ids."""
    path = put(tmp_path, "s.jsonl", claude() + b"42\n")
    bench.ingest(path, progress=False)
    before = bench.quarantine()

    bench.ingest([path, put(tmp_path, "copy.jsonl", path.read_bytes())], progress=False)
    after = bench.quarantine()
    report = bench.retry()

    assert after.equals(before)
    assert bench.quarantine().drop("created_at").equals(before.drop("created_at"))
    assert [(file.outcome, file.n_bad) for file in report.files] == [("already there", 1)]


def test_a_file_of_many_bad_lines_is_bounded(bench: workbench.Workbench, tmp_path: Path) -> None:
    """The first 1,000 bad lines of a file are kept, and of each the first megabyte."""
    long = b'"' + b"x" * (quarantine.MAX_LINE_BYTES + 10) + b'"\n'
    path = put(tmp_path, "s.jsonl", claude() + long + b"42\n" * (MAX_BAD_LINES + 5))

    [file] = bench.ingest(path, progress=False).files

    found = bench.quarantine()
    assert (file.n_bad, found.height) == (MAX_BAD_LINES + 6, MAX_BAD_LINES)
    cut = found.filter(pl.col("line") == 5)["text"][0]
    assert cut.startswith('"xxx')
    assert cut.endswith(f" … [cut: {quarantine.MAX_LINE_BYTES} bytes]")


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("cut.json", tau_bench()[:-20], None),
        ("cut.json", tau_bench()[:-20], "tau-bench"),
        ("cut.json.gz", gzip.compress(tau_bench())[:-20], None),
        ("zeros.jsonl", b"\0" * 100, None),
        ("all-bad.jsonl", b"{broken\n42\n", "claude-code"),
    ],
)
def test_a_file_of_which_nothing_is_read_is_put_aside(
    name: str, content: bytes, format: str | None, bench: workbench.Workbench, tmp_path: Path
) -> None:
    """Damaged, or bad throughout: one row for the file with its original, once however often it is tried."""
    path = put(tmp_path, name, content)

    for _ in range(2):
        with suppress(IngestError):
            bench.ingest(path, format=format, progress=False)

    [row] = bench.quarantine().to_dicts()
    assert (row["path"], row["import_id"], row["line"], row["size_bytes"]) == (str(path), None, None, len(content))
    assert row["reason"]
    assert fetch(bench, "SELECT cardinality(blocks) FROM workbench.quarantine") == [(1,)]
    assert bench.imports().is_empty()


def test_what_is_no_agent_history_is_not_put_aside(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A README, alone or in a folder, has nothing to be read."""
    path = put(tmp_path, "notes.md", b"# notes")

    with pytest.raises(UnknownFormatError):
        bench.ingest(path, progress=False)
    bench.ingest(tmp_path, progress=False)

    assert bench.quarantine().is_empty()


@pytest.mark.parametrize("broken", [claude() + b"{half", tau_bench()[:-20]])
def test_the_repaired_file_clears_its_rows(broken: bytes, bench: workbench.Workbench, tmp_path: Path) -> None:
    """Once a good state of the file was ingested nothing is listed, unless one asks for what is solved."""
    whole = claude() if broken.startswith(claude()) else tau_bench()
    path = put(tmp_path, "history.json", broken)
    with suppress(IngestError):
        bench.ingest(path, progress=False)
    before = bench.quarantine().height
    put(tmp_path, "history.json", whole)

    bench.ingest(path, progress=False)

    assert before == 1
    assert bench.quarantine().is_empty()
    assert bench.quarantine(is_solved=True).height == bench.quarantine(is_solved=None).height == 1
    assert bench.retry().files == ()


def test_retry_reads_a_bad_line_that_this_version_can_read(
    bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reader that learnt more, the originals give the missing step, and its row is gone; the file may be too."""
    path = put(tmp_path, "s.jsonl", claude(3) + b"{'single': 1}\n")
    bench.ingest(path, progress=False)
    path.unlink()
    from workbench.data.ingest.reading import source

    learnt, known = source.parse, dumps(claude_line(3))
    monkeypatch.setattr(source, "parse", lambda data: learnt(known if b"'single'" in data else data))

    report = bench.retry(bench.quarantine()["id"][0])

    [file] = report.files
    assert (file.outcome, file.n_bad, file.new.events, file.path) == ("extended", 0, 1, str(path))
    assert bench.quarantine(is_solved=None).is_empty()
    assert bench.imports()["n_bad"].to_list() == [0]
    assert bench.events()["step_number"].to_list() == [0, 1, 2, 3]


def test_retry_of_a_file_that_can_be_read_now(
    bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that failed is ingested from its kept bytes when its reader can read it, as the file it was."""
    from workbench.data.ingest.formats import tau_bench as reader

    path = put(tmp_path, "runs.json", tau_bench())
    with monkeypatch.context() as older:

        def fails(source: Any) -> Any:
            raise IngestError(f"{source.name} cannot be read: too new.")

        older.setattr(reader, "read", fails)
        with pytest.raises(IngestError):
            bench.ingest(path, progress=False)
        [again] = bench.retry().files
    path.unlink()

    [file] = bench.retry().files

    assert (again.outcome, again.error) == ("failed", "cannot be read: too new.")
    assert (file.outcome, file.executions) == ("new", 2)
    assert bench.imports()["path"].to_list() == [str(path)]
    assert bench.imports()["has_original"].to_list() == [True]
    assert bench.quarantine().is_empty()


def test_retry_without_an_original(bench: workbench.Workbench, tmp_path: Path) -> None:
    """What was not kept is read from its path while it is the same; else the report says why it cannot be."""
    path = put(tmp_path, "s.jsonl", claude() + b"42\n")
    bench.ingest(path, progress=False, keep_originals=False)

    [there] = bench.retry().files
    path.unlink()
    [gone] = bench.retry().files

    assert there.outcome == "already there"
    assert gone.outcome == "failed"
    assert "was not kept" in (gone.error or "")
    assert fetch(bench, "SELECT count(*) FROM workbench.file_blocks") == [(0,)]


@pytest.mark.parametrize("which", ["ffff", "no", "zzzz"])
def test_retry_of_nothing(which: str, bench: workbench.Workbench) -> None:
    """An id that nobody has is an error that says where ids are listed."""
    with pytest.raises(NotFoundError, match=r"bench.imports\(\) and bench.quarantine\(\)"):
        bench.retry(which)


def test_imports_are_listed(bench: workbench.Workbench, tmp_path: Path) -> None:
    """One row for each state of a file, newest first, with what it holds and whether it is kept."""
    path = put(tmp_path, "s.jsonl", claude(2))
    bench.ingest(path, progress=False, keep_originals=False)
    put(tmp_path, "s.jsonl", claude(4))
    bench.ingest(path, progress=False)

    found = bench.imports()

    shown = found.select("format", "n_runs", "n_events", "n_bad", "has_original", "outcome").rows()
    assert shown == [("claude-code", 1, 4, 0, True, "extended"), ("claude-code", 1, 2, 0, False, "new")]
    assert bench.imports(has_original=True)["id"].to_list() == found["id"].to_list()[:1]
    assert bench.imports(format="codex").is_empty()
    assert bench.imports(where="n_events > 3").height == 1
