"""SWE-agent and mini-SWE-agent trajectories, in the five layouts that are met.

======================================  ==============================================================================
``{trajectory, history, info, …}``      ``.traj``: an entry of ``trajectory`` is a step, see ``swe_agent_traj``
``{history}``                           only what was sent and said: a message is a step, see ``swe_agent_messages``
``[{instance_id, resolved, history}]``  ``web_trajs.json`` of the project's page, judged, see ``swe_agent_web``
``[{role, content}]``                   mini-SWE-agent, version 1: a message is a step
``{info, messages, …}``                 mini-SWE-agent from then on, with outcome, cost and times
======================================  ==============================================================================

No layout has an id of the run: it is made from what was asked and first done, so it stays when the file grows. The
instance that was tried is the run's task, wherever it is written down, so that runs of one instance can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.data.ingest.formats.swe_agent_messages import history_run, mini_run
from workbench.data.ingest.formats.swe_agent_traj import trajectory_run
from workbench.data.ingest.formats.swe_agent_web import web_run
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Head, Source, kind_of

FORMAT = "swe-agent"
TITLE = "SWE-agent (.traj, web_trajs.json) and mini-SWE-agent (.traj.json) trajectories"

_MINI_FORMAT = re.compile(rb'"trajectory_format"\s*:\s*"mini-swe-agent')
# What mini-SWE-agent tells its model to write; a plain list of messages says nothing else about itself.
_MINI_WORDS = (b"mswea_bash_command", b"COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", b"MINI_SWE_AGENT_FINAL_OUTPUT")
_WHAT = "expected trajectory, history or messages as a list, or a list of runs or messages"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    keys, data = head.keys, head.data.lstrip()
    if data.startswith(b"["):
        if {"instance_id", "history.type"} <= keys:
            return 0.9
        is_chat = {"role", "content"} <= keys
        return 0.8 if is_chat and (head.name.endswith(".traj.json") or any(word in data for word in _MINI_WORDS)) else 0
    if not data.startswith(b"{"):
        return 0.0
    if {"trajectory.action", "trajectory.observation"} <= keys or _MINI_FORMAT.search(data):
        return 0.95
    if {"history.role", "history.agent"} <= keys:
        return 0.85
    if "messages" in keys and {"info.mini_version", "info.config.agent_type"} & keys:
        return 0.85
    # A run that failed before its first step, or one whose first step is longer than the head.
    return 0.8 if "trajectory" in keys and {"environment", "history", "info"} & keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trajectory, after what could not be read of it."""
    source.is_strict = True
    value = source.document().value
    if isinstance(value, list):
        yield from _list(value, source)
    elif not isinstance(value, dict):
        yield BadLine(None, f"{_WHAT}, found {kind_of(value)}")
    elif isinstance(value.get("trajectory"), list) and (value["trajectory"] or not value.get("history")):
        yield from trajectory_run(value, source)
    elif isinstance(value.get("history"), list):
        yield from history_run(value, source)
    elif isinstance(value.get("messages"), list):
        yield from mini_run(value, source)
    else:
        yield BadLine(None, f"{_WHAT}, found an object with {', '.join(sorted(value)[:8]) or 'nothing'}")


def _list(values: list[Any], source: Source) -> Iterator[Run | BadLine]:
    if not any(isinstance(value, dict) and "history" in value for value in values):
        if any(isinstance(value, dict) and "role" in value for value in values):
            yield from mini_run({"messages": values}, source)
        else:
            yield BadLine(None, f"{_WHAT}, found a list of neither")
        return
    for index, value in enumerate(values):
        if isinstance(value, dict) and isinstance(value.get("history"), list):
            yield from web_run(value, index, source)
        else:
            yield BadLine(None, f"run {index}: expected an object with a list history, found {kind_of(value)}")
