"""`/api/alarms`: what stands, and what operators say of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from derms.alarms.machine import acknowledged, shelved, unshelved
from derms.api.bodies import answer, read_body, read_query
from derms.api.checks import now_of
from derms.api.event_rules import check_line, outside_of_time
from derms.api.middleware import asker, author
from derms.api.paging import page_of
from derms.api.parts import id_in
from derms.api.routes import Route
from derms.api.schemas.alarms import (
    AlarmHistoryOut,
    AlarmHistoryQuery,
    AlarmLineOut,
    AlarmOut,
    AlarmsOut,
    AlarmsQuery,
    ShelveIn,
    alarm_out,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import UsageError
from derms.model import AlarmChange, AlarmRecord, Priority, Role
from derms.ports import HistoryWanted

MAX_SHELVED = timedelta(days=7)
_MAX_REASON = 500
_RANK = {priority: rank for rank, priority in enumerate(Priority)}
_SORTS: dict[str, Callable[[AlarmOut], object]] = {
    "priority": lambda one: f"{_RANK[one.priority]} {one.raised_at.isoformat()}",
    "raised_at": lambda one: one.raised_at.isoformat(),
    "kind": lambda one: one.kind,
    "subject": lambda one: one.subject,
    "state": lambda one: one.state.value,
}


def routes(services: Services) -> list[Route]:
    """Listing, acknowledging and shelving."""
    desk = services.alarms

    async def get_alarms(request: web.Request) -> web.Response:
        query = read_query(request, AlarmsQuery)
        found = [
            alarm_out(one)
            for one in desk.records()
            if (query.state is None or one.state is query.state)
            and (query.kind is None or one.kind == query.kind)
            and (query.subject is None or one.subject == query.subject)
        ]
        page, cursor = page_of(found, query, _SORTS, lambda one: one.alarm_id)
        return answer(AlarmsOut(alarms=page, next_cursor=cursor))

    async def get_alarm(request: web.Request) -> web.Response:
        return answer(alarm_out(desk.find(id_in(request, "alarm_id", "alarm"))))

    async def get_history(request: web.Request) -> web.Response:
        query = read_query(request, AlarmHistoryQuery)
        wanted = HistoryWanted(kind=query.kind, subject=query.subject, before=query.cursor, limit=query.limit + 1)
        async with store_answers("the history cannot be read"):
            lines = await services.alarm_store.alarm_history(wanted)
        page = lines[: query.limit]
        shown = [
            AlarmLineOut(
                number=line.number,
                at=line.at,
                alarm_id=f"{line.kind}.{line.subject}",
                kind=line.kind,
                subject=line.subject,
                change=line.change,
                cause=line.cause,
                by=line.by or None,
            )
            for line in page
        ]
        return answer(AlarmHistoryOut(lines=shown, next_cursor=page[-1].number if len(lines) > len(page) else None))

    async def say(
        request: web.Request, what: AlarmChange, action: str, change: Callable[[AlarmRecord], AlarmRecord]
    ) -> web.Response:
        alarm_id = id_in(request, "alarm_id", "alarm")
        before = desk.find(alarm_id)
        after = change(before)
        by, now = author(request), now_of(services.clock)
        async with store_answers(f"what was said of {alarm_id} may not be stored", next_step="look at it first"):
            await services.alarm_store.change_alarm(before, after, action, by=by)
        # What it has become meanwhile is what counts, and what is answered.
        return answer(alarm_out(desk.apply(alarm_id, change, after, what=what, by=by.username, now=now)))

    async def acknowledge(request: web.Request) -> web.Response:
        name, now = asker(request).username, now_of(services.clock)
        return await say(
            request, AlarmChange.ACKNOWLEDGED, "alarm.acknowledge", lambda one: acknowledged(one, name, now)
        )

    async def shelve(request: web.Request) -> web.Response:
        desk.find(id_in(request, "alarm_id", "alarm"))
        asked = await read_body(request, ShelveIn)
        name, until = asker(request).username, shelved_until(asked, now_of(services.clock))
        return await say(
            request, AlarmChange.SHELVED, "alarm.shelve", lambda one: shelved(one, until, name, asked.reason)
        )

    async def unshelve(request: web.Request) -> web.Response:
        return await say(request, AlarmChange.UNSHELVED, "alarm.unshelve", unshelved)

    one = "/api/alarms/{alarm_id}"
    return [
        Route(
            method="GET", path="/api/alarms", handler=get_alarms, role=Role.VIEWER,
            summary="Alarms that are not normal, the most urgent first", query=AlarmsQuery, answer=AlarmsOut,
        ),
        Route(
            method="GET", path="/api/alarms/history", handler=get_history, role=Role.VIEWER,
            summary="What became of alarms, the newest first", query=AlarmHistoryQuery, answer=AlarmHistoryOut,
            problems=(503,),
        ),
        Route(
            method="GET", path=one, handler=get_alarm, role=Role.VIEWER, summary="One alarm that is not normal",
            answer=AlarmOut, problems=(404,),
        ),
        Route(
            method="POST", path=f"{one}/acknowledge", handler=acknowledge, role=Role.OPERATOR,
            summary="Say that one knows of an alarm", answer=AlarmOut, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path=f"{one}/shelve", handler=shelve, role=Role.OPERATOR,
            summary="Put an alarm aside for a while", body=ShelveIn, answer=AlarmOut, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path=f"{one}/unshelve", handler=unshelve, role=Role.OPERATOR,
            summary="Let an alarm count again", answer=AlarmOut, problems=(404, 409, 503),
        ),
    ]  # fmt: skip


def shelved_until(asked: ShelveIn, now: datetime) -> datetime:
    """Check what was asked for. Pure.

    Returns:
        The end.

    Raises:
        UsageError: It cannot be meant.
    """
    check_line("reason", asked.reason, _MAX_REASON)
    if not asked.reason.strip():
        raise UsageError("the reason is empty", why="who comes next must know why", next_step="say why")
    if (asked.until is None) == (asked.duration_s is None):
        raise UsageError(
            "it has no end" if asked.until is None else "it has both until and duration_s",
            why="exactly one of until and duration_s says when it is over",
            next_step="send one of them",
        )
    if asked.until is not None:
        try:
            until = asked.until.astimezone(UTC)
        except OverflowError as error:
            raise outside_of_time("until") from error
        if until <= now:
            raise UsageError(
                f"until is {until.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="end later"
            )
    else:
        seconds = asked.duration_s or 0.0
        if not 0 < seconds <= MAX_SHELVED.total_seconds():
            raise UsageError(
                f"duration_s is {seconds:g}",
                why=f"it must be more than 0 and at most {MAX_SHELVED.total_seconds():g}",
                next_step="correct it",
            )
        until = now + timedelta(seconds=seconds)
    if until - now > MAX_SHELVED:
        raise UsageError(
            f"until is {until.isoformat()}", why=f"at most {MAX_SHELVED.days} days are taken", next_step="end earlier"
        )
    return until
