"""``.eval`` archives: every compression, cut off, damaged, unfinished."""

from __future__ import annotations

import gzip
import zipfile
from typing import Any

import pytest
from inspect_logs import entries, json_source, packed_zip_of, read, streamed_zip_of, zip_of, zstd_zip_of

from workbench.data.ingest.formats import inspect_log
from workbench.data.ingest.reading.source import Source
from workbench.errors import IngestError


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, 93])
def test_every_compression_is_read(method: int) -> None:
    """Members may be stored, deflated, LZMA or zstd."""
    files = entries(3)
    body = zstd_zip_of(files) if method == 93 else zip_of(files, method)

    runs, bad = read(Source.from_bytes(body, "a.eval"))

    assert bad == []
    assert [run.steps[1].text for run in runs] == ["answer 0", "answer 1", "answer 2"]


def test_a_gzipped_archive_is_read() -> None:
    """A ``.eval.gz`` is an archive like any other."""
    source = Source.from_bytes(gzip.compress(zip_of(entries(2))), "a.eval.gz")

    assert inspect_log.detect(source.head) >= 0.9
    assert len(read(source)[0]) == 2


@pytest.mark.parametrize("pack", [zip_of, zstd_zip_of, streamed_zip_of])
def test_a_cut_archive_gives_its_whole_samples(pack: Any) -> None:
    """Without its directory, every sample that is whole is read; the one in which it breaks off is named."""
    body = pack(entries(4))
    cut = body[: body.index(b"samples/3_epoch_1.json") + 60]

    runs, bad = read(Source.from_bytes(cut, "killed.eval"))

    assert [run.source_id for run in runs] == [f"run1/task1/{n}/1" for n in range(3)]
    assert [line.reason.partition(":")[0].partition(" (")[0] for line in bad] == [
        "the zip file is cut off or damaged",
        "samples/3_epoch_1.json",
    ]
    assert "cut off" in bad[1].reason


def test_an_archive_cut_before_anything_is_one_error() -> None:
    """Where nothing can be read, one error names the file."""
    source = Source.from_bytes(zip_of(entries(1))[:25], "tiny.eval")

    with pytest.raises(IngestError, match=r"tiny\.eval cannot be read: the zip file is cut off or damaged"):
        list(inspect_log.read(source))


def test_a_damaged_sample_costs_only_itself() -> None:
    """Flipped bytes in one member are reported by its name; the others are kept."""
    body = bytearray(zip_of(entries(3)))
    where = body.index(b"samples/1_epoch_1.json") + 60
    body[where : where + 8] = b"\xff" * 8

    runs, bad = read(Source.from_bytes(bytes(body), "a.eval"))

    assert len(runs) == 2
    (line,) = bad
    assert line.reason.startswith("samples/1_epoch_1.json: its data is damaged")


def test_an_unknown_compression_is_named() -> None:
    """A method that cannot be read here is reported for each member that has it."""
    body = packed_zip_of(entries(2), {"samples/0_epoch_1.json": 97})

    runs, bad = read(Source.from_bytes(body, "a.eval"))

    assert [line.reason for line in bad] == [
        "samples/0_epoch_1.json: it is compressed by method 97, which cannot be read here"
    ]
    assert len(runs) == 1


def test_a_sample_that_is_not_json_costs_only_itself() -> None:
    """A member that breaks off in its JSON is reported; so is one that is no object."""
    files = entries(3)
    files["samples/0_epoch_1.json"] = files["samples/0_epoch_1.json"][:-5]
    files["samples/1_epoch_1.json"] = b"[]"

    runs, bad = read(Source.from_bytes(zip_of(files), "a.eval"))

    assert len(runs) == 1
    assert [line.reason.split(":")[1].strip() for line in bad] == ["cut off", "expected an object"]


def test_an_unfinished_log_is_read_from_its_journal() -> None:
    """A log that never got its header is read with what was written at the start."""
    files = entries(2)
    del files["header.json"]

    runs, bad = read(Source.from_bytes(zip_of(files), "a.eval"))

    assert (len(runs), bad) == (2, [])
    assert runs[0].model == "acme/m"


def test_other_zips_and_json_are_not_taken_for_logs() -> None:
    """Only an archive with Inspect's entries, or an object with its header, is a log."""
    assert inspect_log.detect(Source.from_bytes(zip_of({"a.txt": b"x"}), "a.zip").head) == 0
    assert inspect_log.detect(Source.from_bytes(b'{"eval": {"x": 1}}', "a.json").head) == 0
    assert inspect_log.detect(json_source().head) >= 0.9
