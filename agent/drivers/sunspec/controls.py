"""What is written to a SunSpec device for a power and a time: registers out, nothing asked of anyone. Pure.

A plan is made against the model as it stands in the device, since its scale factors decide what fits a register. Values
and reversion go first, enabling last: an agent that dies between the two has changed nothing that is in force, or only
a value whose old timer still runs. Enabling anew is what starts the device's reversion timer, by the specification.

Source: SunSpec Alliance, DER Information Model Specification, section on reversion timers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.drivers.sunspec.models import DerControls, ImmediateControls
from agent.drivers.sunspec.points import Block, Point, PointType, to_words, unscaled
from derms.errors import DeviceFaultError

_FULL_PCT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a device, in SunSpec's sign: generation positive."""

    watts: float | None
    """Of PV the most it may generate, of a battery its setpoint [W]; None: not under command."""
    after_w: float | None
    """The same when it is left alone: its default control [W]; None: not under command."""
    seconds: float
    """For how long; infinity: until told otherwise."""
    limit_w: float
    """What 100 % is, generating [W]."""
    charge_limit_w: float
    """What 100 % is, charging [W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Registers that are written in one request."""

    offset: int
    """Words from the model's first."""
    words: tuple[int, ...]
    optional: bool = False
    """It is the reversion: a device that refuses it is commanded without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write, in order, and what must then be read back."""

    writes: tuple[Write, ...]
    expect: tuple[tuple[Point, int], ...]
    """Raw values without which the device does not obey."""
    reversion: tuple[tuple[Point, int], ...] = ()
    """Raw values without which it does not revert by itself."""

    def stands(self, block: Block) -> bool:
        """Whether the device is as the plan leaves it."""
        return all(block.raw(point) == raw for point, raw in self.expect)

    def reverts(self, block: Block) -> bool:
        """Whether its reversion is as the plan leaves it."""
        return all(block.raw(point) == raw for point, raw in self.reversion)


class Control(Protocol):
    """One way of commanding a device."""

    model: int
    words: int
    """How much of the model it needs."""

    def plan(self, block: Block, wish: Wish, *, reversion: bool) -> Plan:
        """What to write.

        Args:
            block: The model as it stands in the device.
            wish: What is asked.
            reversion: Whether to set the timer.

        Raises:
            DeviceFaultError: The device has not got what that needs.
        """
        ...


class DerLimit:
    """Model 704, WMaxLimPct: a generation limit that reverts to the default control."""

    model = 704
    words = 59

    def plan(self, block: Block, wish: Wish, *, reversion: bool) -> Plan:
        """See `Control.plan`."""
        m = DerControls
        if wish.watts is None:
            return _released(block, m.LIMIT_ENABLED)
        scale = _scale(block, m.LIMIT_PCT)
        raw = _percent(wish.watts, wish.limit_w, scale)
        enabled = (m.LIMIT_ENABLED, 1)
        if not reversion:
            return _plan([(m.LIMIT_PCT, raw)], [], [], enabled)
        after = wish.after_w
        raw_after = _percent(wish.limit_w if after is None else after, wish.limit_w, scale)
        back = [
            (m.LIMIT_PCT_AFTER, raw_after),
            (m.LIMIT_ENABLED_AFTER, int(after is not None)),
            (m.LIMIT_TIMER_S, _timer_s(wish.seconds, PointType.UINT32)),
        ]
        return _plan([(m.LIMIT_PCT, raw)], [back], back, enabled)


class OldLimit:
    """Model 123, WMaxLimPct: a generation limit that, when its time is over, is lifted."""

    model = 123
    words = 26

    def plan(self, block: Block, wish: Wish, *, reversion: bool) -> Plan:
        """See `Control.plan`."""
        m = ImmediateControls
        if wish.watts is None:
            return _released(block, m.ENABLED)
        raw = _percent(wish.watts, wish.limit_w, _scale(block, m.LIMIT_PCT))
        timer = [(m.TIMER_S, _timer_s(wish.seconds, PointType.UINT16))] if reversion else []
        return _plan([(m.LIMIT_PCT, raw)], [timer] if timer else [], timer, (m.ENABLED, 1))


class DerSetpoint:
    """Model 704, WSet: a battery's setpoint, in watts, or where the device has not got those in percent."""

    model = 704
    words = 59

    def plan(self, block: Block, wish: Wish, *, reversion: bool) -> Plan:
        """See `Control.plan`."""
        m = DerControls
        if wish.watts is None:
            return _released(block, m.SET_ENABLED)
        in_watts = block.scale_of(m.SET_W) is not None
        now, after = (m.SET_W, m.SET_W_AFTER) if in_watts else (m.SET_PCT, m.SET_PCT_AFTER)
        scale = _scale(block, now)

        def raw(watts: float) -> int:
            if in_watts:
                return unscaled(watts, scale)
            return unscaled(_FULL_PCT * watts / (wish.limit_w if watts > 0 else wish.charge_limit_w), scale)

        values = [(m.SET_MODE, int(in_watts)), (now, raw(wish.watts))]
        enabled = (m.SET_ENABLED, 1)
        if not reversion:
            return _plan(values, [], [], enabled)
        back_value = [(after, raw(wish.after_w or 0.0))]
        back = [
            (m.SET_ENABLED_AFTER, int(wish.after_w is not None)),
            (m.SET_TIMER_S, _timer_s(wish.seconds, PointType.UINT32)),
        ]
        return _plan(values, [back_value, back], back_value + back, enabled)


_Values = Sequence[tuple[Point, int]]


def _plan(values: _Values, optional: Sequence[_Values], reversion: _Values, enabled: tuple[Point, int]) -> Plan:
    """Reversion first, then the value it is for, then enabling."""
    back = [_together(group, optional=True) for group in optional]
    return Plan(
        writes=(*back, *(_together([value]) for value in values), _together([enabled])),
        expect=(*values, enabled),
        reversion=tuple(reversion),
    )


def _together(values: _Values, *, optional: bool = False) -> Write:
    """Points that stand side by side, as one write."""
    words: list[int] = []
    first = values[0][0]
    for point, raw in values:
        assert point.offset == first.offset + len(words), "side by side"
        try:
            words += to_words(raw, point.kind)
        except ValueError as error:
            raise DeviceFaultError(
                f"{point.name} cannot be {raw}",
                why=f"{error}, which its register is",
                next_step="check the device's scale factors and the rating in the agent's configuration",
            ) from error
    return Write(offset=first.offset, words=tuple(words), optional=optional)


def _released(block: Block, enabled: Point) -> Plan:
    """Not under command: what was enabled is disabled; a device that has not got it needs nothing."""
    if block.raw(enabled) is None:
        return Plan(writes=(), expect=())
    return Plan(writes=(_together([(enabled, 0)]),), expect=((enabled, 0),))


def _percent(watts: float, full_w: float, scale: int) -> int:
    """A share of the device's power, never more than asked for, nor than fits the register."""
    share = min(max(_FULL_PCT * watts / full_w, 0.0), _FULL_PCT)
    return min(unscaled(share, scale), 0xFFFE)


def _timer_s(seconds: float, kind: PointType) -> int:
    """Whole seconds, not beyond what was granted; 0 means that it never reverts."""
    assert kind.sentinel is not None, "timers are integers"
    return 0 if math.isinf(seconds) else min(max(1, math.floor(seconds)), kind.sentinel - 1)


def _scale(block: Block, point: Point) -> int:
    scale = block.scale_of(point)
    if scale is None:
        raise DeviceFaultError(
            f"model {block.model}: {point.name} has no scale factor",
            why="without it nobody can tell what a value in the register would mean",
            next_step="initialise the device's controls (some need a first setting by its own app), or update it",
        )
    return scale
