"""What comes from the controller: setpoints for the endpoint's rules, heartbeats for the controller's clock.

Every setpoint that is not followed is counted by its reason; the counts go out with the telemetry.
"""

import logging
import math
from collections import Counter

from agent.controller_clock import ControllerClock
from agent.endpoint import Endpoint, Verdict
from derms.contract import Refusal, Topics, decode_controller, decode_setpoint
from derms.model import DeviceKind, Outcome, Setpoint
from derms.ports import Clock, Message

_log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
"""A refused setpoint is logged at most once in this time for each reason [s]."""
SKEW_S = 10.0
"""A wall clock that is this far from the controller's is said once [s]."""


class Orders:
    """Judges what one device receives. Owned by one task.

    Args:
        device_id: For the log.
        kind: What the device is.
        endpoint: Its rules.
        topics: Under which prefix.
        clock: Wall and monotonic time.
    """

    def __init__(self, *, device_id: str, kind: DeviceKind, endpoint: Endpoint, topics: Topics, clock: Clock) -> None:
        self._device_id = device_id
        self._kind = kind
        self._endpoint = endpoint
        self._topics = topics
        self._clock = clock
        self._controller = ControllerClock()
        self._epoch = 0
        self._logged_at_s: dict[str, float] = {}
        self._skewed = False
        self.refused: Counter[Outcome] = Counter()
        """Setpoint messages that could not be understood, by outcome."""

    def take(self, message: Message) -> Verdict | Outcome | None:
        """Judge a message; None: it was no setpoint."""
        if not message.payload:
            return None  # a retained setpoint was cleared: the lease lives on until its own end
        if self._topics.controller_of(message.topic) is not None:
            self._take_heartbeat(message)
            return None
        now_s = self._clock.monotonic_s()
        decoded = decode_setpoint(self._topics, message.topic, message.payload, kind=self._kind)
        if isinstance(decoded, Refusal):
            self.refused[decoded.outcome] += 1
            self._log_refused(decoded.outcome.value, decoded.detail, now_s)
            return decoded.outcome
        wall_ms, there_ms = self._clock.now_ms(), self._controller.now_ms(now_s)
        verdict = self._endpoint.offer(
            decoded,
            now_ms=wall_ms if there_ms is None else there_ms,
            monotonic_s=now_s,
            at_most_s=math.inf if message.expires_s is None else message.expires_s,
        )
        if verdict is Verdict.ACCEPTED:
            if isinstance(decoded, Setpoint) and not message.retained:
                sure = abs(decoded.issued_at_ms - wall_ms) <= SKEW_S * 1000
                self._controller.hear(decoded.issued_at_ms, monotonic_s=now_s, sure=sure)
        elif verdict is not Verdict.REPEATED:
            self._log_refused(verdict.value, f"{decoded.p_setpoint_kw} kW", now_s)
        return verdict

    def counts(self) -> tuple[tuple[str, int], ...]:
        """What was refused since the start, by reason."""
        judged = {verdict.value: n for verdict, n in self._endpoint.counts.items() if verdict is not Verdict.ACCEPTED}
        return tuple(sorted((judged | {outcome.value: n for outcome, n in self.refused.items()}).items()))

    def _take_heartbeat(self, message: Message) -> None:
        """A retained one is from long ago, and a controller that was replaced may still beat."""
        presence = decode_controller(self._topics, message.topic, message.payload)
        if isinstance(presence, Refusal) or message.retained or not presence.online or presence.epoch < self._epoch:
            return
        self._epoch = presence.epoch
        now_s = self._clock.monotonic_s()
        self._controller.hear(presence.heartbeat_ms, monotonic_s=now_s, sure=True)
        there_ms = self._controller.now_ms(now_s)
        skew_s = 0.0 if there_ms is None else (self._clock.now_ms() - there_ms) / 1000
        if (abs(skew_s) > SKEW_S) is not self._skewed:
            self._skewed = not self._skewed
            words = "this machine's clock differs from the controller's; leases are judged by the controller's"
            _log.log(
                logging.WARNING if self._skewed else logging.INFO,
                words if self._skewed else "this machine's clock agrees with the controller's again",
                extra={"device_id": self._device_id, "ahead_s": round(skew_s, 1)},
            )

    def _log_refused(self, reason: str, detail: str, now_s: float) -> None:
        last_s = self._logged_at_s.get(reason)
        if last_s is None or now_s - last_s >= LOG_EVERY_S:
            self._logged_at_s[reason] = now_s
            _log.warning("refused a setpoint", extra={"device_id": self._device_id, "reason": reason, "detail": detail})
