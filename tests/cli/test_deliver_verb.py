"""`deliver`: bringing what killed agents left into the database, from a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from answer import Answer

import workbench
from workbench.cli import app as cli
from workbench.replay.capture.recording import Recording
from workbench.replay.capture.spool import folder_of

NOTHING = dict.fromkeys(("n_spools", "n_runs", "n_events", "n_states", "n_abandoned", "n_bad", "n_refused"), 0)


class Kept:
    """Takes what a recording captures, as a delivery does, and keeps it."""

    is_down = True

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def take(self, record: bytes) -> bool:
        self.records.append(record)
        return True

    def add(self, recording: Recording) -> None: ...
    def discard(self, recording: Recording) -> None: ...
    def flush(self, timeout_s: float | None = None) -> bool:
        return True


@pytest.fixture
def left(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Leave the spool of an agent that recorded three events and a state, and was killed or ended."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))

    def leave(
        name: str = "a",
        *,
        is_killed: bool = True,
        spoil: Callable[[list[bytes]], object] | None = None,
        url: str = database_url,
    ) -> Path:
        with workbench.connect(url, lazy=True) as bench:
            folder = folder_of(bench.store)
        kept = Kept()
        with Recording(kept, agent_type="victim", name=name) as run:  # type: ignore[arg-type]
            for n in range(3):
                run.event("log", text=str(n))
            run.step({"n": 2})
        lines = kept.records[:-1] if is_killed else kept.records
        if spoil is not None:
            spoil(lines)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-1.spool"
        path.write_bytes(b"".join(lines))
        return path

    return leave


def test_nothing_waits(ask: Callable[..., Answer], left: Callable[..., Path]) -> None:
    """Without a spool it says so, and is no failure."""
    said = ask("deliver")

    assert (said.code, said.out, said.err) == (0, "Nothing waits.\n", "")
    assert ask("deliver", "--json").json == NOTHING


def test_what_was_left_is_told_and_gone(ask: Callable[..., Answer], left: Callable[..., Path]) -> None:
    """As text and as JSON: files, runs, events, states, and the runs of which no end is known."""
    path = left()
    said = ask("deliver")
    both = [left("b"), left("c", is_killed=False)]
    counted = ask("deliver", "--json")

    assert (said.code, said.out) == (0, "1 spools delivered: 3 events and 1 states of 1 runs (1 abandoned)\n")
    assert counted.json == {**NOTHING, "n_spools": 2, "n_runs": 2, "n_events": 6, "n_states": 2, "n_abandoned": 1}
    assert not any(one.exists() for one in (path, *both))
    assert [row["status"] for row in ask("executions", "--json").json] == ["completed", "failed", "failed"]
    assert ask("deliver").out == "Nothing waits.\n"


def test_a_damaged_spool_costs_its_damaged_records(ask: Callable[..., Answer], left: Callable[..., Path]) -> None:
    """One record spoilt, the last one torn, a file that is no spool at all: the rest is delivered, and it is told."""

    def spoil(lines: list[bytes]) -> None:
        lines[2] = lines[2].replace(b'"1"', b'"2"')
        lines[-1] = lines[-1][:-9]

    left(spoil=spoil)
    said = ask("deliver")
    other = left("b", spoil=lambda lines: lines.__setitem__(slice(None), [b"\xff\x00no spool\n" * 3]))

    assert (said.code, said.out.rstrip()) == (
        0, "1 spools delivered: 2 events and 0 states of 1 runs (1 abandoned); 2 damaged records were left out",
    )  # fmt: skip
    assert ask("deliver", "--json").json == {**NOTHING, "n_spools": 1, "n_bad": 3}
    assert not other.exists()
    run = ask("executions", "--json").json[0]["id"]
    assert [row["step_number"] for row in ask("events", run, "--json").json] == [0, 2]


def test_what_is_refused_is_a_failure(ask: Callable[..., Answer], left: Callable[..., Path]) -> None:
    """Events of a run that is not there: exit 1, and the records are kept in a file."""
    path = left(spoil=lambda lines: lines.pop(0))
    said = ask("deliver", "--json")

    assert (said.code, said.json["n_refused"]) == (1, 4)
    assert "4 records were refused and put aside" in said.err
    assert not path.exists()
    (aside,) = path.parent.glob("refused/*.spool")
    assert aside.read_bytes().count(b"\n") == 4


def test_without_a_server_nothing_is_lost(
    left: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No answer: an error that says so, as text and as JSON, and what waits goes on waiting."""
    url = f"postgresql://nobody@/none?host={tmp_path}"
    path = left(url=url)
    codes = [cli.run(["--url", url, "deliver", *more]) for more in ([], ["--json"])]

    out, err = capsys.readouterr()
    assert (codes, out) == ([1, 1], "")
    assert "No answer from the database" in err.splitlines()[0]
    assert '"error"' in err
    assert path.exists()
