"""A driver for tests: lines as Python values, answers likewise."""

import json
from typing import Any

from derms.cosim.run import Conversation

Line = dict[str, Any]


def answers(*lines: Line | str) -> list[Line]:
    """What a session answers to some lines, one after the other."""
    conversation = Conversation()
    return [
        conversation.answer((line if isinstance(line, str) else json.dumps(line)).encode(), number)
        for number, line in enumerate(lines, start=1)
    ]


class Session:
    """A session of steps of 300 s, or others; an error line fails the test."""

    def __init__(self, nodes: Line | float, devices: Line | None = None, step_s: float = 300.0, **opening: Any) -> None:
        self._conversation = Conversation()
        self._lines = 0
        self.now = -step_s
        self.step_s = step_s
        limits = nodes if isinstance(nodes, dict) else {"feeder": {"import_limit_kw": nodes}}
        parameters = {"interval_s": step_s} | opening.pop("parameters", {})
        self.ready = self.say({"nodes": limits, "devices": devices or {}, "parameters": parameters, **opening})

    def say(self, line: Line) -> Line:
        """One line; its answer."""
        self._lines += 1
        answer = self._conversation.answer(json.dumps(line).encode(), self._lines)
        assert "error" not in answer, answer
        return answer

    def tick(self, devices: Line | None = None, **more: Any) -> Line:
        """The next tick."""
        self.now += self.step_s
        return self.say({"now": self.now, "devices": devices or {}, **more})


def setpoints(answer: Line) -> dict[str, float]:
    """Powers by device [kW]."""
    return {key: told["p_setpoint_kw"] for key, told in answer["setpoints"].items()}


def ev(**said: Any) -> Line:
    """A charger of 7 kW that takes any power, with changes."""
    return {"type": "ev", "p_max_kw": 7.0, **said}
