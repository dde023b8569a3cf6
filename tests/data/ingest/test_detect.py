"""Each reader is sure of its own files and of no other's: asked of every real file there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.data.ingest.detect import READERS, SURE_ENOUGH, reader
from workbench.data.ingest.source import Source

# Folder → format, where they differ or where the folder holds no agent history.
FOLDERS = {"memory": None, "legacy": None}
# Beside the histories lie what other tools made of them, and signals that are no traces.
NO_HISTORY = {"expected-metrics.jsonl", "expected-session.json", "proto-example.metrics.json"}


@pytest.mark.parametrize("name", ["atif", "swe-agent", "openhands", "who-and-when"])
def test_a_reader_takes_its_own_files_and_no_other(name: str, shared_data: Path) -> None:
    """Sure of every file of its own folder, and of none of any other."""
    detect = reader(name).detect
    taken = {path for path in _files(shared_data) if detect(Source.of(path).head) >= SURE_ENOUGH}

    assert taken == set((shared_data / name).rglob("*.*"))


@pytest.mark.parametrize("name", READERS)
def test_no_other_reader_is_as_sure(name: str, shared_data: Path) -> None:
    """Of every file that a reader takes, no other is as sure as the one of the folder that it lies in."""
    detect = reader(name).detect
    for path in _files(shared_data):
        sure, folder = detect(Source.of(path).head), path.relative_to(shared_data).parts[0]
        own = FOLDERS.get(folder, folder)
        if sure < SURE_ENOUGH or own == name:
            continue
        assert own in READERS, f"{name} takes {path}"
        assert reader(own).detect(Source.of(path).head) > sure, f"{name} takes {path}"


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*.*") if path.is_file() and path.parent != folder)
    return [path for path in files if path.name not in NO_HISTORY]
