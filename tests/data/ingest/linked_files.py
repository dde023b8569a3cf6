"""Small files of runs that hang on each other: name → bytes, made for the tests."""

from __future__ import annotations

from typing import Any

from tests.data.ingest import histories

OLD, NEW = (f"5e551000-0000-4000-8000-00000000000{n}" for n in ("1", "b"))


def jsonl(*lines: Any) -> bytes:
    """Objects, one a line."""
    return b"".join(histories.dumps(line) + b"\n" for line in lines)


def answer(n: int, message_id: str, **fields: Any) -> dict[str, Any]:
    """A Claude Code line of an answer with its tokens."""
    message = {"role": "assistant", "id": message_id, "model": "m", "content": [{"type": "text", "text": "ok"}]}
    line = histories.claude_line(n, type="assistant", **fields)
    return line | {"message": message | {"usage": {"input_tokens": 3, "output_tokens": 4}}}


def compacted_session() -> dict[str, bytes]:
    """A Claude Code session that was compacted, and went on in another file."""
    first = [histories.claude_line(n) for n in range(3)]
    titles = [{"type": "summary", "summary": "Another", "leafUuid": first[0]["uuid"]}]
    boundary = histories.claude_line(10, type="system", subtype="compact_boundary", content="Conversation compacted")
    boundary |= {"sessionId": NEW, "logicalParentUuid": first[2]["uuid"]}
    del boundary["message"]
    told = histories.claude_line(11, "What was said before", sessionId=NEW, parentUuid=boundary["uuid"])
    return {f"{OLD}.jsonl": jsonl(*first), f"{NEW}.jsonl": jsonl(*titles, boundary, told)}


def forked_session() -> dict[str, bytes]:
    """A Claude Code session, and a branch of it: its first two lines copied, then another way."""
    first = [histories.claude_line(0), answer(1, "msg-1"), histories.claude_line(2), answer(3, "msg-2")]
    copied = [line | {"sessionId": NEW, "forkedFrom": {"sessionId": OLD, "messageUuid": line["uuid"]}}
              for line in first[:2]]  # fmt: skip
    more = [histories.claude_line(10, "otherwise", sessionId=NEW), answer(11, "msg-3", sessionId=NEW)]
    return {f"{OLD}.jsonl": jsonl(*first), f"{NEW}.jsonl": jsonl(*copied, *more)}


def gemini_sub_agents() -> dict[str, bytes]:
    """A Gemini CLI session that called a sub-agent, whose own session lies in a folder named after the first."""
    about = {"projectHash": "abc", "startTime": "2026-01-02T10:00:00Z", "lastUpdated": "2026-01-02T10:01:00Z"}

    def said(n: int, kind: str, content: str, **fields: Any) -> dict[str, Any]:
        return {"id": f"m{n}", "timestamp": f"2026-01-02T10:00:{n:02d}Z", "type": kind, "content": content, **fields}

    call = {"id": "c1", "name": "codebase_investigator", "args": {"objective": "look"}, "status": "success"}
    call |= {"timestamp": "2026-01-02T10:00:09Z", "agentId": NEW, "result": [{"text": "finished"}]}
    main = [said(1, "user", "do it"), said(2, "gemini", "", toolCalls=[call], model="g"), said(3, "gemini", "Done.")]
    agent = [said(4, "user", "look"), said(5, "gemini", "Found.", model="g")]
    return {
        "chats/session-2026-01-02T10-00-5e551000.jsonl": jsonl({"sessionId": OLD, "kind": "main", **about}, *main),
        f"chats/{OLD}/{NEW}.jsonl": jsonl({"sessionId": NEW, "kind": "subagent", **about}, *agent),
    }


def openhands_conversations() -> dict[str, bytes]:
    """Conversations of the OpenHands SDK, a file an event: one starts two children, the second of which is here."""
    parent, child = OLD.replace("-", ""), NEW.replace("-", "")

    def event(n: int, kind: str, source: str, **fields: Any) -> dict[str, Any]:
        return {"id": f"e{n}", "timestamp": f"2026-02-05T11:24:{n:02d}.5", "source": source, **fields, "kind": kind}

    def said(n: int, words: str) -> dict[str, Any]:
        content = [{"type": "text", "text": words}]
        return event(n, "MessageEvent", "user", llm_message={"role": "user", "content": content})

    def started(n: int, call: str, conversation: str) -> list[dict[str, Any]]:
        tool = {"tool_name": "start_child_conversation", "tool_call_id": call}
        asked = {"task": "look", "kind": "StartChildConversationAction"}
        seen = {"conversation_id": conversation, "kind": "StartChildConversationObservation", "is_error": False}
        return [
            event(n, "ActionEvent", "agent", action=asked, **tool),
            event(n + 1, "ObservationEvent", "environment", action_id=f"e{n}", observation=seen, **tool),
        ]

    events = [said(0, "do it"), *started(1, "c1", NEW.replace("b", "c")), *started(3, "c2", NEW)]
    files = {f"{parent}/events/event-{n:05d}-e{n}.json": histories.dumps(one) for n, one in enumerate(events)}
    return files | {f"{child}/events/event-00000-e9.json": histories.dumps(said(9, "look"))}
