"""`/api/telemetry`: what devices measured, read back; and one measurement in a device's place."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from aiohttp import web

from derms.api.bodies import answer, read_body, read_query
from derms.api.checks import no_device, now_of, utc
from derms.api.middleware import author
from derms.api.ranges import Stretch, stretch_of
from derms.api.routes import Route
from derms.api.schemas.telemetry import (
    SampleOut,
    TelemetryBucketOut,
    TelemetryIn,
    TelemetryOut,
    TelemetryQuery,
    TelemetryTakenOut,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import RefusedError, UnavailableError, UsageError
from derms.model import DeviceStatus, Outcome, Role, Telemetry
from derms.reports import StoredSample

_LONGEST = timedelta(days=31)
_LONGEST_KEPT, _KEPT_S = timedelta(days=3_660), 900
"""In buckets of whole quarters of an hour, which the store keeps ready."""
_MOST_BUCKETS = 10_000
"""A year by the hour."""
_CURSOR = re.compile(r"(\d{1,16})\.(-1|\d{1,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ON_RECORD = ("type", "at", "p_actual_kw", "p_setpoint_kw", "soc", "seq", "status")
_TAKEN = (Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.OUT_OF_ORDER)


def routes(services: Services) -> list[Route]:
    """What devices measured."""

    async def get_telemetry(request: web.Request) -> web.Response:
        device_id = request.match_info["device_id"]
        query = read_query(request, TelemetryQuery)
        if services.registry.device(device_id) is None:
            raise no_device(device_id)
        kept = query.bucket_s is not None and query.bucket_s % _KEPT_S == 0
        most = _LONGEST_KEPT if kept else _LONGEST
        asked = stretch_of(query, now_of(services.clock), most=most, in_buckets=False, most_buckets=_MOST_BUCKETS)
        async with store_answers("the telemetry cannot be read", next_step="ask for less, or try again"):
            found = await _read(services, device_id, asked, query)
        return answer(found)

    async def post_telemetry(request: web.Request) -> web.Response:
        asked = await read_body(request, TelemetryIn)
        reading = to_reading(asked, now_of(services.clock))
        async with store_answers("the measurement may not be on record", next_step="look at the device, and try again"):
            # Without the texts: whether the database could hold them is for the wire contract to say first.
            said = {name: getattr(asked, name) for name in _ON_RECORD}
            await services.registrations.note("telemetry.post", asked.device_id, after=said, by=author(request))
        outcome, detail = services.offer(reading)
        if outcome not in _TAKEN:
            raise RefusedError(
                f"the measurement is refused as {outcome.value}",
                why=detail,
                next_step="correct it; docs/wire-contract.md says what each outcome means",
            )
        if not await services.stored():
            raise UnavailableError(
                "the measurement may not be on record",
                why="neither the database nor the disk of the spool has taken it yet",
                next_step="send it again: what is there already changes nothing",
            )
        at = _EPOCH + timedelta(milliseconds=reading.at_ms)
        return answer(TelemetryTakenOut(device_id=reading.device_id, at=at, outcome=outcome), status=202)

    return [
        Route(
            method="GET", path="/api/telemetry/{device_id}", handler=get_telemetry, role=Role.VIEWER,
            summary="What a device measured, sample by sample or in buckets", query=TelemetryQuery,
            answer=TelemetryOut, problems=(404, 503),
        ),
        Route(
            method="POST", path="/api/telemetry", handler=post_telemetry, role=Role.OPERATOR,
            summary="One measurement in a device's place", body=TelemetryIn, answer=TelemetryTakenOut, status=202,
            problems=(503,),
        ),
    ]  # fmt: skip


async def _read(services: Services, device_id: str, asked: Stretch, query: TelemetryQuery) -> TelemetryOut:
    buckets, samples, cursor = None, None, None
    if asked.bucket_s is not None:
        found = await services.reports.telemetry_buckets(
            device_id, since=asked.since, until=asked.until, bucket_s=asked.bucket_s
        )
        buckets = [TelemetryBucketOut(**asdict(bucket)) for bucket in found]
    else:
        rows = await services.reports.stored_samples(
            device_id, since=asked.since, until=asked.until, limit=query.limit + 1, after=_opened(query.cursor)
        )
        samples = [_sample_out(row) for row in rows[: query.limit]]
        cursor = _closed(rows[query.limit - 1]) if len(rows) > query.limit else None
    return TelemetryOut(
        device_id=device_id,
        since=asked.since,
        until=asked.until,
        bucket_s=asked.bucket_s,
        samples=samples,
        buckets=buckets,
        next_cursor=cursor,
    )


def to_reading(asked: TelemetryIn, now: datetime) -> Telemetry:
    """What was sent, as a measurement; whether it can be meant is for the wire contract to say. Pure.

    Raises:
        UsageError: An instant lies outside of time.
    """
    return Telemetry(
        device_id=asked.device_id,
        kind=asked.type,
        at_ms=_ms(now if asked.at is None else utc("at", asked.at)),
        p_actual_kw=asked.p_actual_kw,
        p_setpoint_kw=asked.p_setpoint_kw,
        soc=asked.soc,
        seq=asked.seq,
        site_id=asked.site_id,
        feeder_id=asked.feeder_id,
        p_max_kw=asked.p_max_kw,
        capacity_kwh=asked.capacity_kwh,
        ready_by_ms=None if asked.ready_by is None else _ms(utc("ready_by", asked.ready_by)),
        energy_needed_kwh=asked.energy_needed_kwh,
        status=asked.status,
    )


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _sample_out(row: StoredSample) -> SampleOut:
    return SampleOut(
        at=row.at,
        seq=None if row.seq < 0 else row.seq,
        received_at=row.received_at,
        p_actual_kw=row.p_actual_kw,
        p_setpoint_kw=row.p_setpoint_kw,
        soc=row.soc,
        status=DeviceStatus(row.status),
    )


def _closed(row: StoredSample) -> str:
    return f"{(row.at - _EPOCH) // timedelta(microseconds=1)}.{row.seq}"


def _opened(cursor: str | None) -> tuple[datetime, int] | None:
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[2]) >= 2**63:
        raise UsageError(
            f"cursor is {cursor!r}",
            why="it is not the next_cursor of a page of samples",
            next_step="leave it out to begin at the beginning",
        )
    return _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
