"""`/api/feeder/history` and `/api/feeder/metrics`: the decision log of a feeder, read back."""

from dataclasses import asdict
from datetime import timedelta

from aiohttp import web

from derms.api.bodies import answer, read_query
from derms.api.checks import check_feeder, now_of, utc
from derms.api.ranges import period_of, stretch_of
from derms.api.routes import Route
from derms.api.schemas.history import (
    FeederBucketOut,
    FeederFiguresOut,
    FeederHistoryOut,
    FiguresQuery,
    HistoryQuery,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import UsageError
from derms.model import Role

_LONGEST = timedelta(days=92)
_FIRST_YEAR, _LAST_YEAR = 2000, 2199


def routes(services: Services) -> list[Route]:
    """What was recorded of a feeder."""

    async def get_history(request: web.Request) -> web.Response:
        query = read_query(request, HistoryQuery)
        check_feeder(query.feeder_id, services.feeders.feeder_ids())
        asked = stretch_of(query, now_of(services.clock), most=_LONGEST, in_buckets=True)
        bucket_s = asked.bucket_s or 1
        async with store_answers("the history cannot be read", next_step="ask for less, or try again"):
            found = await services.reports.feeder_history(
                query.feeder_id, since=asked.since, until=asked.until, bucket_s=bucket_s
            )
        return answer(
            FeederHistoryOut(
                feeder_id=query.feeder_id,
                since=asked.since,
                until=asked.until,
                bucket_s=bucket_s,
                buckets=[FeederBucketOut(**asdict(bucket)) for bucket in found],
            )
        )

    async def get_metrics(request: web.Request) -> web.Response:
        query = read_query(request, FiguresQuery)
        check_feeder(query.feeder_id, services.feeders.feeder_ids())
        now = now_of(services.clock)
        at = now if query.at is None else utc("at", query.at)
        if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
            raise UsageError(
                f"at is {at.isoformat()}",
                why=f"the years {_FIRST_YEAR} to {_LAST_YEAR} are kept",
                next_step="choose an instant within them",
            )
        since, end = period_of(query.period, at)
        until = min(end, max(now, since))
        async with store_answers("the figures cannot be read", next_step="ask for a shorter period, or try again"):
            figures = await services.reports.feeder_figures(query.feeder_id, since=since, until=until)
            fair = await services.reports.fairness(services.feeders.below(query.feeder_id), since=since, until=until)
        return answer(
            FeederFiguresOut(
                feeder_id=query.feeder_id,
                period=query.period,
                since=since,
                until=until,
                **asdict(figures),
                fairness=fair.index,
                fairness_devices=fair.devices,
                asked_kwh=fair.asked_kwh,
                delivered_kwh=fair.delivered_kwh,
            )
        )

    return [
        Route(
            method="GET", path="/api/feeder/history", handler=get_history, role=Role.VIEWER,
            summary="What the ticks of one feeder found, in buckets", query=HistoryQuery, answer=FeederHistoryOut,
            problems=(404, 503),
        ),
        Route(
            method="GET", path="/api/feeder/metrics", handler=get_metrics, role=Role.VIEWER,
            summary="The figures of one feeder over a day, a week or a month", query=FiguresQuery,
            answer=FeederFiguresOut, problems=(404, 503),
        ),
    ]  # fmt: skip
