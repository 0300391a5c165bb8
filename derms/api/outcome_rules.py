"""What came of a DR event, made of what is stored. Pure.

Baseline: the mean load of the feeder in the `BASELINE` before its event began, each tick counted for as long as it
lasted. It is what flowed shortly before, not a forecast of what would have flowed: for an event of minutes that is the
better guess, for one of hours it knows nothing of the hour of the day.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from derms.api.schemas.events import event_out
from derms.api.schemas.outcomes import (
    DeviceOutcome,
    Direction,
    FeederOutcome,
    IntervalOutcome,
    OutcomeOut,
    Part,
)
from derms.errors import UsageError
from derms.model import DeviceKind, DrEvent
from derms.ports import DeviceCourse, OutcomeBucket, OutcomeWanted

BASELINE = timedelta(seconds=900)
MIN_BASELINE_S = 60.0
"""With less on record than this there is no baseline [s]."""
SETTLED = timedelta(seconds=10)
"""What a device is given to follow, at most half of the event."""
MAX_BUCKETS = 1500
_LENGTHS_S = (60.0, 300.0, 900.0, 3600.0, 6 * 3600.0, 86_400.0)
_FEW = 200
"""So many intervals at most, unless asked otherwise."""
_TOLERANCE, _TOLERANCE_KW = 0.005, 0.1
"""As the alarms have it."""
_PROBES, _PROBES_BEFORE = 30, 6
_CALLED_KW = 0.1
"""Told to give less than this is not called [kW]."""
_ASTRAY, _ASTRAY_KW = 0.1, 0.2
"""Beyond what it was told by more than this share of it, and by more than this [kW], does not follow."""


def wanted_of(event: DrEvent, bucket_s: float | None, now: datetime) -> OutcomeWanted:
    """How the outcome of an event is to be measured.

    Raises:
        UsageError: It would have too many intervals.
    """
    until = max(min(event.end, event.cancelled_at or event.end, now), event.start)
    length_s = (until - event.start).total_seconds()
    if bucket_s is None:
        bucket_s = next((one for one in _LENGTHS_S if length_s / one <= _FEW), _LENGTHS_S[-1])
    if length_s / bucket_s > MAX_BUCKETS:
        raise UsageError(
            f"bucket_s is {bucket_s:g}",
            why=f"that makes {length_s / bucket_s:.0f} intervals, at most {MAX_BUCKETS} are told",
            next_step=f"send {length_s / MAX_BUCKETS:.0f} or more",
        )
    return OutcomeWanted(
        event=event,
        imports=event.import_limit_kw is not None or event.shed_kw is not None or event.export_limit_kw is None,
        since=event.start - BASELINE,
        settled=event.start + min(SETTLED, (until - event.start) / 2),
        until=until,
        bucket_s=bucket_s,
        tolerance=_TOLERANCE,
        tolerance_kw=_TOLERANCE_KW,
    )


def instants_of(wanted: OutcomeWanted) -> list[datetime]:
    """When devices are looked at: evenly spread over the window before, and over the event."""
    start, length = wanted.event.start, wanted.until - wanted.event.start
    before = [wanted.since + (n + 0.5) * (start - wanted.since) / _PROBES_BEFORE for n in range(_PROBES_BEFORE)]
    # Just before the start too: in a short life it may be all there is of before.
    before.append(start - timedelta(seconds=1))
    during = [start + (n + 0.5) * length / _PROBES for n in range(_PROBES)] if length else []
    return before + during


def outcome_of(
    wanted: OutcomeWanted,
    feeders: Iterable[OutcomeBucket],
    devices: Iterable[DeviceCourse],
    uppermost: Iterable[str],
    now: datetime,
) -> OutcomeOut:
    """Put the outcome together.

    Args:
        wanted: How it was measured.
        feeders: The course of its feeders.
        devices: The course of its devices.
        uppermost: Those of its feeders that lie below none of the others.
        now: This instant.
    """
    rows: dict[str, list[OutcomeBucket]] = defaultdict(list)
    for row in feeders:
        rows[row.feeder_id].append(row)
    found = [_feeder(feeder_id, rows[feeder_id], wanted) for feeder_id in wanted.event.feeder_ids]
    top = set(uppermost)
    return OutcomeOut(
        event=event_out(wanted.event, wanted.event.state_at(now)),
        at=now,
        direction=Direction.IMPORT if wanted.imports else Direction.EXPORT,
        bucket_s=wanted.bucket_s,
        tolerance=f"{_TOLERANCE:.1%} of the limit, or {_TOLERANCE_KW:g} kW where that is more",
        feeders=found,
        total=_total([one for one in found if one.feeder_id in top]),
        devices=[_device(course, wanted) for course in devices],
    )


def _feeder(feeder_id: str, rows: Sequence[OutcomeBucket], wanted: OutcomeWanted) -> FeederOutcome:
    before = next((row for row in rows if row.bucket < 0), None)
    during = {row.bucket: row for row in rows if row.bucket >= 0}
    seen_s = 0.0 if before is None else before.observed_s
    known = before is not None and seen_s >= MIN_BASELINE_S
    baseline_kw = max(before.load_kw or 0.0, 0.0) if before is not None and known else None
    way = "import" if wanted.imports else "export"
    window = f"the {BASELINE.total_seconds():g} s before the event"
    basis = f"mean {way} in {window}, of which {seen_s:.0f} s are on record"
    kept = [row.kept_at for row in during.values() if row.kept_at is not None]
    return FeederOutcome(
        feeder_id=feeder_id,
        baseline_kw=baseline_kw,
        baseline_basis=basis if known else f"none: only {seen_s:.0f} s of {window} are on record",
        observed_s=sum(row.observed_s for row in during.values()),
        compliance_s=sum(row.compliant_s for row in during.values()),
        until_under_limit_s=(min(kept) - wanted.event.start).total_seconds() if kept else None,
        intervals=[_interval(n, during.get(n), baseline_kw, wanted) for n in range(_buckets(wanted))],
    )


def _buckets(wanted: OutcomeWanted) -> int:
    length_s = (wanted.until - wanted.event.start).total_seconds()
    return int(-(-length_s // wanted.bucket_s))


def _interval(
    number: int, row: OutcomeBucket | None, baseline_kw: float | None, wanted: OutcomeWanted
) -> IntervalOutcome:
    start = wanted.event.start + timedelta(seconds=number * wanted.bucket_s)
    load_kw, limit_kw = (None, None) if row is None else (row.load_kw, row.limit_kw)
    return IntervalOutcome(
        start=start,
        end=min(start + timedelta(seconds=wanted.bucket_s), wanted.until),
        load_kw=load_kw,
        limit_kw=limit_kw,
        committed_kw=_above(baseline_kw, limit_kw),
        delivered_kw=_above(baseline_kw, load_kw),
    )


def _above(baseline_kw: float | None, kw: float | None) -> float | None:
    return None if baseline_kw is None or kw is None else max(baseline_kw - kw, 0.0)


def _total(feeders: Sequence[FeederOutcome]) -> list[IntervalOutcome]:
    return [
        IntervalOutcome(
            start=parts[0].start,
            end=parts[0].end,
            load_kw=_sum(part.load_kw for part in parts),
            limit_kw=_sum(part.limit_kw for part in parts),
            committed_kw=_sum(part.committed_kw for part in parts),
            delivered_kw=_sum(part.delivered_kw for part in parts),
        )
        for parts in zip(*(one.intervals for one in feeders), strict=True)
    ]


def _sum(values: Iterable[float | None]) -> float | None:
    """What they make together; None where one is not known."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _device(course: DeviceCourse, wanted: OutcomeWanted) -> DeviceOutcome:
    way = 1.0 if wanted.imports else -1.0
    shed_kw = None
    if course.before_kw is not None and course.during_kw is not None:
        shed_kw = way * (course.before_kw - course.during_kw)
    return DeviceOutcome(
        device_id=course.device_id,
        type=course.kind,
        feeder_id=course.feeder_id,
        part=_part(course, wanted.imports),
        before_kw=course.before_kw,
        during_kw=course.during_kw,
        told_kw=course.told_kw,
        shed_kw=shed_kw,
    )


def _part(course: DeviceCourse, imports: bool) -> Part:
    if course.heard == 0:
        return Part.SILENT
    if course.overridden or 2 * course.local >= course.heard:
        return Part.OVERRIDDEN
    told_kw, followed_kw = course.told_kw, course.followed_kw
    # PV is told how much it may make, which takes no import off a feeder.
    if told_kw is None or followed_kw is None or (imports and course.kind is DeviceKind.PV):
        return Part.NOT_CALLED
    way = 1.0 if imports else -1.0
    astray_kw = way * (followed_kw - told_kw)
    if astray_kw > max(_ASTRAY * abs(told_kw), _ASTRAY_KW):
        return Part.REFUSED
    before_kw = course.before_kw
    called = before_kw is not None and way * (before_kw - told_kw) > _CALLED_KW
    return Part.PARTICIPATED if called else Part.NOT_CALLED
