"""Find a Chromium for the browser tests, or install one; fails loudly, because tests without a browser prove nothing.

Looked for in this order: ``$WORKBENCH_CHROMIUM``; ``chromium``, ``chromium-browser``, ``google-chrome``,
``google-chrome-stable`` on the path; Playwright's own. Else, as root on Debian or Ubuntu: ``apt-get install chromium``
with fonts; elsewhere ``playwright install chromium``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-liberation", "fonts-noto-color-emoji")


def find() -> str | None:
    """Path of a Chromium on this machine, or None.

    Raises
    ------
    FileNotFoundError
        ``$WORKBENCH_CHROMIUM`` names a file that is not there.
    """
    named = os.environ.get("WORKBENCH_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"WORKBENCH_CHROMIUM is {named!r}, which is no file. Unset it or name a Chromium.")
        return named
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or _of_playwright()


def _of_playwright() -> str | None:
    # In its own process: Playwright's synchronous API leaves an event loop running in the thread that used it.
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    path = ran.stdout.strip()
    return path if ran.returncode == 0 and path and Path(path).is_file() else None


def install() -> None:
    """Install one with the means of this machine."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True, env=quiet)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def main() -> int:
    """Find or install; print the path."""
    path = find()
    if path is None:
        print("No Chromium here; installing one.", file=sys.stderr)
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Installing Chromium failed: {error}", file=sys.stderr)
        path = find()
    if path is None:
        print(
            "There is no Chromium, and the browser tests need one. Install chromium or Google Chrome, "
            "or name one in WORKBENCH_CHROMIUM.",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
