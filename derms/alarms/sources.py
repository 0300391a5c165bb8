"""What is wrong now, read from the live controller; nothing is changed or remembered here."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from derms.alarms.machine import Condition
from derms.alarms.rules import DaemonKind
from derms.control.demand_response import is_active
from derms.control.trees import FeederTick, TreeState
from derms.control.words import kw_text, wait_text
from derms.model import DrEvent, FeederMode

STALLED_INTERVALS = 3.0
"""A loop that has not ticked for so many intervals stands."""
_SPOOL_HIGH, _SPOOL_LOW = 0.5, 0.4
"""Filled beyond the first share it raises an alarm, which ends below the second."""
_OVER_SHARE, _OVER_KW = 0.005, 0.1
"""As the engine has it: over by more raises an alarm; it ends at the limit."""


def of_engine(trees: Iterable[TreeState]) -> Iterator[Condition]:
    """What stands at the last tick of each tree, and trees whose tick fails."""
    for tree in trees:
        for alarm in tree.alarms:
            if alarm.stands:
                yield Condition(
                    kind=alarm.kind.value, subject=alarm.subject, cause=alarm.cause, response=alarm.response
                )
        if tree.failing:
            root = tree.feeders[0].feeder_id
            yield Condition(kind=DaemonKind.LOOP_STALLED, subject=root, cause="its tick fails by an error of its own")


def of_loop(silent_s: float, interval_s: float) -> Iterator[Condition]:
    """Whether the loop ticks.

    Args:
        silent_s: Since its last tick, or the start [s].
        interval_s: Between two ticks [s].
    """
    if silent_s > STALLED_INTERVALS * interval_s:
        yield Condition(
            kind=DaemonKind.LOOP_STALLED, subject="loop", cause=f"it has not ticked for {wait_text(silent_s)}"
        )


def of_links(*, broker_away: bool, store_away: bool) -> Iterator[Condition]:
    """Whether what is outside answers."""
    if broker_away:
        yield Condition(kind=DaemonKind.BROKER_AWAY, subject="broker", cause="the MQTT broker is not connected")
    if store_away:
        yield Condition(kind=DaemonKind.STORE_AWAY, subject="store", cause="the database does not take rows")


def of_spool(used_bytes: int, max_bytes: int, *, disk_failed: bool) -> Iterator[Condition]:
    """How full the spool is, and whether the disk under it takes anything."""
    if disk_failed:
        cause = "the disk under it takes nothing: what is new waits in memory, and at the broker"
        yield Condition(kind=DaemonKind.SPOOL_FILLING, subject="disk", cause=cause)
    share = used_bytes / max_bytes
    if share > _SPOOL_LOW:
        cause = f"it is filled to {share:.0%} of {max_bytes / 2**20:.0f} MB"
        yield Condition(kind=DaemonKind.SPOOL_FILLING, subject="spool", cause=cause, raises=share > _SPOOL_HIGH)


def of_events(events: Iterable[DrEvent], feeders: Mapping[str, FeederTick], now: datetime) -> Iterator[Condition]:
    """Events that bear and whose limit is passed; the on-delay is what they are given."""
    for event in events:
        if not is_active(event, now):
            continue
        found = [
            (excess_kw, far, feeder_id, text)
            for feeder_id in event.feeder_ids
            if (state := feeders.get(feeder_id)) is not None and state.feeder.mode is not FeederMode.OFF
            for excess_kw, far, text in _excesses(event, state)
            if excess_kw > 0.0
        ]
        if found:
            found.sort(key=lambda one: (-one[0], one[2]))
            cause = f"{found[0][2]} {found[0][3]}"
            more = f"; {len(found) - 1} more feeders too" if len(found) > 1 else ""
            yield Condition(
                kind=DaemonKind.COMPLIANCE_LATE,
                subject=event.event_id,
                cause=cause + more,
                raises=any(far for _, far, _, _ in found),
            )


def _excesses(event: DrEvent, state: FeederTick) -> Iterator[tuple[float, bool, str]]:
    """By how much one feeder passes what an event asks, whether that is far, and the words [kW]."""
    view = state.view
    # A decision from before the event says nothing of it.
    if view is None or state.decided_ms < event.start.timestamp() * 1000.0:
        return
    shed_kw = view.import_limit_kw if view.import_source == event.event_id else None
    imports = [kw for kw in (event.import_limit_kw, shed_kw) if kw is not None]
    sides = [("import", view.load_kw, min(imports))] if imports else []
    if event.export_limit_kw is not None:
        sides.append(("export", -view.load_kw, event.export_limit_kw))
    for word, load_kw, limit_kw in sides:
        excess_kw = load_kw - limit_kw
        far = excess_kw > max(_OVER_SHARE * limit_kw, _OVER_KW)
        yield excess_kw, far, f"{word}s {kw_text(load_kw)}, {kw_text(excess_kw)} more than the event allows"
