"""ReplayPlayer in a real browser: what a person sees, plays, jumps to, opens, writes and forks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.waiting import eventually, frames, steady_box
from tests.widgets.replays import player
from workbench.widgets.replay_player import ReplayPlayer


def root(page: Page) -> Locator:
    return page.locator(".wb-replay-player[data-painted]")


def at(page: Page, position: int) -> None:
    """Wait until a step is shown whole."""
    expect(root(page)).to_have_attribute("data-position", str(position))
    expect(root(page)).to_have_attribute("data-shown", str(position))


def do(page: Page, name: str) -> Locator:
    return page.locator(f'[data-do="{name}"]')


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1200), ("dark", 1200), ("plain", 800), ("light", 420), ("dark", 420)]
)
def test_it_shows_a_step_and_hides_its_static_view(
    bench: Any, mount: Any, shot: Callable, theme: str, width: int
) -> None:
    """In light, dark and narrow cells the player shows state, changes and event within its cell."""
    page = mount(ReplayPlayer(player(bench), position=4, watched=["/cart/total"]), theme=theme, width=width)
    at(page, 4)
    expect(page.locator(".wb-rp-change-title")).to_have_text("4 changes in this step")
    frames(page)
    shot(page, f"player-{theme}-{width}")

    expect(root(page)).to_have_attribute("data-n", "12")
    expect(page.locator("[data-wb-static]")).to_be_hidden()
    eventually(page, lambda: root(page).evaluate("root => root.scrollWidth"), lambda wide: wide <= width)
    eventually(page, lambda: "wb-dark" in root(page).evaluate("root => root.className"), theme == "dark")


# -- moving ----------------------------------------------------------------------------------------------------------


def test_every_button_moves(bench: Any, mount: Any) -> None:
    """First, last, back, on, and the jumps to errors, tool calls, changes and marks, both ways."""
    shown = ReplayPlayer(player(bench), watched=["/cart/total"])
    page = mount(shown)
    at(page, 0)
    for name, position in [
        ("error", 5), ("error", 8), ("error-back", 5), ("call", 7), ("call-back", 4), ("change-back", 1),
        ("change", 4), ("mark", 6), ("mark-back", 4), ("last", 11), ("back", 10), ("on", 11), ("first", 0),
    ]:  # fmt: skip
        do(page, name).click()
        at(page, position)
    do(page, "error-back").click()
    expect(page.locator(".wb-rp-told")).to_have_text("No error before this step.")
    eventually(page, lambda: shown.position, 0)


def test_every_key_moves(bench: Any, mount: Any) -> None:
    """The same by keyboard alone; the kernel hears where the player stands."""
    shown = ReplayPlayer(player(bench))
    page = mount(shown)
    at(page, 0)
    page.locator(".wb-rp-slider").focus()
    for key, position in [
        ("e", 5), ("e", 8), ("E", 5), ("t", 7), ("T", 4), ("c", 5), ("C", 4), ("m", 6), ("M", 4), ("End", 11),
        ("ArrowLeft", 10), ("ArrowRight", 11), ("Shift+ArrowLeft", 1), ("Home", 0), ("PageDown", 10), ("PageUp", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        at(page, position)
    page.keyboard.press("3")
    expect(page.locator('[data-tab="notes"]')).to_have_attribute("aria-selected", "true")
    eventually(page, lambda: shown.tab, "notes")
    page.keyboard.press("?")
    expect(page.locator(".wb-rp-keys")).to_contain_text("next or previous error")
    page.keyboard.press("Escape")
    expect(page.locator(".wb-rp-keys")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Search keys and values")).to_be_focused()
    page.keyboard.type("e e")
    expect(root(page)).to_have_attribute("data-position", "0")


def test_what_a_screen_reader_is_told(bench: Any, mount: Any) -> None:
    """Slider, tree, tabs and buttons have roles and names; arrows walk the tabs; moves are announced."""
    page = mount(ReplayPlayer(player(bench), position=4))
    at(page, 4)
    expect(page.get_by_role("slider", name="Step")).to_have_attribute("aria-valuemax", "12")
    expect(page.get_by_role("tree", name="State after this step")).to_be_visible()
    item = page.get_by_role("treeitem").first
    expect(item).to_have_attribute("aria-level", "1")
    expect(item).to_have_attribute("aria-expanded", "true")
    page.get_by_role("tab", name="Step").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Branches")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Branches")).to_be_visible()
    page.keyboard.press("e")
    at(page, 5)
    expect(page.locator(".wb-replay-player > .wb-sr[role=status]")).to_contain_text("error")
    nameless = page.evaluate(
        "[...document.querySelectorAll('.wb-replay-player button, .wb-replay-player input, .wb-replay-player select')]"
        ".filter((el) => !el.textContent.trim() && !el.getAttribute('aria-label')).length"
    )
    assert nameless == 0


def test_a_step_number_can_be_typed(bench: Any, mount: Any) -> None:
    """Enter goes there; what is no number is said."""
    page = mount(ReplayPlayer(player(bench)))
    at(page, 0)
    box = page.get_by_label("Step number")
    box.fill("7")
    box.press("Enter")
    at(page, 7)
    expect(page.locator(".wb-rp-slider")).to_be_focused()
    box.fill("seven")
    box.press("Enter")
    expect(page.locator(".wb-rp-told")).to_contain_text("is no step number")


def test_the_strip_is_clicked_and_dragged(bench: Any, mount: Any) -> None:
    """The player follows the pointer, and the slider says where it is."""
    shown = ReplayPlayer(player(bench))
    page = mount(shown)
    at(page, 0)
    strip = page.locator('[data-strip="all"]')
    box = steady_box(strip)
    page.mouse.click(box["x"] + box["width"] * 8.5 / 12, box["y"] + 20)
    at(page, 8)
    page.mouse.move(box["x"] + box["width"] * 8.5 / 12, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 12, box["y"] + 20, steps=6)
    page.mouse.up()
    at(page, 2)
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuenow", "3")
    expect(slider).to_have_attribute("aria-valuetext", "step 2 · 3 of 12 · tool result search · " + _since(page))
    eventually(page, lambda: shown.position, 2)


def _since(page: Page) -> str:
    said = page.get_by_role("slider").get_attribute("aria-valuetext") or ""
    return said.split(" · ")[3]


def test_playing_goes_on_and_stops_at_the_end(bench: Any, mount: Any) -> None:
    """Space plays and pauses; at the end it stops; the speed is the kernel's too."""
    shown = ReplayPlayer(player(bench), speed=30.0)
    page = mount(shown)
    at(page, 0)
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press(" ")
    expect(do(page, "play")).to_have_attribute("aria-pressed", "true")
    at(page, 11)
    expect(do(page, "play")).to_have_attribute("aria-pressed", "false")
    eventually(page, lambda: shown.position, 11)
    page.get_by_label("Speed").select_option("1")
    eventually(page, lambda: shown.speed, 1.0)
    do(page, "play").click()
    expect(root(page)).to_have_attribute("data-playing", "true")
    expect(root(page)).to_have_attribute("data-position", "0")
    do(page, "play").click()
    expect(root(page)).to_have_attribute("data-playing", "false")


def test_python_moves_the_player(bench: Any, mount: Any) -> None:
    """Position, tab, watched and speed set in the kernel are seen in the browser."""
    shown = ReplayPlayer(player(bench))
    page = mount(shown)
    at(page, 0)
    shown.seek(9)
    shown.tab = "branches"
    shown.watched = ["/turn"]
    shown.speed = 3.0
    mount.flush()
    at(page, 9)
    expect(page.locator('[data-panel="branches"]')).to_be_visible()
    expect(page.locator('[data-watch="/turn"]')).to_contain_text("9")
    expect(page.get_by_label("Speed")).to_have_value("3")


# -- the state -------------------------------------------------------------------------------------------------------


def row(page: Page, pointer: str) -> Locator:
    return page.locator(f'.wb-rp-row[data-pointer="{pointer}"]')


def test_containers_open_and_stay_open(bench: Any, mount: Any) -> None:
    """A click asks for what is inside; it stays open at the next step, and what changed there is marked."""
    page = mount(ReplayPlayer(player(bench), position=3))
    at(page, 3)
    row(page, "/cart/items").click()
    row(page, "/cart/items/0").click()
    expect(row(page, "/cart/items/0/name")).to_contain_text("lamp 1")
    do(page, "on").click()
    at(page, 4)
    expect(row(page, "/cart/items/0/name")).to_contain_text("lamp 1")
    expect(row(page, "/cart/items/1")).to_have_class(marked("wb-rp-added"))
    expect(row(page, "/cart/total")).to_have_class(marked("wb-rp-changed"))
    row(page, "/cart").click()
    expect(row(page, "/cart/items")).to_have_count(0)


def marked(name: str) -> re.Pattern:
    return re.compile(rf"\b{name}\b")


def test_the_tree_by_keyboard(bench: Any, mount: Any) -> None:
    """Arrows move, open and close; letters still jump; w watches, o asks who wrote it."""
    shown = ReplayPlayer(player(bench), position=4)
    page = mount(shown)
    at(page, 4)
    row(page, "/cart").focus()
    page.keyboard.press("ArrowDown")
    expect(row(page, "/cart/items")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(row(page, "/cart/items/0")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(row(page, "/cart/items/0")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(row(page, "/cart/items/0")).to_have_count(0)
    page.keyboard.press("w")
    eventually(page, lambda: shown.watched, ["/cart/items"])
    page.keyboard.press("e")
    at(page, 5)
    expect(row(page, "/cart/items")).to_be_focused()
    page.keyboard.press("o")
    expect(page.locator(".wb-rp-origin")).to_contain_text("Who wrote cart.items?")
    expect(page.locator(".wb-rp-origins li").first).to_contain_text("state change")


def test_a_change_leads_to_its_row(bench: Any, mount: Any) -> None:
    """The list says old and new; a click opens the way to the value."""
    page = mount(ReplayPlayer(player(bench), position=4))
    at(page, 4)
    total = page.locator('[data-change="/cart/total"]')
    expect(total).to_contain_text("11.0 → 25.0")
    row(page, "/cart").click()
    expect(row(page, "/cart/total")).to_have_count(0)
    total.click()
    expect(row(page, "/cart/total")).to_have_attribute("aria-selected", "true")


def test_search_finds_what_is_not_open(bench: Any, mount: Any, shot: Callable) -> None:
    """Keys and values anywhere in the state; Enter goes on, and the way is opened."""
    page = mount(ReplayPlayer(player(bench), position=10))
    at(page, 10)
    box = page.get_by_label("Search keys and values")
    box.fill("lamp 7")
    expect(row(page, "/cart/items/2/name")).to_have_class(marked("wb-rp-hit"))
    expect(page.locator(".wb-rp-found")).to_have_text("1 of 1 match")
    box.fill("price")
    expect(page.locator(".wb-rp-found")).to_have_text("1 of 4 matches")
    box.press("Enter")
    expect(page.locator(".wb-rp-found")).to_have_text("2 of 4 matches")
    expect(row(page, "/cart/items/1/price")).to_have_attribute("aria-selected", "true")
    shot(page, "player-search")
    box.press("Shift+Enter")
    expect(row(page, "/cart/items/0/price")).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(page.locator(".wb-rp-hit")).to_have_count(0)


def test_long_text_comes_piece_by_piece(bench: Any, mount: Any) -> None:
    """The rest of a string is asked for."""
    page = mount(ReplayPlayer(player(bench)))
    at(page, 0)
    notes = row(page, "/notes")
    expect(notes).to_contain_text("show more (120 of 1,080 characters)")
    notes.get_by_text("show more").click()
    notes.get_by_text("show more").click()
    expect(notes.get_by_text("show more")).to_have_count(0)


def test_a_watched_value_is_followed(bench: Any, mount: Any) -> None:
    """Its value stands above the tree, its changes are counted, and the arrows go to them."""
    shown = ReplayPlayer(player(bench))
    page = mount(shown)
    at(page, 0)
    row(page, "/cart").hover()
    row(page, "/cart/total").hover()
    row(page, "/cart/total").get_by_text("watch", exact=True).click()
    watch = page.locator('[data-watch="/cart/total"]')
    expect(watch).to_contain_text("5 changes")
    watch.get_by_label("Next change of cart.total").click()
    at(page, 1)
    watch.get_by_label("Next change of cart.total").click()
    at(page, 4)
    expect(watch).to_have_class(marked("wb-rp-changed"))
    watch.get_by_label("Previous change of cart.total").click()
    at(page, 1)
    watch.get_by_label("Watch cart.total no longer").click()
    expect(watch).to_have_count(0)
    eventually(page, lambda: shown.watched, [])


def test_hostile_text_stays_text(bench: Any, mount: Any) -> None:
    """Nothing an agent wrote becomes an element, runs, or turns the reading direction."""
    page = mount(ReplayPlayer(player(bench), position=2))
    at(page, 2)
    for tab in ("notes", "branches", "messages", "step"):
        page.locator(f'[data-tab="{tab}"]').click()
    expect(row(page, "/said")).to_contain_text("<script>alert(1)</script><img src=x onerror=alert(2)>")
    expect(row(page, "/said")).to_contain_text("[U+202E]")
    assert page.locator(".wb-replay-player script, .wb-replay-player img").count() == 0


# -- notes and branches ------------------------------------------------------------------------------------------------


def test_notes_are_written_edited_and_removed(bench: Any, mount: Any, shot: Callable) -> None:
    """Note, checkpoint and pin of this step, all by hand, all stored; an error is said and nothing is lost."""
    shown = ReplayPlayer(player(bench), position=3)
    page = mount(shown)
    at(page, 3)
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press("n")
    text = page.get_by_label("Text of the note")
    expect(text).to_be_focused()
    page.keyboard.type("why this lamp?")
    page.keyboard.press("Control+Enter")
    note = page.locator(".wb-rp-note", has_text="why this lamp?")
    expect(note).to_be_visible()
    expect(text).to_have_value("")
    page.get_by_label("Kind").select_option("checkpoint")
    text.fill("before paying")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".wb-error-pane")).to_contain_text("Choose another name")
    expect(text).to_have_value("before paying")
    page.locator(".wb-error-close").click()
    do(page, "pin").click()
    expect(do(page, "pin")).to_have_attribute("aria-pressed", "true")
    note.get_by_role("button", name="Edit").click()
    page.locator(".wb-rp-note textarea").fill("why not that lamp?")
    page.locator(".wb-rp-note").get_by_role("button", name="Save").click()
    expect(page.locator(".wb-rp-notes")).to_contain_text("why not that lamp?")
    shot(page, "player-notes")
    kinds = bench.notes(shown.replay.id).select("step_number", "kind", "text").rows()
    assert (3, "note", "why not that lamp?") in kinds
    assert (3, "pin", "") in kinds
    remove = page.locator(".wb-rp-note", has_text="why not that lamp?").get_by_role("button", name="Remove")
    remove.click()
    expect(remove).to_have_text("Remove it?")
    remove.click()
    expect(page.locator(".wb-rp-notes")).not_to_contain_text("why not")
    do(page, "pin").click()
    expect(do(page, "pin")).to_have_attribute("aria-pressed", "false")
    page.locator(".wb-rp-note", has_text="before paying").get_by_role("button", name="step 6").click()
    at(page, 6)


def test_a_fork_with_an_edited_state(bench: Any, mount: Any, shot: Callable) -> None:
    """An edit is checked as it is typed, what will happen is said, and the new branch is shown."""
    shown = ReplayPlayer(player(bench), position=4)
    run = shown.replay.id
    page = mount(shown)
    at(page, 4)
    row(page, "/cart/total").click()
    row(page, "/cart/total").get_by_text("edit", exact=True).click()
    panel = page.locator(".wb-rp-panel", has_text="Fork from step 4")
    box = panel.get_by_label("New value of cart.total")
    expect(box).to_have_value("25.0")
    box.fill("cheap")
    expect(panel.locator(".wb-rp-problem")).to_contain_text("cart.total is no JSON")
    expect(panel.get_by_role("button", name="Fork from here")).to_be_disabled()
    box.fill("1.5")
    expect(panel.locator(".wb-rp-plan")).to_contain_text("cart.total 25.0 → 1.5")
    panel.get_by_text("JSON patch (RFC 6902)").click()
    panel.get_by_label("JSON patch").fill('[{"op": "remove", "path": "/nowhere"}]')
    expect(panel.locator(".wb-rp-problem")).to_contain_text("Operation 1")
    panel.get_by_label("JSON patch").fill('[{"op": "remove", "path": "/notes"}]')
    panel.get_by_label("Name of the branch").fill("cheaper")
    expect(panel.locator(".wb-rp-words")).to_have_text(
        "A new branch “cheaper” begins after step 4, with 2 changes to the state."
        " Nothing runs yet, and this run stays as it is."
    )
    shot(page, "player-fork")
    panel.get_by_role("button", name="Fork from here").click()
    expect(root(page)).not_to_have_attribute("data-run", run)
    at(page, 4)
    expect(row(page, "/cart/total")).to_contain_text("1.5")
    expect(row(page, "/notes")).to_have_count(0)
    expect(page.locator(".wb-rp-legend")).to_contain_text("shared with the run it left")
    expect(page.locator('[data-panel="branches"]')).to_contain_text("cheaper")
    shot(page, "player-forked")
    assert bench.state(run, 4)["cart"]["total"] == 25.0
    page.locator(f'[data-run="{run}"].wb-rp-branch').click()
    expect(root(page)).to_have_attribute("data-n", "12")
    at(page, 4)


def test_going_back(bench: Any, mount: Any, shot: Callable) -> None:
    """What stays and where is said beforehand; the abandoned future can be seen again, and is marked."""
    shown = ReplayPlayer(player(bench), position=6)
    run = shown.replay.id
    page = mount(shown)
    at(page, 6)
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press("r")
    expect(page.locator(".wb-rp-words")).to_contain_text("The 5 steps behind it, up to 11, stay in this run")
    page.get_by_label("Reason").fill("the wrong lamp")
    page.get_by_role("button", name="Go back to here").click()
    expect(root(page)).not_to_have_attribute("data-run", run)
    expect(page.locator(".wb-rp-branch.wb-rp-here")).to_contain_text("head")
    old = page.locator(f'[data-run="{run}"].wb-rp-branch')
    expect(old).to_contain_text("abandoned after step 6")
    old.click()
    at(page, 6)
    expect(page.locator(".wb-rp-legend")).to_contain_text("abandoned")
    do(page, "last").click()
    expect(page.locator(".wb-rp-heading")).to_contain_text("abandoned")
    frames(page)
    shot(page, "player-abandoned")


def test_closing_a_panel_changes_nothing(bench: Any, mount: Any) -> None:
    """Escape closes the fork panel; nothing was written."""
    shown = ReplayPlayer(player(bench), position=6)
    page = mount(shown)
    at(page, 6)
    do(page, "fork").click()
    expect(page.get_by_label("Name of the branch")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Name of the branch")).to_be_hidden()
    expect(page.locator(".wb-rp-slider")).to_be_focused()
    assert bench.branches(shown.replay.id).height == 2


# -- messages --------------------------------------------------------------------------------------------------------


def test_messages_as_the_model_saw_them(bench: Any, mount: Any, shot: Callable) -> None:
    """The tab has the context of the call at this step, earlier parts on demand, and ways to their steps."""
    with bench.record(agent_type="a") as run:
        for turn in range(30):
            run.event("message", role="user", text=f"question {turn}")
            run.event("llm_call", model="m", role="assistant", text=f"answer {turn}", usage={"input_tokens": 10 + turn})
    page = mount(ReplayPlayer(bench.replay(str(run.id)), position=59, tab="messages"))
    panel = page.locator('[data-panel="messages"]')
    expect(panel).to_contain_text("The model call at step 59 saw 59 messages")
    expect(panel.locator("article")).to_have_count(40)
    panel.get_by_text("show 19 earlier").click()
    expect(panel.locator("article")).to_have_count(59)
    shot(page, "player-messages")
    panel.locator("article").first.get_by_role("button", name="step 0").click()
    at(page, 0)
    expect(panel).to_contain_text("no model call")


# -- without a kernel, and large ---------------------------------------------------------------------------------------


def test_a_saved_page_plays_what_it_holds(bench: Any, offline_page: Page, tmp_path: Any, shot: Callable) -> None:
    """Opened from disk without a kernel: steps, states and notes are there, what is not is said."""
    shown = ReplayPlayer(player(bench), position=4, watched=["/cart/total"])
    shown.to_html(tmp_path / "player.html")
    offline_page.goto(f"file://{tmp_path}/player.html")
    at(offline_page, 4)
    do(offline_page, "error").click()
    at(offline_page, 5)
    expect(offline_page.locator(".wb-rp-row", has_text="turn")).to_contain_text("5")
    expect(row(offline_page, "/cart/total")).to_contain_text("25.0")
    row(offline_page, "/cart/items").click()
    expect(offline_page.locator(".wb-rp-tree")).to_contain_text("in the kernel")
    expect(offline_page.locator(".wb-rp-act")).to_have_count(0)
    do(offline_page, "change").click()
    expect(offline_page.locator(".wb-rp-told")).to_contain_text("needs the kernel")
    expect(do(offline_page, "fork")).to_be_disabled()
    offline_page.locator('[data-tab="messages"]').click()
    expect(offline_page.locator('[data-panel="messages"]')).to_have_text("The messages are in the kernel.")
    offline_page.locator('[data-tab="notes"]').click()
    expect(offline_page.locator(".wb-rp-notes")).to_contain_text("before paying")
    frames(offline_page)
    shot(offline_page, "player-offline")
    expect(offline_page.locator(".wb-error-pane")).to_have_count(0)


def test_a_kernel_that_is_gone(bench: Any, mount: Any) -> None:
    """The player says so once; steps can still be walked."""
    page = mount(ReplayPlayer(player(bench, 60)))
    at(page, 0)
    page.evaluate("() => { model.send = () => { throw new Error('Cannot send') } }")
    do(page, "on").click()
    do(page, "error").click()
    expect(page.locator(".wb-gone")).to_have_count(1)
    expect(root(page)).to_have_attribute("data-position", "5")
    expect(page.locator(".wb-error-pane")).to_have_count(0)


def test_five_thousand_steps_and_a_hand_that_is_faster(bench: Any, mount: Any, shot: Callable) -> None:
    """A drag over 5,000 steps asks for few of them, ends on the right one, and the lens shows each step."""
    shown = ReplayPlayer(bench.replay(long(bench, 5_000)))
    page = mount(shown)
    at(page, 0)
    box = steady_box(page.locator('[data-strip="all"]'))
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20, steps=60)
    page.mouse.up()
    eventually(page, lambda: abs(shown.position - 4_500) <= 3)
    at(page, shown.position)
    asked = page.evaluate("model.sent.filter((m) => m.verb === 'step').length")
    assert asked < 60, asked
    assert page.evaluate("model.saves") < 30
    first, count = map(int, (root(page).get_attribute("data-lens") or "").split())
    assert first <= shown.position < first + count < 5_000
    before = shown.position
    page.keyboard.press("ArrowRight")
    at(page, before + 1)
    lens = steady_box(page.locator('[data-strip="lens"]'))
    page.mouse.click(lens["x"] + lens["width"] * 0.5 / count, lens["y"] + 20)
    at(page, first)
    frames(page)
    shot(page, "player-5000")


# -- in JupyterLab -----------------------------------------------------------------------------------------------------


def opened(bench: Any, notebook: Any, run: str, more: str = "") -> Page:
    """A notebook with a player on the run, which the kernel calls ``player``."""
    notebook.open(
        f"import workbench as wb\nbench = wb.connect({bench.store.url!r})\n"
        f"player = wb.ReplayPlayer(bench.replay({run!r}){more})\nplayer"
    ).run_all()
    page = notebook.page
    at(page, 0)
    return page


def test_a_run_is_replayed_in_jupyterlab(bench: Any, notebook: Any, shot: Callable) -> None:
    """Walked, dragged, played, watched, noted and pinned with a real kernel, which knows where the player stands."""
    run = player(bench).id
    page = opened(bench, notebook, run, ", watched=['/cart/total'], speed=30.0")
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press("e")
    at(page, 5)
    notebook.wait_kernel("player.position", 5)
    assert notebook.kernel("player.replay.state['turn']") == 5
    notebook.drag(page.locator('[data-strip="all"]'), 0.5, 0.5, 0.9, 0.5)
    at(page, 10)
    notebook.wait_kernel("player.selected['step_number'].to_list()", [10])
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    at(page, 11)
    notebook.wait_kernel("player.position", 11)
    notebook.kernel("player.seek(4).position")
    at(page, 4)
    expect(page.locator('[data-watch="/cart/total"]')).to_contain_text("25.0")
    page.keyboard.press("n")
    page.keyboard.type("written in a notebook")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".wb-rp-notes")).to_contain_text("written in a notebook")
    shot(page.locator(".wb-replay-player"), "player-lab-light")
    assert "written in a notebook" in bench.notes(run)["text"].to_list()
    notebook.keeps_letters(page.locator('[data-do="refresh"]'))


def test_themes_and_widths_in_jupyterlab(bench: Any, notebook: Any, shot: Callable) -> None:
    """The dark theme colours the strip anew, and a narrow cell puts the step under the state."""
    page = opened(bench, notebook, player(bench).id)
    shown = page.locator(".wb-replay-player")
    strip = page.locator('[data-strip="all"] canvas')
    light = strip.evaluate("c => c.toDataURL()")
    notebook.theme("dark")
    expect(shown).to_have_class(marked("wb-dark"))
    eventually(page, lambda: strip.evaluate("c => c.toDataURL()") != light)
    page.locator('[data-tab="branches"]').click()
    shot(shown, "player-lab-dark")
    notebook.narrow(460)
    expect(shown).to_have_class(marked("wb-narrow"))
    below = "el => el.querySelector('.wb-rp-side').offsetTop >= el.querySelector('.wb-rp-state').offsetHeight"
    eventually(page, lambda: shown.evaluate(below))
    eventually(page, lambda: shown.evaluate("el => el.scrollWidth <= el.clientWidth + 1"))
    shot(shown, "player-lab-narrow")
    notebook.theme("light")


def test_leaving_a_run_in_jupyterlab(bench: Any, notebook: Any) -> None:
    """Forked with an edited value and gone back by keyboard: the kernel's player is on the new branches."""
    run = player(bench).id
    page = opened(bench, notebook, run)
    do(page, "mark").click()
    at(page, 2)
    row(page, "/turn").click()
    row(page, "/turn").get_by_text("edit", exact=True).click()
    page.get_by_label("New value of turn").fill("77")
    expect(page.locator(".wb-rp-plan")).to_contain_text("turn 2 → 77")
    page.get_by_role("button", name="Fork from here", exact=True).click()
    expect(root(page)).not_to_have_attribute("data-run", run)
    expect(row(page, "/turn")).to_contain_text("77")
    notebook.wait_kernel("player.replay.state['turn']", 77)
    page.locator(f'.wb-rp-branch[data-run="{run}"]').click()
    expect(root(page)).to_have_attribute("data-run", run)
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press("r")
    page.keyboard.type("the wrong lamp")
    page.keyboard.press("Enter")
    expect(root(page)).not_to_have_attribute("data-run", run)
    heads = bench.branches(run).filter("is_head")
    assert heads["forked_at_step"].to_list() == [2]
    notebook.wait_kernel("player.replay.id", heads["id"][0])


def test_the_kernel_of_a_player_restarts(bench: Any, notebook: Any) -> None:
    """After a restart the player says to run its cell again; the steps that it has can still be walked."""
    page = opened(bench, notebook, player(bench).id)
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    shown = page.locator(".wb-replay-player")
    expect(shown.locator("> .wb-gone")).to_contain_text("run this cell again")
    page.locator(".wb-rp-slider").focus()
    page.keyboard.press("e")
    expect(root(page)).to_have_attribute("data-position", "5")
    expect(shown.locator(".wb-error-pane")).to_have_count(0)


def long(bench: Any, n: int) -> str:
    """A run of many steps with a small state each."""
    with bench.record(agent_type="long", name="long") as run:
        for number in range(n):
            kind = ("message", "llm_call", "tool_call", "tool_result")[number % 4]
            run.event(kind, name=f"n{number}", severity="error" if number % 487 == 0 and number else "info")
            run.step({"n": number, "phase": number // 100})
    return str(run.id)
