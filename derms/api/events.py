"""`POST /api/events` and `GET /api/events`: DR events.

201 is answered after the commit; the control loop is told after it too, so that it never acts on what is not stored.
"""

from collections.abc import Set
from datetime import UTC, datetime, timedelta

from aiohttp import web

from derms.api.bodies import answer, read_body
from derms.api.middleware import asker, author
from derms.api.routes import Route
from derms.api.schemas.events import EventIn, EventOut, EventsOut, EventState, event_out
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import NotFoundError, UsageError
from derms.model import DrEvent, Role
from derms.ports import Clock

MAX_DURATION = timedelta(days=31)
PAST_TOLERANCE = timedelta(seconds=60)
"""How far a start may lie back: clocks differ, and a request takes its time."""
_MAX_REASON = 500


def routes(services: Services) -> list[Route]:
    """Creating and listing events."""

    async def post_event(request: web.Request) -> web.Response:
        asked = await read_body(request, EventIn)
        now = _now(services.clock)
        event = to_event(
            asked,
            feeder_ids=services.feeders.feeder_ids(),
            now=now,
            event_id=f"dr-{services.new_id()}",
            created_by=asker(request).username,
        )
        async with store_answers(
            f"event {event.event_id} may not be stored", next_step="list the events before sending it again"
        ):
            await services.events.add_event(event, by=author(request))
        services.on_event(event)
        return answer(_shown(event, now), status=201)

    async def get_events(_: web.Request) -> web.Response:
        now = _now(services.clock)
        async with store_answers("the events cannot be read"):
            found = await services.events.unfinished_events(now)
        ordered = sorted(found, key=lambda event: (event.start, event.event_id))
        return answer(EventsOut(events=[_shown(event, now) for event in ordered]))

    return [
        Route(
            method="POST", path="/api/events", handler=post_event, role=Role.OPERATOR, summary="Create a DR event",
            body=EventIn, answer=EventOut, status=201, problems=(404, 409, 503),
        ),
        Route(
            method="GET", path="/api/events", handler=get_events, role=Role.VIEWER,
            summary="The DR events that are not over", answer=EventsOut, problems=(503,),
        ),
    ]  # fmt: skip


def _shown(event: DrEvent, now: datetime) -> EventOut:
    return event_out(event, EventState.ACTIVE if event.start <= now else EventState.SCHEDULED)


def to_event(asked: EventIn, *, feeder_ids: Set[str], now: datetime, event_id: str, created_by: str) -> DrEvent:
    """Check what was asked for and make the event of it. Pure.

    Args:
        asked: The request's body.
        feeder_ids: The feeders there are.
        now: This instant.
        event_id: The event's id.
        created_by: Who asks.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: A feeder does not exist.
    """
    try:
        start, end = _window(asked, now)
    except OverflowError as error:
        raise UsageError(
            "the event lies outside of time", why="the years 1 to 9999 can be told", next_step="correct start and end"
        ) from error
    _check_limits(asked)
    if len(asked.reason) > _MAX_REASON or not asked.reason.isprintable():
        raise UsageError(
            "the reason is refused",
            why=f"it may have {_MAX_REASON} characters, none of them a control character",
            next_step="shorten it to one line",
        )
    return DrEvent(
        event_id=event_id,
        feeder_ids=_feeders(asked, feeder_ids),
        start=start,
        end=end,
        import_limit_kw=asked.import_limit_kw,
        export_limit_kw=asked.export_limit_kw,
        shed_kw=asked.shed_kw,
        reason=asked.reason,
        created_by=created_by,
        created_at=now,
    )


def _window(asked: EventIn, now: datetime) -> tuple[datetime, datetime]:
    start = now if asked.start is None else asked.start.astimezone(UTC)
    if (asked.end is None) == (asked.duration_s is None):
        raise UsageError(
            "the event has no end" if asked.end is None else "the event has both end and duration_s",
            why="exactly one of end and duration_s says when it is over",
            next_step="send one of them",
        )
    if asked.end is not None:
        end = asked.end.astimezone(UTC)
        if end <= start:
            raise UsageError(
                f"end is {end.isoformat()}", why=f"it must be after start, {start.isoformat()}", next_step="correct it"
            )
    else:
        seconds = asked.duration_s or 0.0
        if not 0 < seconds <= MAX_DURATION.total_seconds():
            raise UsageError(
                f"duration_s is {seconds:g}",
                why=f"it must be more than 0 and at most {MAX_DURATION.total_seconds():g}",
                next_step="correct it",
            )
        end = start + timedelta(seconds=seconds)
    if end <= now:
        raise UsageError(
            f"the event ends at {end.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="end later"
        )
    if start < now - PAST_TOLERANCE:
        raise UsageError(
            f"start is {start.isoformat()}",
            why=f"that is past, now is {now.isoformat()}",
            next_step="leave start out to begin now",
        )
    if end - start > MAX_DURATION:
        raise UsageError(
            f"the event lasts {end - start}", why=f"at most {MAX_DURATION.days} days are taken", next_step="end earlier"
        )
    return start, end


def _check_limits(asked: EventIn) -> None:
    limits = {
        "import_limit_kw": asked.import_limit_kw,
        "export_limit_kw": asked.export_limit_kw,
        "shed_kw": asked.shed_kw,
    }
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        raise UsageError(
            "the event limits nothing", why=f"it needs one of {', '.join(limits)}", next_step="send at least one"
        )
    for name, value in given.items():
        if value < 0:
            raise UsageError(
                f"{name} is {value:g}",
                why="it is a magnitude and must be 0 or more",
                next_step="the name gives the direction, send it without the sign",
            )
    if asked.shed_kw == 0:
        raise UsageError("shed_kw is 0", why="that sheds nothing", next_step="send more than 0")


def _feeders(asked: EventIn, known: Set[str]) -> tuple[str, ...]:
    if asked.feeder_id is not None and asked.feeder_ids is not None:
        raise UsageError(
            "the event has both feeder_id and feeder_ids", why="one of them says where", next_step="send one of them"
        )
    named = [asked.feeder_id] if asked.feeder_id is not None else asked.feeder_ids
    if named is None:
        named = sorted(known)
    if not named:
        raise UsageError(
            "the event names no feeder", why="it must act on one", next_step="leave feeder_ids out for all"
        )
    for feeder_id in named:
        if feeder_id not in known:
            raise NotFoundError(
                f"the feeder {feeder_id[:64]!r} does not exist",
                why=f"there are {', '.join(sorted(known)[:10]) or 'none'}",
                next_step="name one of them",
            )
    return tuple(dict.fromkeys(named))


def _now(clock: Clock) -> datetime:
    # Through integers: a float of seconds would move the instant by microseconds.
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=clock.now_ms())
