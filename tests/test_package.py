"""The wheel holds all that runs from it: templates, notebooks, browser code, migrations, licences."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; built, as for a release, from the source archive, which was built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), "--target"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True, timeout=300)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    unpacked_source = folder / source.name.removesuffix(".tar.gz")
    subprocess.run([*build, "wheel"], cwd=unpacked_source, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize(
    "path",
    [
        "workbench/reports/examples/00_start_here.ipynb",
        "workbench/reports/examples/reports/cohort_report.ipynb",
        "workbench/reports/examples/reports/execution_report.ipynb",
        "workbench/reports/template/report.html.j2",
        "workbench/reports/template/boot.js",
        "workbench/widgets/static/timeline.js",
        "workbench/widgets/static/_lib/base.css",
        "workbench/widgets/static/_vendor/html-manager.min.js",
        "workbench/widgets/static/_vendor/html-manager.LICENSES.txt",
        "workbench/data/store/migrations/env.py",
    ],
)
def test_wheel_holds(unpacked: Path, path: str):
    """What the package reads at run time is in the wheel."""
    assert (unpacked / path).stat().st_size > 0


def test_every_file_of_the_package_is_in_the_wheel(unpacked: Path):
    """No file that git tracks in the package is left out."""
    listed = subprocess.run(["git", "ls-files", "workbench"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [name for name in listed.stdout.splitlines() if not (ROOT / name).is_symlink() and (ROOT / name).exists()]

    assert [name for name in tracked if not (unpacked / name).exists()] == []


def test_reports_are_found_from_the_wheel(unpacked: Path):
    """Installed as a wheel, the command finds its report templates and says what it is."""
    code = (
        "from workbench.reports.run import template_path; import workbench;"
        "print(workbench.__file__, template_path('cohort_report'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=unpacked, env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert [Path(path).is_relative_to(unpacked) for path in done.stdout.split()] == [True, True]


def test_lab_copies_the_examples_once(unpacked: Path, tmp_path: Path):
    """Installed as a wheel, `lab` opens a copy of the notebooks, and leaves what the user changed there alone."""
    code = "from workbench.cli.bring import examples; print(examples())"
    changed = tmp_path / "workbench-notebooks" / "01_load_and_query.ipynb"
    changed.parent.mkdir()
    changed.write_text("mine")

    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(unpacked)}, check=True
    )

    assert {path.name for path in changed.parent.iterdir()} == {p.name for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert changed.read_text() == "mine"
