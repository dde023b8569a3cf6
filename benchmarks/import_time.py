"""How long `import workbench` takes, and which heavy libraries are loaded by it and by the first steps after it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks._bench import table

HEAVY = ("numpy", "polars", "pyarrow", "sqlalchemy", "psycopg", "alembic", "pydantic", "duckdb", "anywidget", "plotly",
         "IPython", "pandas", "sklearn")  # fmt: skip
STEPS = {
    "(an empty Python)": "",
    "import workbench": "import workbench",
    "workbench.errors": "import workbench; workbench.errors",
    "workbench.columns": "import workbench; workbench.columns",
    "workbench.connect": "import workbench; workbench.connect",
    "Store, Frames": "import workbench.data.frames.load, workbench.data.store.engine",
    "workbench.Timeline": "import workbench; workbench.Timeline",
    "import polars": "import polars",
    "import pandas": "import pandas",
}
_CHILD = """
import sys, time
start = time.perf_counter()
{step}
spent = time.perf_counter() - start
import json
print(json.dumps([spent * 1000, len(sys.modules), sorted({{m.partition(".")[0] for m in sys.modules}})]))
"""


def run(quick: bool = False) -> None:
    """Print one table; each number is the median of fresh processes."""
    measured: dict[str, list[list]] = {step: [] for step in STEPS}
    for _ in range(2 if quick else 9):
        for name, step in STEPS.items():
            done = subprocess.run(
                [sys.executable, "-c", _CHILD.format(step=step)], capture_output=True, text=True, check=True
            )
            measured[name].append(json.loads(done.stdout))
    lines = [
        (
            name,
            f"{statistics.median(ms for ms, _, _ in found):.0f}",
            str(found[0][1]),
            " ".join(heavy for heavy in HEAVY if heavy in found[0][2]) or "none",
        )
        for name, found in measured.items()
    ]
    table("import time", ("step", "ms", "modules", "heavy libraries loaded"), lines)
