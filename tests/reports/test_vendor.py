"""The vendored widget manager is what its record says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
VENDOR = ROOT / "workbench/widgets/static/_vendor"
RECORD = json.loads((VENDOR / "html-manager.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", RECORD["files"])
def test_bundle_is_the_recorded_one(name: str):
    """Each file of the bundle has the recorded hash: nobody edited it by hand."""
    assert sha256(VENDOR / name) == RECORD["files"][name]


@pytest.mark.parametrize("name", RECORD["sources"])
def test_bundle_is_fresh(name: str):
    """The bundle was built from today's sources; else run `npm ci && npm run build` in scripts/html_manager."""
    assert sha256(ROOT / "scripts/html_manager" / name) == RECORD["sources"][name]


def test_every_package_brings_its_licence():
    """Each package in the bundle stands in the licences file with its version."""
    text = (VENDOR / "html-manager.LICENSES.txt").read_text()

    missing = [package for package in RECORD["packages"] if f"\n{' '.join(package.rsplit('@', 1))} (" not in text]
    assert missing == []
    assert RECORD["packages"]["@jupyter-widgets/html-manager@1.0.15"] == "BSD-3-Clause"


def test_versions_are_pinned():
    """The build names exact versions, and its lock file no address."""
    package = json.loads((ROOT / "scripts/html_manager/package.json").read_text())
    lock = (ROOT / "scripts/html_manager/package-lock.json").read_text()

    assert all(version[0].isdigit() for version in package["devDependencies"].values())
    assert '"resolved"' not in lock
