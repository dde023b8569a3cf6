"""Formats of other packages: real wheels, unpacked into a folder on the path, found through their entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from histories import claude, counts

from workbench.data.ingest import ingest, known_formats, names, register, registry
from workbench.data.ingest.normal import Run, Step
from workbench.data.store.engine import Store
from workbench.errors import ConfigurationError, IngestError, UnknownFormatError

READER = """
    from workbench.data.ingest.normal import Run, Step

    FORMAT = {format!r}
    TITLE = "Acme logs (.acme)"

    def detect(head):
        {detect}

    def read(source):
        {read}
"""
GOOD = {
    "detect": "return 0.9 if head.data.startswith(b'ACME') else 0.0",
    "read": "yield Run(source.file_name, 'acme', steps=[Step('message', text=line.data.decode()) "
    "for line in source.lines()])",
}


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Build a wheel that adds one reader, and unpack it into the folder of packages, which is returned."""

    def build(
        name: str, *, format: str = "acme", point: str | None = None, text: str | None = None, **code: str
    ) -> Path:
        source, site = tmp_path / name, tmp_path / "site"
        module = name.replace("-", "_")
        (source / module).mkdir(parents=True)
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "1.2"\n'
            f'[project.entry-points."{registry.GROUP}"]\n{point or format} = "{module}.reader"\n'
        )
        (source / module / "__init__.py").touch()
        made = textwrap.dedent(READER).format(format=format, **{**GOOD, **code})
        (source / module / "reader.py").write_text(made if text is None else text)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=source, check=True, capture_output=True
        )
        [wheel] = (source / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        return site

    return build


@pytest.fixture
def spawn(tmp_path: Path, database_url: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command in a process that has the folder of packages on its path."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        clear = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")}
        path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [clear.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-m", "workbench", "--url", database_url, *arguments],
            env={**clear, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return run


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {each["name"] + ("!" if each["error"] else ""): each for each in json.loads(done.stdout)}


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_an_installed_package_adds_a_format(package: Any, spawn: Any, tmp_path: Path, store: Store) -> None:
    """Its files are recognised and stored, formats and doctor say where the format comes from."""
    package("acme-traces")
    path = put(tmp_path, "one.acme", b"ACME\nhello\n")

    ingested = spawn("ingest", path, "--json")
    formats = listed(spawn("formats", "--json"))
    told = spawn("formats")
    health = json.loads(spawn("doctor", "--json").stdout)

    [file] = json.loads(ingested.stdout)["files"]
    assert (file["format"], file["events"]) == ("acme", 2)
    assert counts(store) == (1, 2)
    assert formats["acme"] == {
        "name": "acme", "title": "Acme logs (.acme)", "origin": "acme-traces 1.2", "error": None,
    }  # fmt: skip
    assert formats["claude-code"]["origin"] == "workbench"
    assert "acme-traces 1.2" in told.stdout
    [check] = [check for check in health["checks"] if check["name"] == "readers"]
    assert (check["ok"], check["detail"]) == (True, "acme (acme-traces 1.2)")


BROKEN = {
    "import": ({"text": "import no_such_library"}, "acme-traces 1.2 cannot be imported: ModuleNotFoundError"),
    "syntax": ({"text": "def ("}, "acme-traces 1.2 cannot be imported: SyntaxError"),
    "shape": (
        {"text": "FORMAT = 'acme'"},
        "acme_traces.reader of acme-traces 1.2 is no reader: it has no TITLE, detect",
    ),
    "name": ({"format": "other", "point": "acme"}, "acme-traces 1.2 leads to a reader of the name 'other'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_wrong_with_a_package_is_said(how: str, package: Any, spawn: Any) -> None:
    """The list of formats names the package and what it lacks."""
    code, said = BROKEN[how]
    package("acme-traces", **code)

    assert said in listed(spawn("formats", "--json"))["acme!"]["error"]


def test_a_broken_package_costs_only_itself(package: Any, spawn: Any, tmp_path: Path) -> None:
    """Other formats are read as ever; doctor and the use of its name say what is wrong, with its package."""
    code, said = BROKEN["import"]
    package("acme-traces", **code)
    good, other = put(tmp_path, "session.jsonl", claude()), put(tmp_path, "one.acme", b"ACME\nhello\n")

    ingested = spawn("ingest", good, "--json")
    named = spawn("ingest", other, "--format", "acme")
    unknown = spawn("ingest", other)
    health = spawn("doctor", "--json")

    assert json.loads(ingested.stdout)["ok"] is True
    assert (named.returncode, unknown.returncode) == (1, 1)
    assert said in " ".join(named.stderr.split())
    assert said in " ".join(unknown.stderr.split())
    [check] = [check for check in json.loads(health.stdout)["checks"] if check["name"] == "readers"]
    assert (check["ok"], check["is_optional"], health.returncode) == (False, True, 0)
    assert said in check["detail"]


def test_a_failing_package_costs_its_own_files(package: Any, spawn: Any, tmp_path: Path) -> None:
    """Its file has failed, with its name and without a traceback; the others are stored."""
    package("acme-traces", read="yield 1 / 0")
    bad, good = put(tmp_path, "one.acme", b"ACME\nhello\n"), put(tmp_path, "session.jsonl", claude())

    done = spawn("ingest", bad, good, "--json")

    failed, stored = json.loads(done.stdout)["files"]
    assert (failed["outcome"], stored["outcome"]) == ("failed", "new"), done.stderr
    assert "the reader 'acme' of acme-traces 1.2 failed: ZeroDivisionError" in failed["error"]
    assert "Traceback" not in done.stderr


def test_one_name_belongs_to_one_reader(package: Any, spawn: Any, tmp_path: Path) -> None:
    """Two packages that claim a name are both refused, and so is one that claims a name of Workbench; all are named."""
    package("acme-traces")
    package("acme-logs")
    package("evil-otlp", format="otlp")
    good = put(tmp_path, "session.jsonl", claude())

    ingested = spawn("ingest", good, "--json")
    done = spawn("formats", "--json")

    formats = listed(done)
    assert json.loads(ingested.stdout)["ok"] is True
    assert "claimed by acme-logs 1.2 and by acme-traces 1.2" in formats["acme!"]["error"]
    assert "claimed by workbench and by evil-otlp 1.2" in formats["otlp!"]["error"]
    assert formats["otlp"]["origin"] == "workbench"


# -- in this process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clean() -> Iterator[None]:
    """Take away what a test registers."""
    yield
    registry._registered.clear()


def reader(**parts: Any) -> SimpleNamespace:
    made = {
        "FORMAT": "mine",
        "TITLE": "My logs",
        "detect": lambda head: float(head.data.startswith(b"MINE")),
        "read": lambda source: iter([Run(source.file_name, "me", steps=[Step("message", text="hi")])]),
    }
    return SimpleNamespace(**{**made, **parts})


@pytest.mark.usefixtures("clean")
def test_a_notebook_registers_a_format(store: Store, tmp_path: Path) -> None:
    """A registered reader is used at once; registered again, the new one counts."""
    path = put(tmp_path, "a.mine", b"MINE")
    with pytest.raises(UnknownFormatError, match="not agent history"):
        ingest(store, path, progress=False)

    register(reader())
    [file] = ingest(store, path, progress=False).files
    register(reader(TITLE="My logs, second edition"))

    assert (file.format, file.outcome) == ("mine", "new")
    assert names()[-1] == "mine"
    assert known_formats()[-1].title == "My logs, second edition"
    assert known_formats()[-1].origin.endswith("registered in this process")


@pytest.mark.usefixtures("clean")
def test_a_registered_reader_that_fails_is_one_error(store: Store, tmp_path: Path) -> None:
    """Of a file that was named alone, the failure is an error that names the reader, and nothing is stored."""

    def read(source: Any) -> Iterator[Run]:
        yield Run("r", "me", steps=[Step("message", text="hi")])
        raise RuntimeError("half way")

    register(reader(read=read))

    with pytest.raises(IngestError, match=r"the reader 'mine' of .* failed: RuntimeError: half way"):
        ingest(store, put(tmp_path, "a.mine", b"MINE"), progress=False)
    assert counts(store) == (0, 0)


def oops(head: Any) -> float:
    raise ZeroDivisionError("oops")


FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "detect": ({"detect": oops}, "detect failed on a.mine: ZeroDivisionError: oops"),
    "junk": ({"read": lambda source: iter([{}])}, "failed: TypeError: read gave dict, not a Run or a BadLine"),
    "nothing": ({"read": lambda source: None}, "failed: TypeError"),
    "step": ({"read": lambda source: iter([Run("r", "me", steps=[7])])}, "'mine' of .* failed: "),  # type: ignore
    "time": ({"read": lambda source: iter([Run("r", "me", started_at="soon")])}, "'mine' of .* failed: "),  # type: ignore
}


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("how", FAILING)
def test_whatever_a_reader_does_wrong(how: str, store: Store, tmp_path: Path) -> None:
    """What it raises and what it hands on that nobody can store is an error of its own file; others are stored."""
    parts, said = FAILING[how]
    register(reader(**parts))
    bad, good = put(tmp_path, "a.mine", b"MINE"), put(tmp_path, "session.jsonl", claude())

    failed, stored = ingest(store, [bad, good], progress=False).files

    assert (failed.outcome, stored.outcome) == ("failed", "new")
    assert re.search(said, failed.error or "")
    assert counts(store) == (1, 4)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"FORMAT": "otlp"}, "'otlp' .* is taken by workbench"),
        ({"detect": None}, "is no reader: it has no detect"),
        ({"TITLE": None}, "is no reader: it has no TITLE"),
    ],
)
def test_what_is_no_reader_is_refused(parts: dict[str, Any], said: str) -> None:
    """A name that is taken and a module that lacks something are errors at once."""
    with pytest.raises(ConfigurationError, match=said):
        register(reader(**parts))
