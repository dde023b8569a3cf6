"""What became of a file, by class of field: text, tools, tokens, cost, times, ids, states, and what is kept unread.

Counted while the file is written; a class that a source has not is not listed, so nothing is claimed of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.data.ingest.normal import Run, Step
from workbench.data.store.storable import storable_text

if TYPE_CHECKING:
    import polars as pl

    from workbench.data.ingest.report import FileReport

FIELDS = ("text", "tools", "tokens", "cost", "times", "ids", "states", "outcome", "structure", "unknown")
UNKNOWN = "unknown"
_MAX_NAMES = 500  # a file may have a new key on every line
_NAME_CHARS = 80
_REST = "…"

# Words of the notes that readers make → the class that they are about; the first word of a note that is one decides.
_WORDS = {
    "token": "tokens", "cost": "cost", "time": "times", "duration": "times", "start": "times", "id": "ids",
    "state": "states", "checkpoint": "states", "tool": "tools", "result": "tools", "score": "outcome",
    "feedback": "outcome", "assessment": "outcome", "instance": "outcome", "domain": "outcome", "text": "text",
    "message": "text", "author": "text", "model": "text", "json": "text", "character": "text", "surrogate": "text",
    "string": "text", "nan": "text", "integer": "text", "nesting": "text", "value": "text", "attachment": "text",
    "key": "text",
}  # fmt: skip


class Fidelity:
    """Counts what of each class of fields the steps and runs of one file hold.

    Attributes
    ----------
    fields
        Class → how many steps or runs have it.
    unknown
        Key of the source that has no place of its own → how often it was kept as it was; 500 names at most.
    """

    def __init__(self) -> None:
        self.fields: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def step(self, step: Step) -> None:
        """Count a step."""
        fields = self.fields
        if step.text is not None:
            fields["text"] += 1
        if step.tool is not None:
            fields["tools"] += 1
        if step.tool_calls:
            fields["tools"] += len(step.tool_calls)
        if step.usage is not None:
            fields["tokens"] += 1
        if step.cost_usd is not None:
            fields["cost"] += 1
        if step.timestamp is not None:
            fields["times"] += 1
        if step.source_id is not None:
            fields["ids"] += 1
        if step.extra:
            self._keep(step.extra)

    def run(self, run: Run) -> None:
        """Count what a run has beside its steps."""
        fields = self.fields
        fields["ids"] += 1
        fields["outcome"] += run.score is not None or run.error is not None
        fields["times"] += run.started_at is not None
        if run.states:  # those that are derived are not the source's
            fields["states"] += len({state.step_number for state in run.states})
        if run.metadata:
            self._keep(run.metadata, "run ")

    def _keep(self, rest: Mapping[str, Any], prefix: str = "") -> None:
        unknown = self.unknown
        for key in rest:
            name = prefix + key if type(key) is str else prefix + str(key)
            if name not in unknown and (len(name) > _NAME_CHARS or len(unknown) >= _MAX_NAMES):
                name = _REST
            unknown[name] += 1


def class_of(what: str) -> str:
    """The class of fields that a note is about; ``structure`` where it is about runs, lines or their order."""
    words = (word.removesuffix("s") for word in re.findall("[a-z]+", what.lower()))
    return next((_WORDS[word] for word in words if word in _WORDS), "structure")


def table(files: Iterable[FileReport]) -> pl.DataFrame:
    """One row for each file and class of fields.

    Returns
    -------
    polars.DataFrame
        ``file``; ``field``: text · tools · tokens · cost · times · ids · states · outcome · structure · unknown;
        ``kept``: steps, runs or states that have it (states that the source recorded: derived ones are not its own);
        ``changed`` and ``how``: stored otherwise than the source has it; ``lost`` and ``why``: not stored; ``unknown``:
        keys without a place of their own, kept as they were, with how often.
    """
    import polars as pl

    rows = [row for file in files if file.error is None for row in _rows(file)]
    whole = {"file": pl.String, "field": pl.String, "kept": pl.Int64, "changed": pl.Int64, "how": pl.String}
    whole |= {"lost": pl.Int64, "why": pl.String, "unknown": pl.String}
    return pl.DataFrame(rows, schema=whole, orient="row")


def _rows(file: FileReport) -> Iterator[tuple[Any, ...]]:
    changed, lost = _by_class(file.changed), _by_class(file.lost)
    kept = {**file.fields, UNKNOWN: sum(file.unknown.values())}
    for field in FIELDS:
        n, (n_changed, how), (n_lost, why) = kept.get(field, 0), changed[field], lost[field]
        if n or n_changed or n_lost:
            often = sorted(file.unknown.items(), key=lambda item: (-item[1], item[0]))
            names = " · ".join(f"{name} ×{times:,}" for name, times in often)
            yield storable_text(file.path), field, n, n_changed, how, n_lost, why, names if field == UNKNOWN else None


def _by_class(items: Iterable[Any]) -> dict[str, tuple[int, str | None]]:
    found: dict[str, tuple[int, str | None]] = dict.fromkeys(FIELDS, (0, None))
    for item in items:
        field = class_of(item.what)
        n, said = found[field]
        one = f"{item.what}: {item.why}" if item.why else item.what
        found[field] = (n + item.count, f"{said}; {one}" if said else one)
    return found
