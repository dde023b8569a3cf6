"""Reports say of a sum of costs what it leaves out, and what does not come from the source."""

from __future__ import annotations

from pathlib import Path

import workbench


def test_a_report_shows_the_unpriced_share(bench: workbench.Workbench, tmp_path: Path):
    """The heading of all runs says how many have no price and what is worked out; so does that of one run."""
    for model, cost in (("model-a", 0.5), ("claude-sonnet-4-20250514", None), ("model-b", None)):
        with bench.record(agent_type="clerk", task="Cancel W1", model=model) as run:
            run.event("llm_call", model=model, usage={"input_tokens": 1_000_000, "output_tokens": 0}, cost_usd=cost)
    bench.price()
    [priced] = bench.executions(where="cost_source = 'prices'")["id"]

    cohort = bench.report(output=tmp_path / "all.html").read_text()
    single = bench.report(priced, output=tmp_path / "one.html").read_text()

    assert "$3.5000, $3.0000 of it by a table of prices, 1 runs (33.3%) unpriced" in cohort
    assert ">unpriced<" in cohort
    assert "$3.0000, by a table of prices" in single
