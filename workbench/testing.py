"""For tests of agents: run one on recorded answers, and assert that it does what was recorded.

``bench.to_pytest(run, "test_agent.py")`` writes such a test. It needs no database and no network::

    from workbench import testing

    played = testing.play("my_package.agents:plan", STEPS, state={"to": "OSL"})
    testing.check_steps(played, STEPS)

Tools and models of the agent are answered from the recording where they are declared (:func:`pure`,
:func:`idempotent`, :func:`side_effect`, :func:`model`) or captured by ``bench.trace``. What the agent records itself
with ``bench.record()`` is kept in memory. Connections, processes and changed files are refused.
"""

from __future__ import annotations

from .replay.rerun.checks import NotAsRecordedError, check_end, check_output, check_states, check_steps
from .replay.rerun.effects import idempotent, model, pure, side_effect
from .replay.rerun.play import Played, kept_beside, play

__all__ = [
    "NotAsRecordedError",
    "Played",
    "check_end",
    "check_output",
    "check_states",
    "check_steps",
    "idempotent",
    "kept_beside",
    "model",
    "play",
    "pure",
    "side_effect",
]
