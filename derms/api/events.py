"""`/api/events`: DR events.

201 is answered after the commit; the control loop is told after it too, so that it never acts on what is not stored.
"""

import hashlib
import re
from datetime import datetime

import msgspec
from aiohttp import web

from derms.api.bodies import answer, nothing, read_body, read_query
from derms.api.checks import now_of
from derms.api.event_rules import amended, cancelled, check_removable, to_event
from derms.api.middleware import asker, author
from derms.api.paging import cursor_at, place_in, sorting
from derms.api.parts import id_in
from derms.api.routes import Route
from derms.api.schemas.events import (
    EventAmendIn,
    EventIn,
    EventOut,
    EventsOut,
    EventsQuery,
    PreviewOut,
    event_out,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import ConflictError, UsageError
from derms.model import DrEvent, Role
from derms.ports import EventsWanted, Once

_SORTS = ("start", "end", "created_at")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_AGAIN = "list the events before sending it again, or send it again with the same Idempotency-Key"


def routes(services: Services) -> list[Route]:
    """Creating, listing, amending and ending events."""
    events = services.events

    async def post_event(request: web.Request) -> web.Response:
        asked = await read_body(request, EventIn)
        key, fingerprint = _key_of(request), hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
        if key is not None and (known := await _answered(request, key, fingerprint)) is not None:
            return known
        now = now_of(services.clock)
        event = to_event(
            asked,
            feeder_ids=services.feeders.feeder_ids(),
            now=now,
            event_id=f"dr-{services.new_id()}",
            created_by=asker(request).username,
        )
        answered = answer(_shown(event, now), status=201)
        once = None if key is None else Once(key=key, fingerprint=fingerprint, answer=_bytes_of(answered))
        try:
            async with store_answers(f"event {event.event_id} may not be stored", next_step=_AGAIN):
                await events.add_event(event, by=author(request), once=once)
        except ConflictError:
            # The same request twice at once: the other one was first.
            if key is not None and (known := await _answered(request, key, fingerprint)) is not None:
                return known
            raise
        services.on_event(event)
        return answered

    async def _answered(request: web.Request, key: str, fingerprint: str) -> web.Response | None:
        async with store_answers("it cannot be seen whether this was asked before"):
            once = await events.answered(asker(request).username, key)
        if once is None:
            return None
        if once.fingerprint != fingerprint:
            raise ConflictError(
                f"the Idempotency-Key {key!r} was used for another body",
                why="a key stands for one request, sent as often as need be",
                next_step="choose another key",
            )
        return web.Response(
            status=201, body=once.answer, content_type="application/json", headers={"Idempotent-Replayed": "true"}
        )

    async def get_events(request: web.Request) -> web.Response:
        query = read_query(request, EventsQuery)
        now = now_of(services.clock)
        sort, down = sorting(query.sort, _SORTS)
        wanted = EventsWanted(
            states=query.state.states,
            now=now,
            feeder_id=query.feeder_id,
            sort=sort,
            down=down,
            after=place_in(query, _SORTS),
            limit=query.limit + 1,
        )
        async with store_answers("the events cannot be read"):
            found = await events.list_events(wanted)
        page = found[: query.limit]
        more = len(found) > len(page)
        cursor = cursor_at(query, _SORTS, getattr(page[-1], sort), page[-1].event_id) if more else None
        return answer(EventsOut(events=[_shown(event, now) for event in page], next_cursor=cursor))

    async def get_event(request: web.Request) -> web.Response:
        event_id = id_in(request, "event_id", "DR event")
        async with store_answers("the event cannot be read"):
            return answer(_shown(await events.find_event(event_id), now_of(services.clock)))

    async def patch_event(request: web.Request) -> web.Response:
        event_id = id_in(request, "event_id", "DR event")
        asked = await read_body(request, EventAmendIn)
        now = now_of(services.clock)
        async with store_answers(f"event {event_id} may not be amended", next_step="look at it before trying again"):
            event = await events.change_event(
                event_id, "event.amend", lambda one: amended(one, asked, now), by=author(request)
            )
        services.on_event(event)
        return answer(_shown(event, now))

    async def cancel_event(request: web.Request) -> web.Response:
        event_id = id_in(request, "event_id", "DR event")
        now = now_of(services.clock)
        async with store_answers(f"event {event_id} may not be cancelled", next_step="look at it before trying again"):
            event = await events.change_event(
                event_id, "event.cancel", lambda one: cancelled(one, now), by=author(request)
            )
        services.on_event(event)
        return answer(_shown(event, now))

    async def delete_event(request: web.Request) -> web.Response:
        event_id = id_in(request, "event_id", "DR event")
        now = now_of(services.clock)
        async with store_answers(f"event {event_id} may not be removed", next_step="look at it before trying again"):
            await events.remove_event(event_id, lambda one: check_removable(one, now), by=author(request))
        services.on_event_gone(event_id)
        return nothing()

    async def preview_event(request: web.Request) -> web.Response:
        asked = await read_body(request, EventIn)
        event = to_event(
            asked,
            feeder_ids=services.feeders.feeder_ids(),
            now=now_of(services.clock),
            event_id="preview",
            created_by=asker(request).username,
        )
        return answer(services.previews.of_event(event))

    one = "/api/events/{event_id}"
    return [
        Route(
            method="POST", path="/api/events", handler=post_event, role=Role.OPERATOR, summary="Create a DR event",
            body=EventIn, answer=EventOut, status=201, headers=("Idempotency-Key",), problems=(404, 409, 503),
        ),
        Route(
            method="GET", path="/api/events", handler=get_events, role=Role.VIEWER,
            summary="DR events; those that are not over unless asked otherwise", query=EventsQuery, answer=EventsOut,
            problems=(503,),
        ),
        Route(
            method="POST", path="/api/events/preview", anywhere=True, handler=preview_event, role=Role.OPERATOR,
            summary="What a DR event is expected to do; nothing is stored or sent", body=EventIn, answer=PreviewOut,
            problems=(404,),
        ),
        Route(
            method="GET", path=one, handler=get_event, role=Role.VIEWER, summary="One DR event", answer=EventOut,
            problems=(404, 503),
        ),
        Route(
            method="PATCH", path=one, handler=patch_event, role=Role.OPERATOR,
            summary="Amend a DR event that is not over", body=EventAmendIn, answer=EventOut, problems=(404, 409, 503),
        ),
        Route(
            method="DELETE", path=one, handler=delete_event, role=Role.ADMIN,
            summary="Remove a DR event that never began", status=204, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path=f"{one}/cancel", handler=cancel_event, role=Role.OPERATOR,
            summary="End a DR event at once", answer=EventOut, problems=(404, 409, 503),
        ),
    ]  # fmt: skip


def _shown(event: DrEvent, now: datetime) -> EventOut:
    return event_out(event, event.state_at(now))


def _bytes_of(response: web.Response) -> bytes:
    body = response.body
    assert isinstance(body, bytes)
    return body


def _key_of(request: web.Request) -> str | None:
    """The sender's key, or None.

    Raises:
        UsageError: It cannot be one.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise UsageError(
            "the Idempotency-Key is refused", why="it has 1 to 128 visible ASCII characters", next_step="send a UUID"
        )
    return key
