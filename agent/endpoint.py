"""The rules of a device: which setpoints it follows, for how long, and what it does without one. Pure: times come in.

::

    a valid setpoint ──► follows the lease ──► (its deadline passes) ──► ramps to default control ──► default control
                              ▲    │ a newer one                                   │ a valid one             │
                              └────┴───────────────────────────────────────────────┴─────────────────────────┘

A lease is followed at once, in either direction: ramping is the controller's work, which knows the feeder. The
fall to default control is the device's own, and is ramped so that a feeder's devices do not all step together; so is
the release of an array that has no default control and runs freely.
The deadline stands on the monotonic clock from the moment of receipt: a wall clock that jumps later neither
lengthens nor cuts a lease.
"""

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from agent.driver import Capabilities
from derms.contract import Order
from derms.model import DeviceKind, Setpoint

MAX_LEASE_S = 3600.0
"""A lease that claims to be longer is refused: it would outlive everyone who knows of it [s]."""
ORDER_LEASE_S = 300.0
"""For how long a setpoint is followed whose sender does not say, as the older controllers' [s]."""
RAMP_S = 10.0
"""The fall to default control crosses the whole rating in this time [s]."""
RAMP_HOLD_S = 10.0
"""A step of that fall outlives an agent that dies in it by this [s]."""
RATING_TOLERANCE = 0.01
"""A setpoint may be this far beyond the rating and is then clamped; beyond that it is not meant for this device."""


class Verdict(StrEnum):
    """What became of a setpoint that a device understood."""

    ACCEPTED = "accepted"
    WRONG_DEVICE = "wrong_device"
    NOT_CONTROLLABLE = "not_controllable"
    OLDER_EPOCH = "older_epoch"
    OLDER_SEQ = "older_seq"
    REPEATED = "repeated"
    UNDER_LEASE = "under_lease"
    """An order without epoch and seq, while a lease that has them is in force: it may be from long ago."""
    EXPIRED = "expired"
    LEASE_TOO_LONG = "lease_too_long"
    OUT_OF_RANGE = "out_of_range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a device follows."""

    p_kw: float
    """[kW], load convention, already within the rating and never between 0 and the smallest power."""
    deadline_s: float
    """On the monotonic clock [s]."""
    epoch: int | None = None
    seq: int | None = None
    """None: it came as an order without them."""


class Endpoint:
    """One device's rules and its memory of leases. Owned by one task.

    Args:
        device_id: Its own name.
        capabilities: What it can do.
        max_lease_s: The longest lease it takes [s].
        order_lease_s: How long it follows an order without an end [s].
        ramp_s: How long the fall to default control takes across the whole rating [s].
    """

    def __init__(
        self,
        *,
        device_id: str,
        capabilities: Capabilities,
        max_lease_s: float = MAX_LEASE_S,
        order_lease_s: float = ORDER_LEASE_S,
        ramp_s: float = RAMP_S,
    ) -> None:
        self._device_id = device_id
        self._capabilities = capabilities
        self._max_lease_s = max_lease_s
        self._order_lease_s = order_lease_s
        span_kw = capabilities.p_import_max_kw + capabilities.p_export_max_kw
        self._ramp_kw_per_s = span_kw / ramp_s
        self._lease: Lease | None = None
        self._last: tuple[int, int] | None = None
        self.counts: Counter[Verdict] = Counter()
        """How many setpoints met each verdict."""

    def offer(
        self, setpoint: Setpoint | Order, *, now_ms: int, monotonic_s: float, at_most_s: float = math.inf
    ) -> Verdict:
        """Judge a setpoint, and follow it if it is good. A refused one changes nothing.

        Args:
            setpoint: As decoded.
            now_ms: The controller's clock at receipt, as far as it is known; else the device's own [epoch ms].
            monotonic_s: The device's monotonic clock at receipt [s].
            at_most_s: What the broker says is left of its life [s].
        """
        verdict, remaining_s = self._judge(setpoint, now_ms, monotonic_s, at_most_s)
        self.counts[verdict] += 1
        if verdict is Verdict.ACCEPTED:
            epoch_seq = (setpoint.epoch, setpoint.seq) if isinstance(setpoint, Setpoint) else (None, None)
            self._lease = Lease(
                p_kw=self._feasible(setpoint.p_setpoint_kw),
                deadline_s=monotonic_s + remaining_s,
                epoch=epoch_seq[0],
                seq=epoch_seq[1],
            )
            if isinstance(setpoint, Setpoint):
                self._last = (setpoint.epoch, setpoint.seq)
        return verdict

    def following(self, monotonic_s: float) -> Lease | None:
        """The lease in force; None: the device is on its default control, or falling to it."""
        lease = self._lease
        return lease if lease is not None and monotonic_s < lease.deadline_s else None

    def target(self, monotonic_s: float) -> float | None:
        """What to ask of the driver now [kW], load convention; None: nothing, it runs as it likes."""
        lease = self._lease
        default_kw = self._capabilities.default_power_kw
        if lease is None:
            return default_kw
        if monotonic_s < lease.deadline_s:
            return lease.p_kw
        goal_kw = default_kw
        if goal_kw is None:
            if self._capabilities.kind is not DeviceKind.PV:
                return None
            goal_kw = -self._capabilities.p_export_max_kw
        moved_kw = (monotonic_s - lease.deadline_s) * self._ramp_kw_per_s
        if abs(goal_kw - lease.p_kw) <= moved_kw:
            return default_kw
        return self._floor(lease.p_kw + (moved_kw if goal_kw > lease.p_kw else -moved_kw))

    def hold_s(self, monotonic_s: float) -> float:
        """For how long the device may go on with `target` if its agent dies now [s].

        What is left of the lease; on the way to default control a moment; infinity once there.
        """
        lease = self._lease
        if lease is None:
            return math.inf
        if monotonic_s < lease.deadline_s:
            return lease.deadline_s - monotonic_s
        return math.inf if self.target(monotonic_s) == self._capabilities.default_power_kw else RAMP_HOLD_S

    def _judge(
        self, setpoint: Setpoint | Order, now_ms: int, monotonic_s: float, at_most_s: float
    ) -> tuple[Verdict, float]:
        """The verdict, and for how long the setpoint would be followed [s]."""
        if setpoint.device_id != self._device_id:
            return Verdict.WRONG_DEVICE, 0.0
        if self._capabilities.kind in (DeviceKind.LOAD, DeviceKind.METER):
            return Verdict.NOT_CONTROLLABLE, 0.0
        if isinstance(setpoint, Setpoint):
            late = self._late(setpoint)
            if late is not None:
                return late, 0.0
            length_s = (setpoint.valid_until_ms - setpoint.issued_at_ms) / 1000
            if length_s > self._max_lease_s:
                return Verdict.LEASE_TOO_LONG, 0.0
            # A device whose clock is behind would see more life in it than it was given; never more than that.
            remaining_s = min(length_s, (setpoint.valid_until_ms - now_ms) / 1000)
        else:
            lease = self.following(monotonic_s)
            if lease is not None and lease.epoch is not None:
                return Verdict.UNDER_LEASE, 0.0
            until_ms = setpoint.valid_until_ms
            remaining_s = self._order_lease_s if until_ms is None else (until_ms - now_ms) / 1000
            if remaining_s > self._max_lease_s:
                return Verdict.LEASE_TOO_LONG, 0.0
        remaining_s = min(remaining_s, at_most_s)
        if remaining_s <= 0:
            return Verdict.EXPIRED, 0.0
        if not self._within_rating(setpoint.p_setpoint_kw):
            return Verdict.OUT_OF_RANGE, 0.0
        return Verdict.ACCEPTED, remaining_s

    def _late(self, setpoint: Setpoint) -> Verdict | None:
        if self._last is None:
            return None
        epoch, seq = self._last
        if setpoint.epoch < epoch:
            return Verdict.OLDER_EPOCH
        if setpoint.epoch == epoch and setpoint.seq <= seq:
            return Verdict.REPEATED if setpoint.seq == seq else Verdict.OLDER_SEQ
        return None

    def _within_rating(self, p_kw: float) -> bool:
        """NaN is within nothing."""
        c = self._capabilities
        upper_kw = c.p_import_max_kw * (1 + RATING_TOLERANCE)
        if c.kind is DeviceKind.PV:
            # A cap above what the array can make only says that it is not curtailed.
            return p_kw <= upper_kw
        return -c.p_export_max_kw * (1 + RATING_TOLERANCE) <= p_kw <= upper_kw

    def _feasible(self, p_kw: float) -> float:
        c = self._capabilities
        return self._floor(min(max(p_kw, -c.p_export_max_kw), c.p_import_max_kw))

    def _floor(self, p_kw: float) -> float:
        """Between 0 and the smallest power there is nothing, and more than was granted is not for a device to take."""
        return 0.0 if 0 < p_kw < self._capabilities.p_min_kw else p_kw + 0.0
