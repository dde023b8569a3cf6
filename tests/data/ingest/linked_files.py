"""Small files of runs that hang on each other: name → bytes, made for the tests."""

from __future__ import annotations

import gzip
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


def atif_files(reference: dict[str, Any] | None, path: str = "agents/sub.json", **fields: Any) -> dict[str, bytes]:
    """An ATIF trajectory that refers to another file, and that file; both have a placeholder for a session id."""
    about = {"schema_version": "ATIF-v1.7", "agent": {"name": "acme", "version": "1"}}
    call = {"tool_call_id": "c1", "function_name": "summarize", "arguments": {}}
    result = {"source_call_id": "c1", **({"subagent_trajectory_ref": [reference]} if reference else {})}
    asked = {"step_id": 1, "source": "user", "message": "do it"}
    acted = {"step_id": 2, "source": "agent", "message": "", "tool_calls": [call], "observation": {"results": [result]}}
    said = {"step_id": 3, "source": "agent", "message": "Done."}
    session = {"session_id": "NORMALIZED_SESSION_ID"}
    other = {**asked, "message": "look"}
    return {
        "main.json": histories.dumps({**about, **session, "steps": [asked, acted, said], **fields}),
        path: histories.dumps({**about, **session, "steps": [other]}),
    }


def atif_by_path() -> dict[str, bytes]:
    """A sub-agent's file that is named by its path alone."""
    return atif_files({"trajectory_path": "agents/sub.json"})


def atif_continued() -> dict[str, bytes]:
    """A trajectory that goes on in another file, compressed since."""
    files = atif_files(None, "main.cont-1.json", continued_trajectory_ref="main.cont-1.json")
    return {"main.json": files["main.json"], "main.cont-1.json.gz": gzip.compress(files["main.cont-1.json"], mtime=0)}
