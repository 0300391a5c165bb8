"""The kinds of alarms: the engine's, and those of the daemon around it. Pure; the table is in `docs/alarms.md`.

The engine counts ticks before an alarm of its own stands; the delays here come on top.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from derms.alarms.machine import Rule
from derms.control.alarm_kinds import RULES as ENGINE_RULES
from derms.control.alarm_kinds import AlarmKind
from derms.model import Priority


class DaemonKind(StrEnum):
    """What is wrong outside of a tick."""

    COMPLIANCE_LATE = "compliance-late"
    LOOP_STALLED = "loop-stalled"
    STORE_AWAY = "store-away"
    BROKER_AWAY = "broker-away"
    SPOOL_FILLING = "spool-filling"


GROUPED = frozenset(kind.value for kind in AlarmKind)
"""Of these, many at once are one alarm."""

_DELAYS_S = {
    AlarmKind.DISOBEDIENT: (0.0, 30.0),
    # While a fleet comes up it is passed for some seconds, again and again.
    AlarmKind.ENVELOPE_OVER: (15.0, 30.0),
    # After a restart nobody has been heard yet.
    AlarmKind.METER_SILENT: (10.0, 5.0),
    AlarmKind.DEVICES_SILENT: (10.0, 5.0),
}
"""On- and off-delay on top of the engine's ticks [s]; of the others there is none."""

_DAEMON_RULES = {
    DaemonKind.COMPLIANCE_LATE: Rule(
        priority=Priority.HIGH,
        on_s=30.0,
        off_s=5.0,
        consequence="what was committed for the event is not delivered",
        response="see who refuses or is silent in the event's outcome; shed by hand, or amend or cancel the event",
    ),
    DaemonKind.LOOP_STALLED: Rule(
        priority=Priority.HIGH,
        on_s=0.0,
        off_s=5.0,
        consequence="no setpoints are sent; devices fall to their default controls as their leases end",
        response="look at the log and the load of the machine; restart the controller if it does not come back",
    ),
    DaemonKind.STORE_AWAY: Rule(
        priority=Priority.MEDIUM,
        on_s=10.0,
        off_s=5.0,
        consequence="control goes on; rows go to the spool, and nothing can be created or changed through the API",
        response="start the database, or restore the path to it",
    ),
    DaemonKind.BROKER_AWAY: Rule(
        priority=Priority.HIGH,
        on_s=10.0,
        off_s=5.0,
        consequence="nothing is heard or told; devices fall to their default controls as their leases end",
        response="start the broker, or restore the path to it",
    ),
    DaemonKind.SPOOL_FILLING: Rule(
        priority=Priority.MEDIUM,
        on_s=0.0,
        off_s=5.0,
        consequence="when it is full new samples are refused",
        response="bring the database back, or raise spool_max_mb",
    ),
}


def _engine_rule(kind: AlarmKind) -> Rule:
    rule = ENGINE_RULES[kind]
    on_s, off_s = _DELAYS_S.get(kind, (0.0, 0.0))
    return Rule(
        priority=Priority(rule.severity.value),
        on_s=on_s,
        off_s=off_s,
        consequence=rule.consequence,
        response=rule.response,
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {kind.value: _engine_rule(kind) for kind in AlarmKind} | {kind.value: rule for kind, rule in _DAEMON_RULES.items()}
)
"""By kind."""
