"""`/api/events/{event_id}/outcome`: what came of a DR event, by what is stored."""

from aiohttp import web

from derms.api.bodies import answer, read_query
from derms.api.checks import now_of
from derms.api.outcome_rules import instants_of, outcome_of, wanted_of
from derms.api.parts import id_in
from derms.api.routes import Route
from derms.api.schemas.outcomes import OutcomeOut, OutcomeQuery
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """The outcome of one event, while it runs and after it."""

    async def get_outcome(request: web.Request) -> web.Response:
        event_id = id_in(request, "event_id", "DR event")
        query = read_query(request, OutcomeQuery)
        now = now_of(services.clock)
        async with store_answers("the outcome cannot be read", next_step="try again, perhaps with a longer bucket_s"):
            event = await services.events.find_event(event_id)
            wanted = wanted_of(event, query.bucket_s, now)
            feeders = await services.outcomes.feeder_courses(wanted)
            devices = await services.outcomes.device_courses(wanted, instants_of(wanted))
        uppermost = services.feeders.uppermost(event.feeder_ids)
        return answer(outcome_of(wanted, feeders, devices, uppermost, now))

    return [
        Route(
            method="GET", path="/api/events/{event_id}/outcome", handler=get_outcome, role=Role.VIEWER,
            summary="What a DR event asked for and what was delivered", query=OutcomeQuery, answer=OutcomeOut,
            problems=(404, 503),
        ),
    ]  # fmt: skip
