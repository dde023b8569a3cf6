"""The original of a run: byte for byte the file that was ingested, or an error that says why not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import workbench
from workbench.errors import ConfigurationError, IngestError, NotFoundError


def line(n: int) -> bytes:
    return json.dumps({
        "type": "user", "uuid": f"u{n}", "sessionId": "s1", "timestamp": f"2026-01-01T00:00:0{n}Z",
        "message": {"role": "user", "content": f"hello {n}"},
    }).encode() + b"\n"  # fmt: skip


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def run_of(bench: workbench.Workbench) -> str:
    return bench.executions()["id"].item()


def test_the_newest_file_that_holds_the_run(bench: workbench.Workbench, tmp_path: Path):
    """Of a session that went on, the newest state; an older one, or a gzipped copy, by its import."""
    first = put(tmp_path, "1.jsonl", line(1))
    second = put(tmp_path, "2.jsonl.gz", gzip.compress(line(1) + b"{broken\r\n" + line(2)))
    for path in (first, second):
        bench.ingest(path, progress=False)
    oldest = bench.imports()["id"][1]

    newest = bench.export(run_of(bench), redact=False)
    older = bench.export(run_of(bench), redact=False, import_id=oldest[:8])
    written = bench.export(run_of(bench), tmp_path / "out", redact=False)

    assert (newest, older) == (second.read_bytes(), first.read_bytes())
    assert written == tmp_path / "out"
    assert written.read_bytes() == second.read_bytes()


def test_an_original_is_not_redacted(bench: workbench.Workbench, tmp_path: Path):
    """By default nothing is given away unread: the error says how to ask for it, and no file is left."""
    bench.ingest(put(tmp_path, "1.jsonl", line(1)), progress=False)

    with pytest.raises(ConfigurationError, match="redact=False"):
        bench.export(run_of(bench), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["1.jsonl"]


def test_a_file_that_was_not_kept(bench: workbench.Workbench, tmp_path: Path):
    """Without the original the error names the file to ingest again, which then gives it."""
    path = put(tmp_path, "1.jsonl", line(1))
    bench.ingest(path, progress=False, keep_originals=False)

    with pytest.raises(NotFoundError, match=f"was not kept. Ingest its file again to keep it: {path}"):
        bench.export(run_of(bench), redact=False)
    bench.ingest(path, progress=False)
    assert bench.export(run_of(bench), redact=False) == path.read_bytes()


def test_a_run_that_came_from_no_file(bench: workbench.Workbench):
    """A recorded run has no original."""
    with bench.record(agent_type="clerk") as run:
        run.event("message", text="hello")

    with pytest.raises(NotFoundError, match="came from no file"):
        bench.export(run.id, redact=False)


def test_damage_leaves_no_half_file(bench: workbench.Workbench, tmp_path: Path):
    """Bytes that are not those that were stored are an error, and what lay at the output stays."""
    bench.ingest(put(tmp_path, "1.jsonl", line(1)), progress=False)
    with bench.store.raw() as connection:
        connection.execute("UPDATE workbench.file_blocks SET data = 'x'")
    out = put(tmp_path, "out", b"mine")

    with pytest.raises(IngestError, match="damaged in the database"):
        bench.export(run_of(bench), out, redact=False)
    assert out.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.jsonl", "out"]


def test_an_import_that_does_not_hold_the_run(bench: workbench.Workbench, tmp_path: Path):
    """An import of other runs is an error that lists those that hold it."""
    bench.ingest(put(tmp_path, "1.jsonl", line(1)), progress=False)
    held = bench.imports()["id"].item()

    with pytest.raises(NotFoundError, match=f"No import 'ffff' holds the run .* These hold it: {held}"):
        bench.export(run_of(bench), redact=False, import_id="ffff")


def test_every_shared_file_comes_back(bench: workbench.Workbench, shared_data: Path):
    """Each real file of each format: what was ingested is given back byte for byte."""
    report = bench.ingest(shared_data, progress=False)

    imports = bench.imports()
    for id, path in imports.select("id", "path").iter_rows():
        run = bench.sql("SELECT execution_id FROM import_runs WHERE import_id = $1 LIMIT 1", [id]).item()
        assert bench.export(run, redact=False, import_id=id) == Path(path).read_bytes()
    assert imports.height == len({file.sha256 for file in report.files if file.executions})
