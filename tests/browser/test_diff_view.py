"""DiffView in a real browser: what is seen, what the keys and the mouse do, what the kernel hears."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
from playwright.sync_api import Locator, Page, expect

from tests.browser.waiting import eventually, frames
from workbench.replay.compare import Diff, compare
from workbench.widgets.diff_view import DiffView

Row = tuple[str, str | None, dict[str, Any]]


def says(role: str, text: str) -> Row:
    return "message", role, {"role": role, "text": text}


def calls(tool: str, **arguments: Any) -> Row:
    return "tool_call", tool, {"role": "assistant", "tool": {"name": tool, "call_id": "c", "arguments": arguments}}


def answers(tool: str, result: Any) -> Row:
    return "tool_result", tool, {"role": "tool", "tool": {"name": tool, "call_id": "c", "result": result}}


def diff_of(a: Sequence[Row], b: Sequence[Row]) -> Diff:
    def frame(rows: Sequence[Row]) -> pl.DataFrame:
        return pl.DataFrame(
            [(i, kind, name, json.dumps(data)) for i, (kind, name, data) in enumerate(rows)],
            schema={"step_number": pl.Int64, "event_type": pl.String, "name": pl.String, "data": pl.String},
            orient="row",
        )

    return compare(frame(a), frame(b))


FLIGHT = {"flight": "HAT083", "from": "JFK", "to": "SEA", "price": 87, "seats": {"economy": 12, "business": 2}}
GOOD = [
    says("user", "Hello, I want to change the flight of my reservation 4WQ150 to the next day."),
    says("assistant", "I can help with that. What is your user id?"),
    says("user", "It is chen_jackson_3290."),
    calls("get_user_details", user_id="chen_jackson_3290"),
    answers("get_user_details", {"name": "Chen Jackson", "reservations": ["4WQ150", "CHK2LP"], "membership": "gold"}),
    calls("get_reservation_details", reservation_id="4WQ150"),
    answers("get_reservation_details", {"id": "4WQ150", "cabin": "business", "flights": [FLIGHT], "insurance": "no"}),
    says("assistant", "I found your reservation. Shall I look for flights on May 23?"),
    says("user", "Yes, please. The same route."),
    calls("search_direct_flight", origin="JFK", destination="SEA", date="2024-05-23"),
    answers("search_direct_flight", [FLIGHT, {**FLIGHT, "flight": "HAT021", "price": 101}]),
    says("assistant", "There are two flights: HAT083 at 87 USD and HAT021 at 101 USD. Which one do you want?"),
    says("user", "The cheaper one."),
    calls("calculate", expression="2 * 87"),
    answers("calculate", "174"),
    calls(
        "update_reservation_flights", reservation_id="4WQ150", cabin="business", flights=["HAT083"], payment="card_1"
    ),
    answers("update_reservation_flights", {"id": "4WQ150", "status": "changed", "total": 174}),
    says("assistant", "Done: you fly with HAT083 on May 23. Anything else?"),
    says("user", "No, thank you. ###STOP###"),
]
BAD = [
    *GOOD[:2],
    says("user", "Sure. My user id is chen_jackson_3290."),
    *GOOD[3:9],
    calls("search_direct_flight", origin="JFK", destination="SEA", date="2024-05-24"),
    answers("search_direct_flight", [{**FLIGHT, "flight": "HAT110", "price": 150}]),
    says("assistant", "There is one flight: HAT110 at 150 USD. Do you want it?"),
    says("user", "Fine, take it."),
    calls("think", thought="Business cabin, so the policy allows the change."),
    calls("update_reservation_flights", reservation_id="4WQ150", cabin="economy", flights=["HAT110"], payment="card_1"),
    answers("update_reservation_flights", {"id": "4WQ150", "status": "changed", "total": 300}),
    says("assistant", "Done: you fly with HAT110 on May 24. Anything else?"),
    says("user", "No, thank you. ###STOP###"),
]

STATE_A = {
    "plan": ["look up the user", "find the flight", "book"],
    "budget": {"limit": 500, "spent": 87.5, "currency": "USD"},
    "notes": "The user prefers a window seat and wants to leave in the morning if that is possible at all.",
    "seen": {f"page_{k}": {"url": f"https://example.org/{k}", "ok": True} for k in range(12)},
    "old": {"draft": True},
}
STATE_B = {
    "plan": ["look up the user", "ask for the date", "find the flight", "book"],
    "budget": {"limit": 500, "spent": 174, "currency": "USD"},
    "notes": "The user prefers an aisle seat and wants to leave in the evening if that is possible at all.",
    "seen": {f"page_{k}": {"url": f"https://example.org/{k}", "ok": k != 7} for k in range(12)},
    "error": None,
}


def view() -> DiffView:
    return DiffView(diff_of(GOOD, BAD))


def rows(page: Page) -> Locator:
    return page.locator(".wb-dv-row")


def row(page: Page, number: int | str) -> Locator:
    return page.locator(f'.wb-dv-row[data-row="{number}"]')


def test_screenshots(mount: Any, shot: Callable[[Any, str], None]) -> None:
    """Both modes draw in both themes and in every width without a console error."""
    for theme in ("light", "dark"):
        for width in (420, 800, 1240):
            page = mount(view(), theme=theme, width=width)
            expect(row(page, 9)).to_be_visible()
            shot(page.locator("#cell"), f"diff-runs-{theme}-{width}")
            page = mount(DiffView(STATE_A, STATE_B), theme=theme, width=width)
            expect(page.locator(".wb-dv-row").first).to_be_visible()
            shot(page.locator("#cell"), f"diff-states-{theme}-{width}")


FULL = """root => {
  const box = root.querySelector(".wb-dv-grid").getBoundingClientRect();
  return [0.1, 0.3, 0.5, 0.7, 0.9].every(share => {
    const at = document.elementFromPoint(box.left + 200, box.top + box.height * share);
    return at?.closest(".wb-dv-row, .wb-dv-fold");
  });
}"""


def test_the_list_is_full_after_it_was_hidden(mount: Any) -> None:
    """A host may hide an output for a moment; what happens meanwhile leaves no hole in the list."""
    page = mount(view(), width=1100)
    root, grid = page.locator(".wb-diff-view"), page.locator(".wb-dv-grid")
    page.get_by_role("button", name="Unfold all").click()
    grid.focus()
    page.keyboard.press("End")
    eventually(page, lambda: root.evaluate(FULL), True)

    page.evaluate("document.querySelector('#cell').style.display = 'none'")
    grid.evaluate("grid => grid.dispatchEvent(new Event('scroll'))")
    frames(page)
    page.evaluate("document.querySelector('#cell').style.display = ''")

    eventually(page, lambda: root.evaluate(FULL), True)


def test_parts_stand_inside_what_holds_them(mount: Any) -> None:
    """What lies deeper in a state is indented, in a narrow cell too."""
    for width in (420, 1240):
        page = mount(DiffView(STATE_A, STATE_B), width=width)
        lefts = [
            page.locator(".wb-dv-row .wb-dv-cell-a .wb-dv-label", has_text=text).first.evaluate(
                """label => { const all = document.createRange(); all.selectNodeContents(label);
                return all.getBoundingClientRect().left }"""
            )
            for text in ("object of 5", "budget: object of 3", "spent: 87.5")
        ]
        assert lefts[0] + 8 < lefts[1] < lefts[2] - 8


def test_first_divergence_is_on_top_and_open(mount: Any) -> None:
    """The sentence stands on top; the list shows that step, opened, with the words that differ marked."""
    page = mount(view())
    expect(page.locator(".wb-dv-sentence")).to_have_text(
        'Diverges at step 9: search_direct_flight(date) differs: "2024-05-23" in A, "2024-05-24" in B.'
    )
    first = row(page, 9)

    expect(first).to_have_class(re.compile("wb-dv-first"))
    expect(first).to_have_attribute("aria-expanded", "true")
    expect(first.locator(".wb-dv-pane-a mark")).to_have_text(["23"])
    expect(first.locator(".wb-dv-pane-b mark")).to_have_text(["24"])


def test_signs_beside_colours(mount: Any) -> None:
    """Changed, added, removed and equal rows differ by sign and word, not by colour alone."""
    page = mount(view())
    for number, sign in {8: "=", 9: "≠", 13: "≠", 14: "−", 18: "="}.items():
        expect(row(page, number).locator(".wb-dv-gutter .wb-dv-sign")).to_have_text(sign)
    for number, words in {9: "arguments", 13: "tool", 14: "only in A"}.items():
        expect(row(page, number).locator(".wb-dv-gutter .wb-dv-what")).to_have_text(words)
    added = mount(DiffView({}, {"a": 1})).locator(".wb-dv-row.wb-dv-added .wb-dv-gutter")

    expect(added.locator(".wb-dv-sign")).to_have_text("+")
    expect(added.locator(".wb-dv-what")).to_have_text("added")


def test_folds_open(mount: Any) -> None:
    """A fold says how much it hides, and opens by click and by key."""
    page = mount(view())
    fold = page.locator(".wb-dv-fold")
    expect(fold).to_have_text("⋯ 7 equal steps, 1 hidden difference")
    fold.click()

    expect(fold).to_have_count(0)
    expect(row(page, 0)).to_be_visible()
    page.get_by_role("button", name="Fold equal").or_(page.get_by_role("button", name="Unfold all")).click()
    expect(page.locator(".wb-dv-fold")).to_have_count(1)
    page.locator(".wb-dv-grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator(".wb-dv-fold")).to_have_count(0)


def test_keys(mount: Any) -> None:
    """The keys n and p go to the next and the previous difference and select it; Enter opens and closes."""
    page = mount(view())
    grid = page.locator(".wb-dv-grid")
    expect(row(page, 9)).to_be_visible()
    grid.focus()
    page.keyboard.press("n")
    expect(row(page, 10)).to_have_attribute("aria-selected", "true")
    eventually(page, lambda: mount.widget.position, 10)
    assert mount.widget.selected["what"].to_list() == ["result"]
    page.keyboard.press("n")
    page.keyboard.press("p")
    page.keyboard.press("p")
    eventually(page, lambda: mount.widget.position, 9)
    expect(page.locator(".wb-dv-place")).to_have_text("1 of 6")
    page.keyboard.press("p")  # there is none before the first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(grid).to_have_attribute("aria-activedescendant", re.compile("-11$"))
    expect(row(page, 11)).to_have_attribute("aria-expanded", "false")
    assert mount.widget.position == 9
    page.keyboard.press("Enter")
    expect(row(page, 11)).to_have_attribute("aria-expanded", "true")
    eventually(page, lambda: mount.widget.position, 11)
    page.keyboard.press(" ")
    expect(row(page, 11)).to_have_attribute("aria-expanded", "false")


def test_kinds_filter(mount: Any) -> None:
    """Wording is off; a click on its chip marks those rows as differences too, and the kernel hears of it."""
    page = mount(view())
    chip = page.get_by_role("button", name="Wording 4")
    expect(chip).to_have_attribute("aria-pressed", "false")
    chip.click()

    expect(chip).to_have_attribute("aria-pressed", "true")
    eventually(page, lambda: mount.widget.kinds, ["tool", "arguments", "result", "structure", "text"])
    expect(page.locator(".wb-dv-place")).to_have_text("2 of 10")
    mount.widget.kinds = ["tool"]
    mount.flush()
    expect(page.locator(".wb-dv-place")).to_have_text("– of 1")
    assert "kinds=['tool']" in mount.widget.code


def test_all_kinds_off(mount: Any) -> None:
    """With every kind off there is a hint that says what is hidden and brings it back."""
    widget = view()
    widget.kinds = []
    page = mount(widget)
    expect(page.locator(".wb-dv-hint")).to_contain_text("10 of other kinds are folded away")
    page.get_by_role("button", name="show all").click()

    eventually(page, lambda: len(mount.widget.kinds), 5)
    expect(page.locator(".wb-dv-hint")).to_be_empty()


def test_kernel_moves_the_view(mount: Any) -> None:
    """A position set in Python is shown, from inside a fold too."""
    page = mount(view())
    expect(row(page, 9)).to_be_visible()
    mount.widget.position = 2
    mount.flush()

    expect(row(page, 2)).to_be_visible()
    expect(row(page, 2)).to_have_attribute("aria-selected", "true")


def long_text_view() -> DiffView:
    text = "".join(f"Line {k} of the policy says that nothing may be done without asking.\n" for k in range(600))
    other = text.replace("Line 300 of the policy says", "Line 300 of the policy forbids").replace(
        "Line 3 ", "Line III "
    )
    return DiffView(diff_of([says("system", text), *GOOD[1:]], [says("system", other), *GOOD[1:]]), kinds=["text"])


def test_show_more_asks_the_kernel(mount: Any) -> None:
    """Of a long text the part around the first difference is here; the rest comes from the kernel, compared again."""
    page = mount(long_text_view())
    row(page, 0).locator(".wb-dv-line").click()
    pane = row(page, 0).locator(".wb-dv-pane-b")
    expect(pane.locator("mark").first).to_contain_text("III")
    expect(pane).not_to_contain_text("forbids")
    row(page, 0).locator(".wb-dv-pane-a .wb-more", has_text="show more").click()
    row(page, 0).locator(".wb-dv-pane-b .wb-more", has_text="show more").click()
    expect(pane).to_contain_text("forbids")

    assert [m["verb"] for m in page.evaluate("model.sent")] == ["more", "more"]
    expect(pane.locator("mark", has_text="forbids")).to_have_count(1)
    expect(pane.locator(".wb-dv-elided").first).to_contain_text("equal characters")
    pane.locator(".wb-dv-elided").first.click()
    expect(pane).to_contain_text("Line 150 of the policy")


def test_without_kernel(mount: Any) -> None:
    """What was sent opens without a kernel; what was not says why it cannot be shown."""
    widget = view()
    page = mount(widget)
    page.evaluate("model.deaf = true")
    row(page, 15).locator(".wb-dv-line").click()
    expect(row(page, 15).locator(".wb-dv-pane-b")).to_contain_text("economy")
    assert page.evaluate("model.sent.length") == 0
    row(page, 8).locator(".wb-dv-line").click()

    page.wait_for_function("model.sent.length === 1")
    expect(row(page, 8).locator(".wb-dv-inside")).to_have_text("…")


def test_failing_request_is_shown_in_its_row(mount: Any) -> None:
    """An error in the kernel is shown where the answer would stand."""
    widget = view()
    page = mount(widget)

    def broken(position: int) -> None:
        raise ZeroDivisionError("division by zero")

    widget._wire._handlers["open"] = broken
    row(page, 8).locator(".wb-dv-line").click()

    expect(row(page, 8).locator(".wb-dv-failed")).to_contain_text("ZeroDivisionError: division by zero")


def test_equal_and_empty(mount: Any) -> None:
    """Equal runs say so and are one fold; two empty runs say what to do."""
    page = mount(DiffView(diff_of(GOOD, GOOD)))
    expect(page.locator(".wb-dv-sentence")).to_have_text("The runs are equal step by step.")
    expect(page.locator(".wb-dv-fold")).to_have_text("⋯ 19 equal steps")
    expect(page.get_by_role("button", name="Next difference")).to_be_disabled()
    page = mount(DiffView(diff_of([], [])))

    expect(page.locator(".wb-empty")).to_contain_text("Nothing to compare")


HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>\x1b[31mred\x1b[0m\u202egpj'


def test_hostile_text(mount: Any) -> None:
    """Markup and terminal codes in labels, texts, keys and names stay text."""
    a = [says("user", HOSTILE), calls(HOSTILE, **{HOSTILE: HOSTILE}), answers("f", {HOSTILE: [HOSTILE]})]
    b = [says("user", HOSTILE + "!"), calls(HOSTILE, **{HOSTILE: 1}), answers("f", {HOSTILE: []})]
    for widget in (
        DiffView(diff_of(a, b), kinds=["text", "arguments", "result"]),
        DiffView.of_states({HOSTILE: HOSTILE}, {HOSTILE: [HOSTILE]}, names=(HOSTILE, HOSTILE)),
    ):
        page = mount(widget)
        expect(rows(page).first).to_be_visible()
        for number in page.locator(".wb-dv-row:not(.wb-dv-parent)").evaluate_all(
            "all => all.map((r) => r.dataset.row)"
        ):
            line = row(page, number)
            if line.get_attribute("aria-expanded") == "false":
                line.locator(".wb-dv-line").click()
                expect(line).to_have_attribute("aria-expanded", "true")
        # Every row is open, and what is inside has come from the kernel: now there is all that could do harm.
        expect(page.locator(".wb-dv-inside > :first-child").filter(has_text=re.compile("^…$"))).to_have_count(0)
        frames(page)

        assert page.evaluate("window.hacked") is None
        expect(page.locator(".wb img, .wb b")).to_have_count(0)
        expect(page.locator(".wb-dv-grid")).to_contain_text("<b>bold</b>")
        assert not re.search("[\x1b\u202e]", page.locator(".wb-diff-view").inner_text())


def test_thousands_of_rows(mount: Any) -> None:
    """33,000 unfolded rows: a few dozen are in the page, however it is scrolled; n jumps to one near the end."""
    a = [calls("f", x=k) for k in range(33_000)]
    b = [calls("f", x=-1 if k in (5, 32_990) else k) for k in range(33_000)]
    page = mount(DiffView(diff_of(a, b)))
    page.get_by_role("button", name="Unfold all").click()
    expect(row(page, 5)).to_be_visible()
    expect(page.get_by_role("button", name="Fold equal")).to_be_enabled()
    most = page.evaluate(
        """async () => { const grid = document.querySelector(".wb-dv-grid"); let most = 0;
        for (let k = 1; k <= 40; k++) { grid.scrollTop = k * 20000;
          await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
          most = Math.max(most, document.querySelectorAll(".wb-dv-row").length); }
        return most; }"""
    )
    page.locator(".wb-dv-grid").focus()
    page.keyboard.press("n")
    expect(row(page, 32_990)).to_be_visible()

    eventually(page, lambda: mount.widget.position, 32_990)
    assert 0 < most < 100


def test_unmount_leaves_nothing(mount: Any) -> None:
    """Closing the view removes it and its listeners."""
    page = mount(view())
    page.evaluate("unmount()")

    expect(page.locator(".wb-diff-view")).to_have_count(0)
    assert page.evaluate("model.set('kinds', []) ?? 1") == 1


def test_saved_page(offline_page: Page, tmp_path: Any) -> None:
    """A page written by to_html is alive without kernel and network: rows open, n jumps, filters fold."""
    path = tmp_path / "diff.html"
    view().to_html(path)
    offline_page.goto(path.as_uri())
    page = offline_page
    expect(row(page, 9)).to_be_visible()
    page.locator(".wb-dv-grid").focus()
    page.keyboard.press("n")

    expect(row(page, 10)).to_have_attribute("aria-expanded", "true")
    expect(row(page, 10).locator(".wb-dv-pane-a")).to_contain_text("HAT083")
    row(page, 8).locator(".wb-dv-line").click()
    expect(row(page, 8).locator(".wb-dv-failed")).to_contain_text("saved without its kernel")


def test_in_jupyterlab(notebook: Any, shot: Callable[[Any, str], None]) -> None:
    """In a notebook: click, keys, expand and filter; the kernel has the selection, the frame and the code."""
    notebook.open(
        "from browser.test_diff_view import GOOD, BAD, STATE_A, STATE_B, diff_of\n"
        "import workbench as wb\ndiff = diff_of(GOOD, BAD)\nview = wb.DiffView(diff)\nview",
        "states = wb.DiffView(STATE_A, STATE_B)\nstates",
    ).run_all()
    page = notebook.page
    runs, states = page.locator(".wb-diff-view").nth(0), page.locator(".wb-diff-view").nth(1)
    runs.locator('.wb-dv-row[data-row="13"] .wb-dv-line').click()
    notebook.wait_kernel("view.position", 13)
    assert notebook.kernel("view.selected['what'].to_list()") == ["tool"]
    expect(runs.locator('.wb-dv-row[data-row="13"]')).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("n")
    page.keyboard.press("n")
    notebook.wait_kernel("view.position", 15)
    assert notebook.kernel("view.code") == "workbench.DiffView(diff, position=15)"
    runs.get_by_role("button", name="Wording 4").click()
    notebook.wait_kernel("'text' in view.kinds", True)
    runs.locator(".wb-dv-grid").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    # An equal step: what is inside comes from the kernel.
    inside = runs.locator('.wb-dv-row[data-row="18"] .wb-dv-inside')
    expect(inside).to_contain_text("###STOP###")
    expect(inside).to_be_in_viewport(ratio=0.9)
    states.get_by_role("button", name="Next difference").click()
    notebook.wait_kernel("states.selected.rows()", [["/budget/spent", "changed", "87.5", "174"]])
    notebook.keeps_letters(runs.locator(".wb-dv-grid"))
    expect(page.locator(".jp-Cell")).to_have_count(2)
    expect(page.locator(".wb-static").first).to_be_hidden()
    for theme in ("light", "dark"):
        notebook.theme(theme)
        runs.scroll_into_view_if_needed()
        eventually(page, lambda: runs.evaluate(FULL), True)
        shot(runs, f"diff-lab-{theme}")
    notebook.theme("light")
    notebook.narrow(420)
    shot(runs, "diff-lab-narrow")
