"""The floors of the house: who may import whom, who owns which library, and what `import workbench` may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "workbench"
BOTTOM = {"errors", "settings", "_typing", "_delta", "_patch", "_align", "_predicates"}
ROOMS = {"data", "replay", "memory", "widgets"}
DOOR = {"", "_workbench", "cli", "magics", "testing", "reports", "demo", "__main__"}

#: library → the only rooms that may import it, deferred imports included
OWNERS = {
    "psycopg": {"data", "memory"},  # memory: composes the SQL of its vector search
    "sqlalchemy": {"data", "memory"},
    "adbc_driver_postgresql": {"data"},
    "alembic": {"data"},
    "duckdb": {"data"},
    "hyperscan": {"data"},
    "opentelemetry": {"data"},
    "anywidget": {"widgets"},
    "traitlets": {"widgets"},
    "plotly": {"widgets"},
    "IPython": {"magics", "widgets"},  # widgets: to publish the static view beside the live one
    "nbclient": {"reports"},
    "nbconvert": {"reports"},
    "nbformat": {"reports"},
    "typer": {"cli"},
    "jupyterlab": {"cli"},
    "pandas": set(),
}


def room_of(module: str) -> str:
    return module.removeprefix("workbench").removeprefix(".").partition(".")[0]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "static" in path.parts or "templates" in path.parts:
            continue
        parts = ("workbench", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (imported module, at type-checking time only) for every import, deferred ones included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in MODULES else base), id(node) in typing_only


MODULES = modules()


def test_every_module_has_a_room():
    """A new top-level module is a decision about the floors, so it has to be entered here."""
    unknown = {room_of(name) for name in MODULES} - BOTTOM - ROOMS - DOOR

    assert unknown == set()


def test_imports_go_down_only():
    """The bottom imports nothing of ours; replay and memory may use data; only the door imports rooms."""
    broken = []
    for module, path in MODULES.items():
        room = room_of(module)
        for target, _ in imports(module, path):
            if not target.startswith("workbench") or room in DOOR:
                continue
            to = room_of(target)
            allowed = BOTTOM | {room} | ({"data"} if room in {"replay", "memory"} else set())
            if room in BOTTOM:
                allowed = BOTTOM
            if to not in allowed and target != "workbench":  # `from workbench import __version__`
                broken.append(f"{module} imports {target}")

    assert broken == []


#: room of the ingest → the rooms beside it that it may import
INGEST = {
    "reading": set(),
    "formats": {"reading"},
    "ledger": {"reading"},
    "writing": {"reading", "ledger"},
}


def test_the_rooms_of_the_ingest_are_floors():
    """Readers know of no writer, the writer of no format; the verbs above them know all."""
    base = "workbench.data.ingest."
    broken = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        if (room := module.removeprefix(base).partition(".")[0]) in INGEST and module.startswith(base)
        for target, _ in imports(module, path)
        if target.removeprefix(base).partition(".")[0] in INGEST.keys() - INGEST[room] - {room}
    ]

    assert broken == []


def test_each_heavy_library_has_one_owner():
    """A library is imported in the rooms that own it and nowhere else."""
    broken = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target, typing_only in imports(module, path)
        if not typing_only
        and (owners := OWNERS.get(target.partition(".")[0])) is not None
        and room_of(module) not in owners
    ]

    assert broken == []


def test_no_import_cycles():
    """No module reaches itself through imports, deferred imports counted, type-checking imports not."""
    graph = {
        module: {t for t, typing_only in imports(module, path) if t in MODULES and not typing_only and t != "workbench"}
        for module, path in MODULES.items()
        if module != "workbench"
    }
    # An __init__ that lists its room is reached by its own modules only through the package name; count real edges.
    for module, targets in graph.items():
        targets.discard(module)
    state: dict[str, int] = {}
    cycles: list[str] = []

    def visit(module: str, trail: tuple[str, ...]) -> None:
        state[module] = 1
        for target in sorted(graph.get(module, ())):
            if state.get(target) == 1:
                cycles.append(" → ".join([*trail[trail.index(target) :], target]))
            elif target not in state:
                visit(target, (*trail, target))
        state[module] = 2

    for module in graph:
        if module not in state:
            visit(module, (module,))

    assert cycles == []


@pytest.mark.parametrize("heavy", ["polars", "sqlalchemy", "psycopg", "alembic", "duckdb", "anywidget", "plotly",
                                   "pydantic", "numpy", "IPython", "pyarrow"])  # fmt: skip
def test_import_workbench_is_light(heavy: str, loaded_by_import: set[str]):
    """`import workbench` loads no heavy library."""
    assert heavy not in loaded_by_import


@pytest.fixture(scope="module")
def loaded_by_import() -> set[str]:
    code = "import sys, workbench; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
