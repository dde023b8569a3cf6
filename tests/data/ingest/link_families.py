"""Families of files whose runs hang on each other, made for the tests: each a list of what is written where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.data.ingest import histories, linked_files
from tests.data.ingest.linked_files import NEW, OLD, answer, jsonl

Write = tuple[str, bytes]  # the path of a file, and what it holds then: one path may hold several, one after the other


# -- ATIF --------------------------------------------------------------------------------------------------------------


def trajectory(asked: str, at: int | None = None, lasts: int = 10, **fields: Any) -> bytes:
    """A trajectory of two steps; ``reference`` is what the second says of a sub-agent's."""
    reference = fields.pop("reference", None)
    call = {"tool_call_id": "c1", "function_name": "look", "arguments": {}}
    result = {"source_call_id": "c1", **({"subagent_trajectory_ref": [reference]} if reference else {})}
    steps: list[dict[str, Any]] = [
        {"step_id": 1, "source": "user", "message": asked},
        {"step_id": 2, "source": "agent", "message": "", "tool_calls": [call], "observation": {"results": [result]}},
    ]
    if at is not None:
        for step, second in zip(steps, (at, at + lasts), strict=True):
            step["timestamp"] = f"2026-01-02T10:{second // 60:02d}:{second % 60:02d}Z"
    about = {"schema_version": "ATIF-v1.7", "session_id": "NORMALIZED_SESSION_ID"}
    return histories.dumps({**about, "agent": {"name": "acme", "version": "1"}, "steps": steps, **fields})


_SUB = {"trajectory_path": "sub.json"}


def two_name_one() -> list[Write]:
    """Two trajectories that name one file."""
    return [
        ("a.json", trajectory("a", reference=_SUB)),
        ("b.json", trajectory("b", reference=_SUB)),
        ("sub.json", trajectory("sub")),
    ]


def two_name_one_in_time() -> list[Write]:
    """Two trajectories that name one file, whose run began while one of them ran."""
    return [
        ("a.json", trajectory("a", 0, reference=_SUB)),
        ("b.json", trajectory("b", 100, reference=_SUB)),
        ("sub.json", trajectory("sub", 105, 2)),
    ]


def written_anew() -> list[Write]:
    """A file that is named, overwritten with another run."""
    return [
        ("main.json", trajectory("main", reference=_SUB)),
        ("sub.json", trajectory("sub 1")),
        ("sub.json", trajectory("sub 2")),
    ]


def both_written_anew() -> list[Write]:
    """A trajectory and the file that it names, both overwritten by the next run in the folder."""
    return [
        ("main.json", trajectory("main 1", 0, reference=_SUB)),
        ("sub.json", trajectory("sub 1", 5, 2)),
        ("main.json", trajectory("main 2", 100, reference=_SUB)),
        ("sub.json", trajectory("sub 2", 105, 2)),
    ]


def continued_anew() -> list[Write]:
    """A trajectory that goes on in a file, which was overwritten by a run of before."""
    return [
        ("main.json", trajectory("main", 100, continued_trajectory_ref="sub.json")),
        ("sub.json", trajectory("after", 200)),
        ("sub.json", trajectory("before", 0)),
    ]


def copies() -> list[Write]:
    """A file that is named, and copies of it that are not; a trajectory in two folders beside two files."""
    main = trajectory("main", reference={"trajectory_path": "agents/sub.json"})
    return [
        ("old/agents/sub.json", trajectory("sub 1")),
        ("new/agents/sub.json", trajectory("sub 2")),
        ("backup/sub.json", trajectory("sub 1")),
        ("old/main.json", main),
        ("new/main.json", main),
    ]


def by_path_and_by_id() -> list[Write]:
    """A file that one trajectory names by its path, and another by the id of its session."""
    return [
        ("a.json", trajectory("a", session_id="main-1", reference=_SUB)),
        ("b.json", trajectory("b", session_id="main-2", reference={"session_id": "sub-7"})),
        ("sub.json", trajectory("sub", session_id="sub-7")),
        ("sub.json", trajectory("other", session_id="sub-8")),
    ]


def one_id_of_two() -> list[Write]:
    """A session that two trajectories say they started, one of which its id says too."""
    own = "main-1-summarization-1-summary"
    return [
        ("a.json", trajectory("a", 100, session_id="main-1", reference={"session_id": own})),
        ("b.json", trajectory("b", 0, session_id="main-2", reference={"session_id": own})),
        ("c.json", trajectory("c", session_id="main-3", reference={"session_id": own})),
        ("sub.json", trajectory("sub", 5, session_id=own)),
    ]


def in_a_circle() -> list[Write]:
    """Three files that name each other in a circle."""
    return [
        (f"{name}.json", trajectory(name, reference={"trajectory_path": f"{other}.json"}))
        for name, other in ("ab", "bc", "ca")
    ]


# -- Claude Code -------------------------------------------------------------------------------------------------------

THIRD, FOURTH = NEW.replace("b", "c"), NEW.replace("b", "d")


def grown(path: str, *lines: Any) -> list[Write]:
    """A file after its first lines, and whole."""
    return [(path, jsonl(*lines[: (len(lines) + 1) // 2])), (path, jsonl(*lines))]


def tasks(session: str = OLD) -> list[dict[str, Any]]:
    """The lines of a session that starts two sub-agents."""
    lines = [histories.claude_line(0, "do it", sessionId=session)]
    for n, agent in enumerate(("a1b2c3d4", "e5f6a7b8")):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "Task", "input": {"prompt": f"part {n}"}}
        asked = answer(10 + n, f"msg_{n}", sessionId=session, parentUuid=lines[0]["uuid"])
        asked["message"]["content"] = [call]
        result = [{"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "done"}]
        told = {"agentId": agent, "status": "completed"}
        lines += [asked, histories.claude_line(20 + n, result, toolUseResult=told, sessionId=session)]
    return lines


def agent(n: int, name: str) -> Write:
    """The file of a sub-agent."""
    lines = [histories.claude_line(30 + 10 * n + i, f"part {n}", isSidechain=True, agentId=name) for i in range(2)]
    return f"agent-{name}.jsonl", jsonl(*lines)


def branch(lines: list[dict[str, Any]], session: str, *more: dict[str, Any], of: str = OLD) -> Write:
    """A session that copies lines of another, and goes another way."""
    copied = [line | {"sessionId": session, "forkedFrom": {"sessionId": of, "messageUuid": line["uuid"]}}
              for line in lines]  # fmt: skip
    return f"{session}.jsonl", jsonl(*copied, *more)


def claude_agents_and_a_fork() -> list[Write]:
    """A session that grows, its sub-agents, and a branch of it that has copies of the calls that started them."""
    lines = tasks()
    fork = branch(lines[:3], NEW, histories.claude_line(50, "otherwise", sessionId=NEW))
    return [*grown(f"{OLD}.jsonl", *lines), agent(0, "a1b2c3d4"), agent(1, "e5f6a7b8"), fork]


def claude_resumed_twice() -> list[Write]:
    """A session, one that goes on from it, one that goes on from that, and a branch with a copy of the line."""
    first = [histories.claude_line(0), answer(1, "msg-1"), histories.claude_line(2)]
    second = [histories.claude_line(10 + n, "and on", sessionId=NEW) for n in range(2)]
    second[0]["parentUuid"] = first[1]["uuid"]
    third = [histories.claude_line(20, "and on", sessionId=THIRD, parentUuid=second[0]["uuid"])]
    fork = branch(first, FOURTH, histories.claude_line(30, "otherwise", sessionId=FOURTH))
    return [
        *grown(f"{OLD}.jsonl", *first), (f"{NEW}.jsonl", jsonl(*second)), (f"{THIRD}.jsonl", jsonl(*third)), fork
    ]  # fmt: skip


def claude_copied() -> list[Write]:
    """A session, one that repeats it without a word, one that goes on from a line of both, and one compacted."""
    first = [histories.claude_line(0), answer(1, "msg-1")]
    again = [line | {"sessionId": NEW} for line in first] + [histories.claude_line(9, "more", sessionId=NEW)]
    third = [histories.claude_line(20, "and on", sessionId=THIRD, parentUuid=first[1]["uuid"])]
    boundary = histories.claude_line(30, type="system", subtype="compact_boundary", content="Compacted")
    boundary |= {"sessionId": FOURTH, "logicalParentUuid": third[0]["uuid"]}
    del boundary["message"]
    fourth = [boundary, histories.claude_line(31, "What was said", sessionId=FOURTH, parentUuid=boundary["uuid"])]
    return [
        (f"{OLD}.jsonl", jsonl(*first)), (f"{NEW}.jsonl", jsonl(*again)), (f"{THIRD}.jsonl", jsonl(*third)),
        (f"{FOURTH}.jsonl", jsonl(*fourth)),
    ]  # fmt: skip


# -- Codex -------------------------------------------------------------------------------------------------------------


def codex_line(n: int, kind: str, **payload: Any) -> dict[str, Any]:
    """A line of a Codex rollout."""
    return {"timestamp": f"2025-05-01T12:00:{n:02d}Z", "type": kind, "payload": payload}


def codex_said(n: int, role: str, text: str) -> dict[str, Any]:
    """A message in a Codex rollout."""
    return codex_line(n, "response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])


def codex_family() -> list[Write]:
    """A session, a thread that it started, a fork of it with a copy of that call, and a thread of the fork."""
    call = {"type": "function_call", "name": "spawn_agent", "call_id": "call_9", "arguments": "{}"}
    end = {"type": "collab_agent_spawn_end", "call_id": "call_9", "sender_thread_id": OLD, "new_thread_id": NEW}
    main = [
        codex_line(0, "session_meta", id=OLD, cwd="/"), codex_said(1, "user", "do it"),
        codex_line(2, "response_item", **call), codex_line(3, "event_msg", **end), codex_said(4, "assistant", "Done."),
    ]  # fmt: skip
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": OLD, "depth": 1}}}
    child = [codex_line(3, "session_meta", id=NEW, cwd="/", source=spawn), codex_said(5, "user", "part")]
    fork = [codex_line(10, "session_meta", id=THIRD, cwd="/", forked_from_id=OLD), *main, codex_said(11, "user", "or")]
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": THIRD, "depth": 1}}}
    other = [codex_line(12, "session_meta", id=FOURTH, cwd="/", source=spawn), codex_said(13, "user", "else")]
    return [
        *grown(f"rollout-{OLD}.jsonl", *main), (f"rollout-{NEW}.jsonl", jsonl(*child)),
        (f"rollout-{THIRD}.jsonl", jsonl(*fork)), (f"rollout-{FOURTH}.jsonl", jsonl(*other)),
    ]  # fmt: skip


# -- Gemini CLI, OpenHands, pi -----------------------------------------------------------------------------------------


def gemini_family() -> list[Write]:
    """A session and its sub-agent's, each growing, and a session of another folder that names the sub-agent too."""
    (main, lines), (agent, said) = linked_files.gemini_sub_agents().items()
    other = lines.replace(OLD.encode(), THIRD.encode())
    first = b"".join(said.splitlines(keepends=True)[:2])
    return [(main, b"".join(lines.splitlines(keepends=True)[:2])), (main, lines), (agent, first), (agent, said),
            ("chats/session-2026-01-02T10-00-other.jsonl", other)]  # fmt: skip


def openhands_family() -> list[Write]:
    """The conversations of the OpenHands SDK, a file an event."""
    return list(linked_files.openhands_conversations().items())[-5:]


def openhands_forked() -> list[Write]:
    """A conversation, and one that was forked from it: its folder begins with copies of the other's files."""
    files = list(linked_files.openhands_conversations().items())
    own = files[0][0].split("/")[0]
    other = [(path.replace(own, own.replace("1", "7")), data) for path, data in files[:2]]
    return [*files[:2], *other]


def pi_entry(n: int, role: str, text: str, **fields: Any) -> dict[str, Any]:
    """A message in a pi session."""
    said = {"role": role, "content": [{"type": "text", "text": text}], **fields}
    at = f"2025-05-01T12:00:{n:02d}Z"
    return {"timestamp": at, "type": "message", "id": f"m{n}", "parentId": f"m{n - 1}", "message": said}


def pi_family() -> list[Write]:
    """A session that grows, a fork of it, and a fork of that."""

    def header(n: int, own: str, above: str | None = None) -> dict[str, Any]:
        told = {"parentSession": f"/home/u/.pi/2025_{above}.jsonl"} if above else {}
        return {"timestamp": f"2025-05-01T12:00:{n:02d}Z", "type": "session", "version": 3, "id": own, **told}

    said = [pi_entry(n, role, f"said {n}") for n, role in ((1, "user"), (2, "assistant"), (3, "user"))]
    return [
        *grown(f"2025_{OLD}.jsonl", header(0, OLD), *said),
        (f"2025_{NEW}.jsonl", jsonl(header(10, NEW, OLD), *said[:2], pi_entry(11, "user", "or"))),
        (f"2025_{THIRD}.jsonl", jsonl(header(20, THIRD, NEW), *said[:2], pi_entry(11, "user", "or"))),
        (f"2025_{FOURTH}.jsonl", jsonl(header(21, FOURTH, OLD), *said[:1], pi_entry(22, "user", "else"))),
    ]


# -- traces ------------------------------------------------------------------------------------------------------------


def otlp_family() -> list[Write]:
    """A trace in three files, whose outermost span links to another trace, and that in two."""
    other = "0af7651916cd43dd8448eb211c8031ff"
    link = [{"traceId": other, "spanId": f"{41:016x}"}]
    spans = [histories.otlp_span(n, parentSpanId=f"{n:016x}" if n else "") for n in range(3)]
    spans[0]["links"], spans[1]["links"] = link, [{"traceId": other, "spanId": f"{42:016x}"}]
    before = [histories.otlp_span(40 + n, traceId=other, parentSpanId=f"{40 + n:016x}" if n else "") for n in range(2)]
    return [(f"{n}.jsonl", jsonl(histories.otlp_request(span))) for n, span in enumerate([*spans, *before])]


def openinference_family() -> list[Write]:
    """A trace as OpenTelemetry JS dumps it, in three files, linked to another in one."""
    other = "0af7651916cd43dd8448eb211c8031ff"

    def span(n: int, trace: str, parent: int | None, **fields: Any) -> Write:
        about = {"traceId": trace, "spanId": f"{n + 1:016x}"}
        at = 1_700_000_000 + n
        told = {"name": f"span {n}", "spanContext": about, "startTime": [at, 0], "endTime": [at + 1, 0]}
        told |= {"parentSpanId": None if parent is None else f"{parent + 1:016x}", "attributes": {"n": n}, **fields}
        return f"{n}.jsonl", jsonl(told)

    own, link = "0af7651916cd43dd8448eb211c80319c", [{"context": {"traceId": other, "spanId": f"{10:016x}"}}]
    return [
        span(0, own, None, links=link), span(1, own, 0), span(2, own, 1), span(9, other, None), span(10, other, 9)
    ]  # fmt: skip


FAMILIES: dict[str, Callable[[], list[Write]]] = {
    "two name one": two_name_one,
    "two name one, one in time": two_name_one_in_time,
    "written anew": written_anew,
    "both written anew": both_written_anew,
    "continued anew": continued_anew,
    "copies": copies,
    "by path and by id": by_path_and_by_id,
    "one id of two": one_id_of_two,
    "in a circle": in_a_circle,
    "claude agents": claude_agents_and_a_fork,
    "claude resumed": claude_resumed_twice,
    "claude copied": claude_copied,
    "codex": codex_family,
    "gemini": gemini_family,
    "openhands": openhands_family,
    "openhands forked": openhands_forked,
    "pi": pi_family,
    "otlp": otlp_family,
    "openinference": openinference_family,
}
