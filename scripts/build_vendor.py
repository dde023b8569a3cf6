"""Rebuild workbench/widgets/static/_vendor/plotly-basic.* from npm.

Run it only to move to another version: change ``VERSION``, run ``python scripts/build_vendor.py``, run the tests,
commit the three files. It needs ``npm``. Nothing is compiled: Plotly publishes the minified bundle; this pins it,
records its hash and gathers the licences of what is inside it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "4.1.1"
PACKAGE = "plotly.js-basic-dist-min"
VENDOR = Path(__file__).parent.parent / "workbench/widgets/static/_vendor"
# What the basic bundle (bar, pie, scatter) contains besides plotly.js itself. The bundle keeps only three of their
# notices.
INSIDE = (
    "@plotly/d3@3.8.2",
    "base64-arraybuffer@1",
    "culori@4",
    "d3-format@1",
    "d3-interpolate@3",
    "d3-color@3",
    "d3-time@1",
    "d3-time-format@2",
    "fast-isnumeric@1",
    "has-hover@1",
    "has-passive-events@1",
    "is-mobile@5",
    "mouse-event-offset@3",
    "native-promise-only@0.8.1",
    "object-assign@4",
    "parse-svg-path@0.2.0",
    "polybooljs@1",
    "world-calendars@1",
)


def fetch(spec: str, folder: Path) -> Path:
    """Download one npm package and unpack it."""
    target = folder / spec.replace("/", "_")
    target.mkdir()
    subprocess.run(["npm", "pack", "--silent", spec], cwd=target, check=True, stdout=subprocess.DEVNULL)
    (archive,) = target.glob("*.tgz")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    return target / "package"


def licence(package: Path) -> str:
    """One section of the licence file: name, version, licence and the text where the package has one."""
    about = json.loads((package / "package.json").read_text())
    texts = [p for p in sorted(package.iterdir()) if p.name.lower().startswith(("license", "licence", "copying"))]
    body = (
        texts[0].read_text()
        if texts
        else f"The package names its licence ({about.get('license')}) and has no text of it."
    )
    head = f"{about['name']} {about['version']} ({about.get('license', 'see text')})"
    return f"{head}\n{'-' * len(head)}\n\n{body.strip()}\n"


def main() -> None:
    """Write the bundle, its licences and what the test checks it against."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = fetch(f"{PACKAGE}@{VERSION}", folder)
        code = (bundle / "plotly-basic.min.js").read_bytes()
        sections = [licence(bundle), *(licence(fetch(spec, folder)) for spec in INSIDE)]
    VENDOR.mkdir(exist_ok=True)
    (VENDOR / "plotly-basic.min.js").write_bytes(code)
    (VENDOR / "plotly-basic.LICENSES.txt").write_text("\n\n".join(sections))
    record = {
        "package": PACKAGE,
        "version": VERSION,
        "sha256": hashlib.sha256(code).hexdigest(),
        "size_bytes": len(code),
    }
    (VENDOR / "plotly-basic.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
