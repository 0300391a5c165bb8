"""The kinds of alarms: how soon to act, what follows, what to do, and how long a condition must last. Pure.

Source: ANSI/ISA-18.2, Management of Alarm Systems for the Process Industries: every alarm has a cause, a consequence
and a response, and delays of its own.
"""

from dataclasses import dataclass
from enum import StrEnum


class AlarmKind(StrEnum):
    """What is wrong."""

    IMPORT_OVER = "import-over"
    EXPORT_OVER = "export-over"
    SHORTFALL = "shortfall"
    DISOBEDIENT = "disobedient"
    ENVELOPE_OVER = "envelope-over"
    DEFAULTS_OVER = "defaults-over"
    METER_SILENT = "meter-silent"
    DEVICES_SILENT = "devices-silent"


class Severity(StrEnum):
    """How soon somebody should act."""

    HIGH = "high"
    """At once: a limit is broken."""
    MEDIUM = "medium"
    """Soon: a limit holds, with less behind it."""
    LOW = "low"
    """When there is time: room is lost."""


class Stage(StrEnum):
    """Where an alarm stands on its way."""

    PENDING = "pending"
    """Its condition holds, its on-delay runs."""
    STANDING = "standing"
    CLEARING = "clearing"
    """Its condition is gone, its off-delay runs; it still stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm, or one on its way to be one."""

    kind: AlarmKind
    subject: str
    """Id of the node, or of the device."""
    severity: Severity
    stage: Stage
    ticks: int
    """For how many ticks in a row it has been in a stage that a delay ends."""
    since_ms: int
    """When its condition was first seen [epoch ms]."""
    cause: str
    consequence: str
    response: str
    said_ms: int = 0
    """When its cause was put into words [epoch ms]."""

    @property
    def stands(self) -> bool:
        """Whether it is to be shown."""
        return self.stage is not Stage.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one kind of alarm behaves, and what it means."""

    severity: Severity
    on_ticks: int
    """It stands once its condition has held for so many ticks in a row."""
    off_ticks: int
    """It is over once its condition has been gone for so many."""
    consequence: str
    response: str
    """What to do, unless the finding says it more exactly."""


RULES = {
    AlarmKind.IMPORT_OVER: Rule(
        severity=Severity.HIGH,
        on_ticks=2,
        off_ticks=3,
        consequence="equipment may be overloaded; everything controllable below is being lowered",
        response="look for load that nobody controls; if it lasts, shed by hand or raise the margin",
    ),
    AlarmKind.EXPORT_OVER: Rule(
        severity=Severity.HIGH,
        on_ticks=2,
        off_ticks=3,
        consequence="voltage may rise and a connection agreement be broken; generation below is being curtailed",
        response="look for generation that nobody controls; if it lasts, switch some off by hand or raise the margin",
    ),
    AlarmKind.SHORTFALL: Rule(
        severity=Severity.HIGH,
        on_ticks=2,
        off_ticks=3,
        consequence="the limit cannot be held: everything controllable is at its relief bound already",
        response="shed load that is not controlled, or end the event that asks for more than there is",
    ),
    AlarmKind.DISOBEDIENT: Rule(
        severity=Severity.MEDIUM,
        on_ticks=1,
        off_ticks=1,
        consequence="what it really draws is reserved, and others make room for it",
        response="check its local settings and its agent; block it or take it out if it goes on",
    ),
    AlarmKind.ENVELOPE_OVER: Rule(
        severity=Severity.MEDIUM,
        on_ticks=3,
        off_ticks=3,
        consequence="if the controller or the broker died now, the limit would be passed until leases end",
        response="wait for older leases to end; if it lasts, lower default controls or shorten leases",
    ),
    AlarmKind.DEFAULTS_OVER: Rule(
        severity=Severity.MEDIUM,
        on_ticks=3,
        off_ticks=3,
        consequence="once leases end without a controller, the limit is passed and stays so",
        response="lower default controls",
    ),
    AlarmKind.METER_SILENT: Rule(
        severity=Severity.MEDIUM,
        on_ticks=1,
        off_ticks=2,
        consequence="what nobody controls is remembered, not seen: leases may fall and none rises below it",
        response="check the meter, its gateway and their path to the broker",
    ),
    AlarmKind.DEVICES_SILENT: Rule(
        severity=Severity.LOW,
        on_ticks=1,
        off_ticks=2,
        consequence="what they may draw is reserved and given to nobody",
        response="check the devices, their gateway and their path to the broker; retire what is gone for good",
    ),
}
