"""The browser half of a widget, joined from plain ES modules: no build step, no relative import left.

anywidget loads one module as a blob, where a relative import cannot resolve. So ``static/timeline.js`` and the files of
``static/_lib/`` it imports (and they import) become one text: no import lines, no ``export`` in the library files.
The very same files run unjoined under ``node --test``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import\s+(?:\{[^}]*\}\s+from\s+)?"(?P<path>\./[^"]+)";?[ \t]*\n', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+(?=(?:async\s+)?(?:function|const|let|class)\b)", re.MULTILINE)
_NAME = re.compile(r"^(?:export\s+)?(?:async\s+)?(?:function\*?|const|let|class)\s+([A-Za-z_$][\w$]*)", re.MULTILINE)


def module(name: str, libs: Iterable[str] = ()) -> str:
    """``static/<name>.js`` with all it imports from ``_lib``, as one ES module.

    Raises
    ------
    ValueError
        Two of the files define the same top-level name, or one renames what it imports.
    """
    return _module(name, tuple(libs))


@cache
def _module(name: str, libs: tuple[str, ...]) -> str:
    main = STATIC / f"{name}.js"
    ordered: list[Path] = []
    for lib in libs:
        _visit(STATIC / "_lib" / f"{lib}.js", ordered)
    _visit(main, ordered)
    owners: dict[str, Path] = {}
    parts = []
    for path in ordered:
        text = path.read_text(encoding="utf-8")
        for found in _NAME.findall(text):
            if owners.setdefault(found, path) != path:
                raise ValueError(
                    f"{path.name} and {owners[found].name} both define {found!r}; joined they would collide."
                )
        for line in _IMPORT.finditer(text):
            if " as " in line[0]:
                raise ValueError(f"{path.name} renames an import ({line[0].strip()}); joined files share one scope.")
        text = _IMPORT.sub("", text).replace("// @ts-check\n", "")
        parts.append(f"// ---- {path.relative_to(STATIC)}\n" + (text if path == main else _EXPORT.sub("", text)))
    return "\n".join(parts)


def _visit(path: Path, ordered: list[Path]) -> None:
    """Depth first, so that what a file uses stands before it."""
    if path in ordered:
        return
    for line in _IMPORT.finditer(path.read_text(encoding="utf-8")):
        _visit((path.parent / line["path"]).resolve(), ordered)
    if path not in ordered:
        ordered.append(path)


@cache
def style(name: str) -> str:
    """``static/_lib/base.css``, the styles beside the library files that the module uses, and ``static/<name>.css``."""
    used: list[Path] = []
    _visit(STATIC / f"{name}.js", used)
    beside = [path.with_suffix(".css") for path in used[:-1] if path.with_suffix(".css").exists()]
    files = [STATIC / "_lib/base.css", *beside, STATIC / f"{name}.css"]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
