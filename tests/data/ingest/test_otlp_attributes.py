"""GenAI attributes of three generations: names, aliases, tokens that count once, the derived state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from otlp_requests import pairs, run_of, span

from workbench._delta import apply
from workbench.data.ingest.formats.otlp_attributes import ALIASES, named
from workbench.data.ingest.normal import Usage
from workbench.data.ingest.writing.derive import derived_states

GENERATIONS = {
    "first drafts": {
        "llm.request.type": "chat",
        "llm.request.model": "m",
        "llm.usage.prompt_tokens": 10,
        "llm.usage.completion_tokens": 4,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hello?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "hi",
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.0.name": "look",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"at": 1}',
    },
    "1.27 to 1.36": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 4,
    },
    "1.37 and later": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello?"}]}]),
        "gen_ai.output.messages": json.dumps(
            [
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "text", "content": "hi"},
                        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
                    ],
                }
            ]
        ),
    },
}
GENERATION_EVENTS = {
    "1.27 to 1.36": [
        {"name": "gen_ai.user.message", "attributes": pairs({"content": "hello?"})},
        {
            "name": "gen_ai.choice",
            "attributes": pairs(
                {
                    "message": json.dumps(
                        {
                            "content": "hi",
                            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}],
                        }
                    )
                }
            ),
        },
    ]
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_three_generations_of_names_read_alike(generation: str) -> None:
    """A model call says the same in every generation of attribute names."""
    run = run_of(span(attributes=GENERATIONS[generation], events=GENERATION_EVENTS.get(generation, [])))

    (step,) = run.steps
    assert (step.event_type, step.model) == ("llm_call", "m")
    assert step.usage == Usage(input_tokens=10, output_tokens=4)
    assert (step.role, step.text) == ("assistant", "hi")
    assert step.tool_calls == [{"name": "look", "call_id": "c1", "arguments": {"at": 1}}]
    assert step.extra is not None
    assert "hello?" in json.dumps(step.extra["input_messages"])


def test_every_alias_is_read_and_the_newest_wins() -> None:
    """Each older spelling stands in for the newest name, which goes first where both are there."""
    for newest, older in ALIASES.items():
        for spelling in older:
            assert named({spelling: "old"})[newest] == "old"
            assert named({spelling: "old", newest: "new"})[newest] == "new"


# What a span needs beside a name for the name to be read, and a value that it may have; messages have tests above.
_READ = {
    "gen_ai.usage": ({"gen_ai.operation.name": "chat"}, 7),
    "gen_ai.request.model": ({"gen_ai.operation.name": "chat"}, "m"),
    "gen_ai.response.model": ({"gen_ai.operation.name": "chat"}, "m"),
    "gen_ai.agent.name": ({"gen_ai.operation.name": "chat"}, "planner"),
    "gen_ai.conversation.id": ({"gen_ai.operation.name": "chat"}, "c1"),
    "gen_ai.provider.name": ({"gen_ai.operation.name": "chat"}, "acme"),
    "gen_ai.tool": ({"gen_ai.operation.name": "execute_tool"}, "x"),
}
_SPELLINGS = [
    (newest, older, *given)
    for newest, spellings in ALIASES.items()
    for start, given in _READ.items()
    if newest.startswith(start)
    for older in spellings
]


@pytest.mark.parametrize(("newest", "older", "beside", "value"), _SPELLINGS)
def test_an_older_name_makes_the_row_of_the_newest(newest: str, older: str, beside: dict[str, Any], value: Any) -> None:
    """Whatever generation a span is of, its step and its run are the same, and its own names are kept."""
    old, new = run_of(span(attributes={**beside, older: value})), run_of(span(attributes={**beside, newest: value}))

    kept = [(run.steps[0].extra or {}).pop("attributes") for run in (old, new)]  # pyright: ignore[reportAttributeAccessIssue]
    assert kept == [{**beside, older: value}, {**beside, newest: value}]
    old.steps[0].source_id = new.steps[0].source_id
    # What a span was called with, and what it answered, may also be what the run was.
    old.input = new.input = old.output = new.output = None
    assert old == new


def test_the_table_of_names_is_documented() -> None:
    """The page shows the table that is read, name by name."""
    page = (Path(__file__).parents[3] / "docs" / "genai-names.md").read_text()

    rows = [line for line in page.splitlines() if line.startswith("| `")]
    shown = [[cell.replace("`", "").strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {newest: tuple(filter(None, older.split(", "))) for newest, older in shown} == ALIASES


def test_token_classes_are_disjoint() -> None:
    """OpenTelemetry's input is the sum of three classes; the uncached part is what is left."""
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }

    run = run_of(span(attributes=usage))

    assert run.usage == Usage(10, 60, 30, 7, 5)


def test_input_smaller_than_its_parts_was_uncached_already() -> None:
    """An instrumentation that passes the uncached count through is recognised; nothing becomes negative."""
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read_input_tokens": 900,
    }

    assert run_of(span(attributes=usage)).usage == Usage(12, 900)


def test_absent_tokens_are_null() -> None:
    """A span that says nothing of tokens or cost leaves both null, never 0."""
    run = run_of(span(attributes={"gen_ai.operation.name": "chat"}))

    assert (run.usage, run.cost_usd, run.steps[0].usage) == (None, None, None)


def test_an_agents_sum_is_not_counted_again() -> None:
    """Tokens on an agent's span that repeat those of the calls inside it count once."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.cost": 0.25}
    whole = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 20, "gen_ai.usage.cost": 0.5}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", attributes=whole),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=0.1, attributes=call),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa1", at=0.5, attributes=call),
    )

    assert run.usage == Usage(input_tokens=20)
    assert run.cost_usd == 0.5
    assert [step.usage for step in run.steps] == [None, Usage(10), Usage(10)]
    assert run.steps[0].extra is not None
    assert run.steps[0].extra["attributes"]["gen_ai.usage.input_tokens"] == 20


def test_the_derived_state_is_the_conversation() -> None:
    """A trace records no state: what was asked, each answer and each tool result make it, every call told once."""
    asks, tools = GENERATIONS["1.37 and later"], {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1"}
    result = {**tools, "gen_ai.tool.name": "look", "gen_ai.tool.call.result": "found"}
    unasked = {**result, "gen_ai.tool.call.id": "c2"}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", attributes=asks),
        span("aaaaaaaaaaaaaaa2", at=1, attributes=result),
        span("aaaaaaaaaaaaaaa3", at=2, attributes=unasked),
        span("aaaaaaaaaaaaaaa4", at=3, attributes=asks),
    )

    state: Any = {}
    for change in derived_states(run.steps):
        assert change.patch is not None
        state = apply(state, change.patch)
    answer = {
        "role": "assistant",
        "content": "hi",
        "tool_calls": [{"name": "look", "call_id": "c1", "arguments": {"at": 1}}],
    }
    assert [message.get("role") for message in state["messages"]] == ["user", "assistant", "assistant", "assistant"]
    assert state["messages"][1] == answer
    assert state["messages"][2] == {"role": "assistant", "tool_calls": [{"name": "look", "call_id": "c2"}]}
    assert state["tool_results"] == {"c1": "found", "c2": "found"}
