"""All about alarms, put together: what the last run left, the desk, the watch, the webhook and the watchdog."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from derms.alarms.desk import AlarmDesk
from derms.alarms.keeper import AlarmKeeper
from derms.alarms.notices import Notices, message
from derms.alarms.rules import GROUPED, RULES, DaemonKind
from derms.alarms.sources import STALLED_INTERVALS
from derms.alarms.watch import AlarmWatch, Watched
from derms.alarms.watchdog import Watchdog
from derms.metrics import Metrics
from derms.model import AlarmChange, AlarmLine, AlarmRecord
from derms.ports import AlarmStore, Clock
from derms.webhook import Webhook

_HELD_S = 10.0
"""An event loop that shows itself less often than this, or than the loop may tick, stands [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Where alarms are posted."""

    url: str = field(repr=False)
    source: str
    """The controller's name."""
    cooldown_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the composition root runs."""

    desk: AlarmDesk
    keeper: AlarmKeeper
    tasks: Mapping[str, Callable[[], Awaitable[None]]]
    watchdog: Watchdog
    recall: Callable[[], Awaitable[None]]
    """Reads what another controller has raised, in place of all that is here; raises StoreError."""


async def raised_before(
    store: AlarmStore, watched: Watched, alerts: Alerts | None, *, clock: Clock, metrics: Metrics
) -> Guard:
    """Put it together upon the alarms of the run before.

    Raises:
        StoreError: They cannot be read.
    """
    webhook = notices = None
    if alerts is not None:
        webhook = Webhook(
            alerts.url, on_result=lambda result: metrics.webhook_deliveries_total.labels(result=result).inc()
        )
        notices = Notices(webhook.put, source=alerts.source, cooldown_s=alerts.cooldown_s)
    keeper = AlarmKeeper(store, on_dropped=metrics.alarm_lines_dropped_total.inc)

    def changed(record: AlarmRecord, line: AlarmLine | None) -> None:
        keeper.put(record, line)
        if notices is not None:
            notices.changed(record, line)

    desk = AlarmDesk(RULES, gather=GROUPED, on_change=changed)
    left = await store.load_alarms()
    desk.recall(left, clock.monotonic_s())
    if notices is not None:
        notices.recall(left)

    async def recall() -> None:
        raised = await store.load_alarms()
        desk.recall_all(raised, clock.monotonic_s())
        if notices is not None:
            notices.recall(raised)

    watch = AlarmWatch(watched, desk=desk, notices=notices, clock=clock, metrics=metrics)
    limit_s = max(STALLED_INTERVALS * watched.interval_s, _HELD_S)

    def stalled(silent_s: float) -> None:
        # In the watchdog's thread: it may only send, and touches nothing of the event loop's.
        if webhook is not None and alerts is not None:
            webhook.post_now(_standing(silent_s, alerts.source, clock))

    tasks: dict[str, Callable[[], Awaitable[None]]] = {"alarms": watch.run, "alarm-keeper": keeper.run}
    if webhook is not None:
        tasks["webhook"] = webhook.run
    watchdog = Watchdog(lambda: watch.beat_s, limit_s=limit_s, clock=clock, on_stall=stalled)
    return Guard(desk=desk, keeper=keeper, tasks=tasks, watchdog=watchdog, recall=recall)


def _standing(silent_s: float, source: str, clock: Clock) -> bytes:
    """What is posted when the event loop stands, and with it everything that could raise the alarm."""
    now = datetime.fromtimestamp(clock.now_ms() / 1000.0, tz=UTC)
    rule = RULES[DaemonKind.LOOP_STALLED]
    record = AlarmRecord(
        kind=DaemonKind.LOOP_STALLED.value,
        subject="process",
        priority=rule.priority,
        cause=f"the whole controller has not moved for {silent_s:.0f} s",
        consequence=rule.consequence,
        response=rule.response,
        active=True,
        acknowledged=False,
        occurrences=1,
        raised_at=now,
    )
    return message(AlarmChange.RAISED, record, source, now)
