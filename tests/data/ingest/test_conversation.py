"""Conversations in the shapes of providers and frameworks, as one list of messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mutations import mutations

from workbench.data.ingest.reading.conversation import answer, conversation, decoded

CALL = {"id": "c1", "name": "look", "arguments": {"at": "sky"}}
ARGUMENTS = '{"at": "sky"}'
SAID = [{"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]}]

ANSWERS: dict[str, Any] = {
    "OpenAI chat": {"choices": [{"message": {"role": "assistant", "content": "Let me look.", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}]}}]},
    "Anthropic": {"role": "assistant", "content": [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}}]},
    "Anthropic without a role": {"content": [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}}]},
    "Gemini": {"candidates": [{"content": {"role": "model", "parts": [
        {"text": "Let me look."}, {"functionCall": {"id": "c1", "name": "look", "args": {"at": "sky"}}}]}}]},
    "LangChain": {"generations": [[{"text": "Let me look.", "message": {
        "type": "ai", "content": "Let me look.",
        "tool_calls": [{"id": "c1", "name": "look", "args": {"at": "sky"}}]}}]]},
    "LangChain, serialised": {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessageChunk"], "kwargs": {
        "content": "Let me look.", "type": "ai", "tool_calls": [{"id": "c1", "name": "look", "args": {"at": "sky"}}]}},
    "LangChain, the provider's calls": {"role": "assistant", "content": "Let me look.", "additional_kwargs": {
        "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": ARGUMENTS}, "type": "function"}]}},
    "LangChain, older": {"type": "ai", "data": {"content": "Let me look.", "tool_calls": [
        {"id": "c1", "name": "look", "args": {"at": "sky"}}]}},
    "OpenInference": [{"message": {"role": "assistant", "content": "Let me look.", "tool_calls": [
        {"tool_call": {"id": "c1", "function": {"name": "look", "arguments": ARGUMENTS}}}]}}],
    "AI SDK": {"text": "Let me look.", "toolCalls": [
        {"toolCallId": "c1", "toolName": "look", "input": ARGUMENTS}]},
    "AI SDK message": {"role": "assistant", "content": [
        {"type": "text", "text": "Let me look."},
        {"type": "tool-call", "toolCallId": "c1", "toolName": "look", "args": {"at": "sky"}}]},
}  # fmt: skip


@pytest.mark.parametrize("shape", ANSWERS)
def test_an_answer_reads_alike_in_every_shape(shape: str) -> None:
    """Text and tool calls of an answer are the same, whoever wrote it."""
    messages = conversation(ANSWERS[shape], "assistant")

    assert messages == SAID
    assert answer(messages) == ("Let me look.", [{"name": "look", "call_id": "c1", "arguments": {"at": "sky"}}])


def test_openai_responses_are_several_messages() -> None:
    """A response of OpenAI lists text and calls beside each other, and reasoning, which is no message."""
    response = {"object": "response", "output": [
        {"type": "reasoning", "id": "r1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "id": "f1", "call_id": "c1", "name": "look", "arguments": ARGUMENTS}]}  # fmt: skip

    messages = conversation(response, "assistant")

    assert messages == [
        {"role": "assistant", "content": "Let me look."}, {"role": "assistant", "tool_calls": [CALL]}
    ]  # fmt: skip


REQUESTS: dict[str, Any] = {
    "messages": {"model": "m", "messages": [
        {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"role": "tool", "tool_call_id": "c1", "content": "blue"}]},
    "a list of lists": {"messages": [[
        {"type": "system", "content": "Be brief."},
        {"type": "human", "content": [{"type": "text", "text": "Weather?"}]},
        {"type": "tool", "tool_call_id": "c1", "content": "blue", "artifact": None}]]},
    "Gemini": {"config": {"system_instruction": "Be brief."}, "contents": [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "response": "blue"}}]}]},
    "Anthropic results": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "blue"}]}],
    "OpenAI responses": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"type": "function_call_output", "call_id": "c1", "output": "blue"}],
    "definitions among them": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"role": "tool", "content": {"type": "function", "function": {"name": "look"}}},
        {"role": "tool", "tool_call_id": "c1", "content": "blue"}],
}  # fmt: skip


@pytest.mark.parametrize("shape", REQUESTS)
def test_a_request_reads_alike_in_every_shape(shape: str) -> None:
    """System, user and tool messages are the same, whoever wrote them."""
    assert conversation(REQUESTS[shape], "user") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "tool", "tool_call_id": "c1", "content": "blue"},
    ]


def test_a_prompt_is_a_conversation() -> None:
    """A prompt with its system text is two messages."""
    assert conversation({"system": "Be brief.", "prompt": "Weather?"}, "user") == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [None, 7, "text", [], {}, [1, 2], {"city": "Rome"}, [{"temperature": 64}], {"messages": [1]}, {"type": []},
     {"content": {}}, {"choices": []}, {"role": None}, [[[]]]],
)  # fmt: skip
def test_what_is_no_conversation_is_left_alone(value: Any) -> None:
    """Numbers, texts, results of tools and empty values are no messages."""
    assert conversation(value, "user") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"plain"', "plain"),
        ("plain", "plain"),
        ("7", "7"),
        ('{"a": ', '{"a": '),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),  # the text alone says both
        ("[NaN]", "[NaN]"),
        (None, None),
        ({"a": "[1]"}, {"a": "[1]"}),
    ],
)
def test_texts_of_json_are_decoded_where_nothing_is_lost(text: Any, value: Any) -> None:
    """Encoded once or twice; a text that JSON cannot say exactly stays the text."""
    assert decoded(text) == value


def test_any_damage_is_survived() -> None:
    """Values of wrong types anywhere in any shape raise nothing."""
    shapes = [*ANSWERS.values(), *REQUESTS.values()]
    for data in mutations(json.dumps(shapes).encode(), n=600):
        for value in decoded(data.decode("utf-8", "replace")):
            answer(conversation(value if isinstance(value, dict | list) else {}, "user"))


def test_depth_is_survived() -> None:
    """Wrappers within wrappers end in no conversation, not in the stack."""
    value: Any = {"role": "user", "content": "hi"}
    for _ in range(5000):
        value = {"message": value}

    assert conversation(value, "user") is None
