"""What every widget has."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from workbench.widgets import _sources
from workbench.widgets.timeline import Timeline

EMPTY = pl.DataFrame(schema={"event_type": pl.String, "timestamp": pl.Datetime("us", "UTC"), "step_number": pl.Int64})
MODULES = sorted(path.stem for path in _sources.STATIC.glob("*.js"))


@pytest.mark.parametrize("name", MODULES)
def test_modules_join_into_one(name: str) -> None:
    """A joined module has no import left, one default export, and what it uses before what uses it."""
    text = _sources.module(name)

    assert not re.search(r"^import\b", text, re.MULTILINE)
    assert len(re.findall(r"^export\b", text, re.MULTILINE)) == 1
    assert "export default" in text


@pytest.mark.parametrize("name", MODULES)
def test_modules_name_nothing_outside(name: str) -> None:
    """No widget loads anything from elsewhere, and none writes markup."""
    text = _sources.module(name) + _sources.style(name)

    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text


def test_names_that_would_collide_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined files share one scope, so two of one name are an error when joined, not when run."""
    (tmp_path / "_lib").mkdir()
    (tmp_path / "_lib/a.js").write_text("export const one = 1;\n")
    (tmp_path / "w.js").write_text('import { one } from "./_lib/a.js";\nconst two = one;\nexport default {};\n')
    (tmp_path / "v.js").write_text('import { one } from "./_lib/a.js";\nfunction one() {}\nexport default {};\n')
    (tmp_path / "u.js").write_text('import { one as uno } from "./_lib/a.js";\nexport default {};\n')
    monkeypatch.setattr(_sources, "STATIC", tmp_path)

    assert "const one = 1;\n" in _sources.module("w", ())
    with pytest.raises(ValueError, match="both define 'one'"):
        _sources.module("v", ())
    with pytest.raises(ValueError, match=r"renames an import"):
        _sources.module("u", ())


def test_unknown_option_names_the_nearest() -> None:
    """A typing error in a keyword says which one was meant."""
    with pytest.raises(TypeError, match=r"Timeline has no option 'heigth'. Did you mean 'height'\? It has: .*viewport"):
        Timeline(EMPTY, heigth=3)


def test_repr_is_stable() -> None:
    """Two equal widgets have equal reprs: nbval compares them."""
    assert repr(Timeline(EMPTY)) == repr(Timeline(EMPTY)) == "Timeline(events=0)"


def test_static_ids_count_up() -> None:
    """The tie between live and static view is a count, the same in every run of a notebook."""
    first, second = Timeline(EMPTY), Timeline(EMPTY)
    numbers = [int(widget._static_id.rpartition("-")[2]) for widget in (first, second)]

    assert numbers[1] == numbers[0] + 1
    assert f'data-wb-static="{first._static_id}"' in first.still()


def test_page_holds_everything(tmp_path: Path) -> None:
    """A saved page has the static view, the module and the state, and a policy that forbids requests."""
    page = Timeline(EMPTY).to_html(tmp_path / "a.html")

    assert (tmp_path / "a.html").read_text(encoding="utf-8") == page
    assert "no events in this frame" in page
    assert "default-src 'none'" in page
    assert page.count("data-wb-text=") == 2
    assert page.count("data-wb-model>") == 1
