"""Reports show what people and agents noted on the steps of a run."""

from __future__ import annotations

from pathlib import Path

import workbench
from tests.widgets.replays import shop


def test_a_report_shows_notes_pins_and_checkpoints(bench: workbench.Workbench, tmp_path: Path):
    """Each with its step, its words and who wrote it, as text; a run without any says so."""
    run = shop(bench, 6)
    bench.note(run, 2, text="why <b>this</b> lamp?", author="ana")
    bench.note(run, 4, kind="pin")
    bench.note(run, 5, kind="checkpoint", text="before paying")

    noted = bench.report(run, output=tmp_path / "noted.html").read_text()
    plain = bench.report(shop(bench, 3, name="other"), output=tmp_path / "plain.html").read_text()

    for said in ("why &lt;b&gt;this&lt;/b&gt; lamp?", ">ana<", ">pin<", "before paying"):
        assert said in noted
    assert "<b>this</b>" not in noted
    assert "Nobody has noted anything on the steps of this run." in plain
