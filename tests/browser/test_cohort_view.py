"""CohortView in a real browser: what is seen, what the keys and the mouse do, what the kernel hears."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import polars as pl
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import drag
from tests.browser.waiting import count_events, eventually, frames, steady_box
from tests.replay.courses import events, outcomes
from tests.widgets.replays import refunds
from workbench.replay.cohort import Cohort, cohort
from workbench.widgets.cohort_view import CohortView

ASK = ["user:cancel my order please", "find_user?name=ann", "find_user=u1", "get_order?order=W1", "get_order=pending"]
END = ["assistant:your order is cancelled", "user:thanks"]


def run(rnd: random.Random, *, is_wrong: bool) -> list[str]:
    """A run that asks, decides and acts; a wrong one refunds without having checked the policy."""
    words = list(ASK)
    if rnd.random() < 0.3:
        words[3:3] = ["search?q=orders", f"search={rnd.choice(['one', 'two'])}"]
    if rnd.random() < 0.05:
        words[1:1] = ["think?about=it", "think=done"]
    if is_wrong:
        words += ["refund?order=W1", "refund!refused"]
    else:
        words += ["check_policy?kind=cancel", "check_policy=allowed", "cancel?order=W1", "cancel=cancelled"]
    if rnd.random() < 0.4:
        words += ["notify?user=u1", "notify=sent"]
    return words + END


def small(n: int = 40) -> Cohort:
    """Runs of which those that refund mostly fail."""
    rnd = random.Random(4)
    wrong = [k % 2 == 0 for k in range(n)]
    failed = [rnd.random() < (0.9 if is_wrong else 0.1) for is_wrong in wrong]
    words = ["failed" if is_failed else "good" for is_failed in failed]
    runs = [run(rnd, is_wrong=is_wrong) for is_wrong in wrong]
    return cohort(events(*runs), outcomes(*words), task="Cancel the order W1")


def test_screenshots(mount: Any, shot: Callable[[Any, str], None]) -> None:
    """The graph draws in both themes and in every width without a console error."""
    for theme in ("light", "dark"):
        for width in (420, 800, 1240):
            page = mount(CohortView(small()), theme=theme, width=width)
            expect(page.locator(".wb-co-node").first).to_be_visible()
            shot(page.locator("#cell"), f"cohort-{theme}-{width}")


def view(**options: Any) -> CohortView:
    return CohortView(small(), **options)


def node(page: Page, label: str) -> Locator:
    """The step whose label begins so."""
    return page.locator(".wb-co-node", has=page.locator(".wb-co-name", has_text=label)).first


def stage(page: Page) -> Locator:
    return page.locator(".wb-co-stage")


def runs(page: Page) -> Locator:
    return page.locator(".wb-co-run")


def click_bar(page: Page, label: str) -> None:
    """Click the bar of a step."""
    box = steady_box(node(page, label).locator(".wb-co-bar-mark"))
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def key(page: Page, *names: str) -> None:
    stage(page).focus()
    for name in names:
        page.keyboard.press(name)


def id_of(label: str) -> int:
    return small().nodes.filter(pl.col("label").str.starts_with(label))["node"][0]


def test_the_sentence_and_the_divergence(mount: Any) -> None:
    """The sentence stands on top; its button selects the divergence, brings its step into view and lists its runs."""
    page = mount(view())
    made = small()
    assert made.divergence is not None
    expect(page.locator(".wb-co-sentence")).to_have_text(made.summary)
    key(page, "End")
    expect(node(page, "check_policy(")).to_have_count(0)
    page.get_by_role("button", name="Show where").click()

    expect(node(page, "check_policy(")).to_be_in_viewport()
    expect(node(page, "check_policy(")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".wb-co-rank").first).to_have_attribute("aria-selected", "true")
    expect(runs(page)).to_have_count(len(made.divergence["runs"]))
    eventually(page, lambda: mount.widget.rank, 1)
    assert mount.widget.node == made.divergence["node"]
    assert sorted(mount.widget.selected["execution_id"]) == sorted(made.divergence["runs"])


def test_click_a_step_and_tick_runs(mount: Any) -> None:
    """A click on a bar lists the runs there with their steps; ticking some narrows selection and code."""
    page = mount(view())
    click_bar(page, "refund(")
    expect(runs(page)).to_have_count(20)
    expect(runs(page).first).to_contain_text("✕ failed")
    eventually(page, lambda: mount.widget.node, id_of("refund("))
    assert mount.widget.selected.height == 20
    second = runs(page).nth(1).get_attribute("data-run")
    runs(page).nth(1).click()

    expect(runs(page).nth(1)).to_have_attribute("aria-selected", "true")
    eventually(page, lambda: mount.widget.picked, [second])
    assert mount.widget.selected["execution_id"].to_list() == [second]
    expect(page.locator(".wb-co-code")).to_have_text(mount.widget.code)
    step = mount.widget.selected["step_number"][0]
    expect(runs(page).nth(1)).to_have_attribute("title", f'bench.replay("{second}").seek({step})')
    page.get_by_role("button", name="Tick failed").click()
    eventually(page, lambda: len(mount.widget.picked), 17)
    page.get_by_role("button", name="Untick").click()
    eventually(page, lambda: mount.widget.picked, [])
    page.get_by_role("button", name="Close the list").click()
    expect(page.locator(".wb-co-runs")).to_be_hidden()
    eventually(page, lambda: mount.widget.selected.is_empty())


def test_labels_are_clicked_too(mount: Any) -> None:
    """The words of a step select it as its bar does."""
    page = mount(view())
    box = steady_box(node(page, "refund(").locator(".wb-co-name"))
    page.mouse.click(box["x"] + 12, box["y"] + 6)

    eventually(page, lambda: mount.widget.node, id_of("refund("))


def test_card(mount: Any) -> None:
    """A step under the pointer or the keys shows support, rates, interval and divergence; a flow its runs."""
    page = mount(view())
    card = page.locator(".wb-co-card")
    bar = steady_box(node(page, "check_policy(").locator(".wb-co-bar-mark"))
    page.mouse.move(bar["x"] + 5, bar["y"] + 10)
    for words in (
        "20 runs of 40 come here: 18 good, 2 failed",
        "with it 2 of 20 fail (10 %); without 17 of 20 fail (85 %)",
        "−75 points (95 % interval −87 to −46)",
        "decision: “refund(order=W1)”, not “check_policy(kind=cancel)”",
        "p = 0.001",
    ):
        expect(card).to_contain_text(words)
    after = steady_box(node(page, "check_policy →").locator(".wb-co-bar-mark"))
    page.mouse.move((bar["x"] + after["x"]) / 2, bar["y"] + 15)
    expect(card).to_contain_text("18 good")
    expect(card).to_contain_text("→")
    page.mouse.move(5, 5)
    expect(card).to_be_hidden()
    key(page, "d", "ArrowRight")

    expect(card).to_contain_text("check_policy → allowed")
    expect(card).to_contain_text("around step")


def test_keys(mount: Any) -> None:
    """Everything is done by keys: walk, select, go through the divergences, filter, unfold, let go."""
    page = mount(view())
    key(page, "Home", "ArrowRight")
    expect(page.locator(".wb-co-cursor")).to_contain_text("user: cancel")
    active = stage(page).get_attribute("aria-activedescendant")
    assert page.locator(".wb-co-cursor").get_attribute("id") == active
    page.keyboard.press("Enter")
    eventually(page, lambda: mount.widget.node, id_of("user: cancel"))
    expect(runs(page)).to_have_count(40)
    page.keyboard.press("n")
    eventually(page, lambda: mount.widget.rank, 1)
    page.keyboard.press("n")
    eventually(page, lambda: mount.widget.rank, 2)
    page.keyboard.press("p")
    eventually(page, lambda: mount.widget.rank, 1)
    expect(page.locator(".wb-sr[role=status]")).to_contain_text("Divergence 1: “refund(order=W1)”, not")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".wb-co-cursor")).to_contain_text("refund(")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".wb-co-cursor")).to_contain_text("check_policy(")
    page.keyboard.press("o")
    eventually(page, lambda: mount.widget.outcome, "good")
    page.keyboard.press("r")
    eventually(page, lambda: mount.widget.min_runs, 1)
    page.keyboard.press("Escape")
    eventually(page, lambda: (mount.widget.node, mount.widget.rank), (None, None))
    page.keyboard.press("f")
    expect(page.locator(".wb-co-map")).to_be_hidden()
    expect(page.locator(".wb-co-end")).to_have_count(2)


def test_lists_by_keys(mount: Any) -> None:
    """The ranking and the list of runs are walked and ticked by keys; Escape closes the list."""
    page = mount(view())
    page.locator(".wb-co-ranks").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: mount.widget.rank, 2)
    page.keyboard.press("ArrowUp")
    eventually(page, lambda: mount.widget.rank, 1)
    expect(runs(page)).to_have_count(20)
    page.get_by_role("listbox", name="Runs at this step").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    third = runs(page).nth(1).get_attribute("data-run")
    eventually(page, lambda: mount.widget.picked, [third])
    page.keyboard.press("Escape")

    expect(page.locator(".wb-co-runs")).to_be_hidden()
    expect(stage(page)).to_be_focused()


def test_outcome_filter(mount: Any) -> None:
    """Only failed runs are listed and selected, and the others' colour leaves the drawing."""
    page = mount(view(node=id_of("refund(")))
    expect(runs(page)).to_have_count(20)
    before = colors(page)
    page.get_by_role("radio", name="Failed").click()
    expect(page.get_by_role("radio", name="Failed")).to_have_attribute("aria-checked", "true")
    expect(runs(page)).to_have_count(17)
    eventually(page, lambda: mount.widget.outcome, "failed")
    assert set(mount.widget.selected["outcome"]) == {"failed"}
    page.keyboard.press("ArrowLeft")
    eventually(page, lambda: mount.widget.outcome, "good")

    expect(runs(page)).to_have_count(3)
    mount.widget.outcome = "failed"
    mount.flush()
    eventually(page, lambda: colors(page)["blue"] < before["blue"] / 3 and colors(page)["orange"] > 0)


def colors(page: Page) -> dict[str, int]:
    """Pixels of the canvas that are clearly blue or orange."""
    return page.evaluate(
        """() => { const c = document.querySelector(".wb-co-canvas");
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        const found = { blue: 0, orange: 0 };
        for (let k = 0; k < d.length; k += 4) {
          if (d[k + 3] < 60) continue;
          if (d[k + 2] > d[k] + 60) found.blue++;
          else if (d[k] > d[k + 2] + 60) found.orange++;
        }
        return found; }"""
    )


def test_rare_steps_unfold(mount: Any) -> None:
    """Rare steps are folded and counted; a button shows them, and the list of thresholds folds more."""
    page = mount(view(min_runs=10))
    expect(page.locator(".wb-co-folded")).to_contain_text("Rare ones are folded:")
    key(page, "f")
    before = page.locator(".wb-co-node").count()
    page.get_by_role("button", name="show them").click()
    eventually(page, lambda: mount.widget.min_runs, 1)
    expect(page.locator(".wb-co-folded")).to_be_empty()
    key(page, "f")
    eventually(page, lambda: page.locator(".wb-co-node").count() > before)
    page.get_by_label("Fold rare steps").select_option("10")

    eventually(page, lambda: mount.widget.min_runs, 10)


def test_a_folded_step_unfolds_when_it_is_asked_for(mount: Any) -> None:
    """A step set in Python that is folded away is unfolded and shown."""
    made = small()
    rare = made.nodes.filter(pl.col("n_runs") < 10, ~pl.col("node").is_in(made.divergences["node"].head(5).to_list()))
    page = mount(view(min_runs=10))
    expect(page.locator(".wb-co-node").first).to_be_visible()
    mount.widget.node = rare["node"][0]
    mount.flush()

    expect(page.locator(f'.wb-co-node[data-node="{rare["node"][0]}"]')).to_have_attribute("aria-selected", "true")
    eventually(page, lambda: mount.widget.min_runs, lambda least: least < 10)


def left_of(page: Page, label: str) -> float:
    return node(page, label).evaluate("el => el.getBoundingClientRect().left")


def test_zoom_and_pan(mount: Any) -> None:
    """A drag pans and does not select; wheel and buttons zoom; the map moves the view; the page keeps its wheel."""
    page = mount(view())
    before = left_of(page, "refund(")
    # The bar goes with the pointer: let go over it, a click would select it.
    bar = steady_box(node(page, "refund(").locator(".wb-co-bar-mark"))
    page.mouse.move(bar["x"] + 5, bar["y"] + 20)
    page.mouse.down()
    page.mouse.move(bar["x"] - 75, bar["y"] + 20, steps=4)
    page.mouse.up()
    eventually(page, lambda: left_of(page, "refund(") < before - 40)
    frames(page)
    assert mount.widget.node is None
    spread = left_of(page, "refund ✗") - left_of(page, "refund(")
    box = steady_box(stage(page))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.wheel(0, -300)
    eventually(page, lambda: left_of(page, "refund ✗") - left_of(page, "refund(") > spread * 1.2)
    page.get_by_role("button", name="Show the whole graph").click()
    expect(page.locator(".wb-co-map")).to_be_hidden()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".wb-co-map")).to_be_visible()
    drag(page, page.locator(".wb-co-map"), 0.5, 0.5, 0.02, 0.5)

    expect(page.locator('.wb-co-node[data-node="start"]')).to_be_visible()


def test_wheel_without_focus_scrolls_the_page(mount: Any) -> None:
    """A wheel over a graph that was not clicked leaves it as it is."""
    page = mount(view())
    expect(page.locator(".wb-co-node").first).to_be_visible()
    before = left_of(page, "refund(")
    box = steady_box(stage(page))
    handled = count_events(page, "wheel")
    page.mouse.move(box["x"] + 50, box["y"] + 20)
    page.mouse.wheel(0, -300)
    handled("wheel")
    frames(page)

    assert left_of(page, "refund(") == before


def test_narrow_runs_down(mount: Any) -> None:
    """In a narrow cell the graph runs from top to bottom, nothing hangs out of it, and keys and clicks follow."""
    page = mount(view(), width=420)
    expect(node(page, "check_policy(")).to_be_visible()
    tops = [steady_box(node(page, label))["y"] for label in ("check_policy(", "check_policy →", "cancel(")]
    assert tops == sorted(tops)
    assert page.evaluate("document.querySelector('.wb-cohort-view').scrollWidth") <= 420
    click_bar(page, "refund(")
    eventually(page, lambda: mount.widget.node, id_of("refund("))
    page.keyboard.press("ArrowDown")

    expect(page.locator(".wb-co-cursor")).to_contain_text("refund ✗")


def test_many_runs_are_paged_from_the_kernel(mount: Any) -> None:
    """Of 500 runs at a step the first 200 are listed; the rest and what was not sent come from the kernel."""
    page = mount(CohortView(small(500)))
    key(page, "Home", "ArrowRight", "Enter")
    expect(runs(page)).to_have_count(200)
    assert "runs" not in [m.get("verb") for m in page.evaluate("model.sent")]
    page.get_by_role("button", name="show more (200 of 500)").click()
    expect(runs(page)).to_have_count(400)
    page.get_by_role("radio", name="Good").click()

    expect(runs(page).first).to_contain_text("✓ good")
    assert "runs" in [m.get("verb") for m in page.evaluate("model.sent")]


def test_large_cohort(mount: Any) -> None:
    """300 steps and thousands of flows: few elements are in the page however it is zoomed, and keys still answer."""
    rnd = random.Random(2)
    words = [[f"tool{k % 9}?at={k}" for k in range(300) if rnd.random() < 0.8] for _ in range(60)]
    page = mount(CohortView(cohort(events(*words), outcomes(*["good", "failed"] * 30)), min_runs=1))
    expect(page.locator(".wb-co-node").first).to_be_visible()
    key(page, "f", "End")
    expect(page.locator(".wb-co-cursor")).to_contain_text("end")

    assert page.locator(".wb-co-node").count() <= 302
    key(page, "Home", "+", "+", "+", "+")
    eventually(page, lambda: page.locator(".wb-co-node").count() < 80)


HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>\x1b[31mred\x1b[0m\u202egpj'


def test_hostile_text(mount: Any) -> None:
    """Markup and terminal codes in labels, tasks and words stay text, in the graph, cards, ranking and list."""
    words = [
        [f"user:{HOSTILE}", f"tool?x={HOSTILE.replace('=', '').replace(',', '')}"],
        [f"user:{HOSTILE}", "other?x=1"],
    ]
    page = mount(CohortView(cohort(events(*words * 6), outcomes(*["good", "failed"] * 6), task=HOSTILE)))
    expect(page.locator(".wb-co-node").first).to_be_visible()
    key(page, "d", "Home", "ArrowRight", "Enter")
    expect(runs(page).first).to_be_visible()
    expect(page.locator(".wb-co-card, .wb-co-runs").first).to_contain_text("<b>bold</b>")
    page.locator(".wb-co-rank").first.click()
    frames(page)

    assert page.evaluate("window.hacked") is None
    expect(page.locator(".wb img, .wb b")).to_have_count(0)
    assert not re.search("[\x1b\u202e]", page.locator(".wb-cohort-view").inner_text())


def stands(widget: CohortView) -> tuple[str, int] | None:
    """Run and step of the player below."""
    return None if widget.opened is None else (widget.opened.replay.id, widget.opened.step_number)


def test_a_run_opens_in_a_player_at_the_step(bench: Any, mount: Any) -> None:
    """A click on a run replays it at the step that was selected; its other steps there, and other runs, in turn."""
    made = refunds(bench)
    page = mount(CohortView(made, node=made.nodes.filter(pl.col("label").str.starts_with("refund("))["node"][0]))
    shown = mount.widget
    expect(runs(page)).to_have_count(4)
    first, second = (runs(page).nth(k).get_attribute("data-run") for k in (0, 1))
    runs(page).nth(0).locator(".wb-co-outcome").click()
    eventually(page, lambda: stands(shown), (first, 1))
    player = shown.opened
    expect(page.locator(".wb-co-opened-title")).to_contain_text("opened at step 1")
    expect(runs(page).nth(0)).to_have_attribute("aria-current", "true")
    runs(page).nth(0).locator('[data-step="3"]').click()
    eventually(page, lambda: stands(shown), (first, 3))
    assert player.replay.state["done"] == ["refund"]
    runs(page).nth(1).locator(".wb-co-label").click()
    eventually(page, lambda: stands(shown), (second, 1))

    assert shown.opened is player
    expect(runs(page).locator("[aria-current]")).to_have_count(0)
    assert shown.picked == []
    runs(page).nth(1).locator(".wb-co-tick").click()
    eventually(page, lambda: shown.picked, [second])
    page.get_by_role("button", name="Close the opened run").click()
    expect(page.locator(".wb-co-opened")).to_be_hidden()


def test_runs_open_by_keys(bench: Any, mount: Any) -> None:
    """Enter replays the run under the cursor, once more its next step there; Space ticks it."""
    page = mount(CohortView(refunds(bench)))
    shown = mount.widget
    key(page, "d")
    page.get_by_role("listbox", name="Runs at this step").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    run = runs(page).nth(1).get_attribute("data-run")
    eventually(page, lambda: stands(shown), lambda found: found is not None and found[0] == run)
    expect(page.locator(".wb-sr[role=status]")).to_contain_text(f"Opened run {run} at step")
    expect(page.get_by_role("listbox", name="Runs at this step")).to_be_focused()
    page.keyboard.press(" ")
    eventually(page, lambda: shown.picked, [run])
    steps = runs(page).nth(1).locator("[data-step]").all_inner_texts()
    for step in [*steps[1:], steps[0]]:
        page.keyboard.press("Enter")
        eventually(page, lambda: stands(shown), (run, int(step)))


def test_a_run_that_cannot_be_opened(bench: Any, mount: Any) -> None:
    """What the opening raises stands below the list; another run opens all the same."""
    opened: list[tuple[str, int | None]] = []

    def fail_once(run: str, step: int | None) -> None:
        opened.append((run, step))
        if len(opened) == 1:
            raise LookupError("this run is gone")

    page = mount(CohortView(refunds(bench), on_open=fail_once, rank=1))
    runs(page).nth(0).click()
    expect(page.locator(".wb-co-opened-note")).to_have_text(re.compile("cannot be opened: .*this run is gone"))
    runs(page).nth(1).click()

    eventually(page, lambda: len(opened), 2)
    expect(page.locator(".wb-co-opened-note")).to_be_empty()
    assert mount.widget.opened is None


def test_without_kernel(mount: Any) -> None:
    """What was sent is listed without a kernel; what was not says why; a host that refuses to send is told once."""
    page = mount(CohortView(small(500)))
    page.evaluate("() => { model.send = () => { throw new Error('Cannot send') } }")
    key(page, "d")
    expect(runs(page).first).to_be_visible()
    page.get_by_role("button", name=re.compile("show more")).click()

    expect(page.locator(".wb-gone")).to_have_count(1)
    expect(page.locator(".wb-co-none")).to_contain_text("These runs cannot be listed: The kernel was restarted")
    key(page, "ArrowRight")
    expect(page.locator(".wb-co-card")).to_be_visible()


def test_one_outcome_and_nothing(mount: Any) -> None:
    """A cohort of good runs only is drawn and says that nothing tells them apart; one without steps says what to do."""
    good = [run(random.Random(k), is_wrong=False) for k in range(3)]
    page = mount(CohortView(cohort(events(*good), outcomes("good", "good", "good"))))
    expect(page.locator(".wb-co-sentence")).to_contain_text("nothing to tell them apart")
    expect(page.get_by_role("button", name="Show where")).to_have_count(0)
    expect(page.locator(".wb-co-node").first).to_be_visible()
    page = mount(CohortView(cohort(events([], []), outcomes("good", "failed"))))

    expect(page.locator(".wb-empty")).to_contain_text("No steps to align")


def test_unmount_leaves_nothing(mount: Any) -> None:
    """Closing the view removes it and its listeners."""
    page = mount(view())
    page.evaluate("unmount()")

    expect(page.locator(".wb-cohort-view")).to_have_count(0)
    assert page.evaluate("model.set('outcome', 'good') ?? 1") == 1


def test_saved_page(offline_page: Page, tmp_path: Any) -> None:
    """A page written by to_html is alive without kernel and network: the divergence, its runs, filter and zoom work."""
    path = tmp_path / "cohort.html"
    view().to_html(path)
    offline_page.goto(path.as_uri())
    page = offline_page
    page.get_by_role("button", name="Show where").click()
    expect(runs(page)).to_have_count(20)
    page.get_by_role("radio", name="Good").click()
    expect(runs(page)).to_have_count(3)
    key(page, "+", "f", "r")

    expect(page.locator(".wb-co-node").first).to_be_visible()
    expect(page.locator(".wb-static")).to_be_hidden()


def test_in_jupyterlab(notebook: Any, shot: Callable[[Any, str], None]) -> None:
    """In a notebook: click, drag, keys and ticks; the kernel has the runs with their steps and the code."""
    notebook.open(
        "from browser.test_cohort_view import small\nimport polars as pl, workbench as wb\n"
        "cohort = small()\nview = wb.CohortView(cohort)\nview",
    ).run_all()
    page = notebook.page
    root = page.locator(".wb-cohort-view")
    expect(node(page, "refund(")).to_be_visible()
    drag(page, stage(page), 0.5, 0.95, 0.55, 0.95)
    click_bar(page, "refund(")
    notebook.wait_kernel("view.selected.height", 20)
    runs(page).nth(2).click()
    notebook.wait_kernel("len(view.picked)", 1)
    assert notebook.kernel("view.selected.rows() == eval(view.code).rows()") is True
    assert notebook.kernel("view.selected.columns") == ["execution_id", "step_number", "outcome"]
    key(page, "d")
    notebook.wait_kernel("view.rank", 1)
    notebook.wait_kernel("view.picked", [])
    notebook.wait_kernel("view.selected.height", 20)
    notebook.keeps_letters(stage(page))
    page.get_by_role("listbox", name="Runs at this step").focus()
    page.keyboard.press("Enter")
    notebook.wait_kernel("len(view.picked)", 1)
    expect(page.locator(".jp-Cell")).to_have_count(1)
    expect(page.locator(".wb-static").first).to_be_hidden()
    for theme in ("dark", "light"):
        notebook.theme(theme)
        eventually(page, lambda: min(colors(page).values()) > 500)
        shot(root, f"cohort-lab-{theme}")
    notebook.narrow(420)
    expect(root).to_have_class(re.compile("wb-co-down"))
    shot(root, "cohort-lab-narrow")


def test_from_the_graph_into_the_player_in_jupyterlab(bench: Any, notebook: Any, shot: Callable) -> None:
    """A click on a run draws the player below the graph; it plays, and the next click moves it to another run."""
    made = refunds(bench)
    notebook.open(
        f"import workbench as wb\nbench = wb.connect({bench.store.url!r})\n"
        f"view = wb.CohortView(bench.cohort(task={made.task!r}))\nview",
    ).run_all()
    page = notebook.page
    player = page.locator(".wb-cohort-view .wb-replay-player[data-painted]")
    key(page, "d")
    runs(page).nth(0).locator(".wb-co-outcome").click()
    expect(player).to_be_in_viewport()
    first, second = (runs(page).nth(k).get_attribute("data-run") for k in (0, 1))
    notebook.wait_kernel("view.opened.replay.id", first)
    at = notebook.kernel("view.opened.position")
    expect(player).to_have_attribute("data-shown", str(at))
    player.locator('[data-do="on"]').click()
    notebook.wait_kernel("view.opened.position", at + 1)
    runs(page).nth(1).locator(".wb-co-outcome").click()
    notebook.wait_kernel("view.opened.replay.id", second)
    expect(player).to_have_attribute("data-shown", str(at))
    expect(player).to_have_count(1)
    for theme in ("dark", "light"):
        notebook.theme(theme)
        expect(player).to_have_class(re.compile("wb-dark" if theme == "dark" else "wb"))
        shot(page.locator(".wb-cohort-view"), f"cohort-opened-{theme}")
    notebook.narrow(420)
    expect(page.locator(".wb-cohort-view")).to_have_class(re.compile("wb-co-down"))
    shot(page.locator(".wb-cohort-view"), "cohort-opened-narrow")
