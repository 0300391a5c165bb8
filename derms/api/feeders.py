"""`/api/feeder` and `/api/feeders`: from memory; a change is committed first, then told to the control loop."""

import asyncio
import logging

from aiohttp import web

from derms.api.bodies import answer, read_body, read_query
from derms.api.checks import check_feeder
from derms.api.forest import changes_of, checked, to_feeder
from derms.api.middleware import author
from derms.api.paging import page_of
from derms.api.routes import Route
from derms.api.schemas.feeders import (
    FeederIn,
    FeederOut,
    FeederPageOut,
    FeederPatch,
    FeedersOut,
    FeedersQuery,
    feeder_out,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import ConflictError
from derms.model import Feeder, Role

_log = logging.getLogger(__name__)


def routes(services: Services) -> list[Route]:
    """The feeders."""
    handlers = _Handlers(services)
    one = "/api/feeders/{feeder_id}"
    return [
        Route(
            method="GET", path="/api/feeder/summary", handler=handlers.summary, role=Role.VIEWER,
            summary="All feeders as their last tick saw them", answer=FeedersOut,
        ),
        Route(
            method="GET", path="/api/feeders", handler=handlers.list, role=Role.VIEWER,
            summary="The feeders as they are registered, a page", query=FeedersQuery, answer=FeederPageOut,
        ),
        Route(
            method="POST", path="/api/feeders", handler=handlers.create, role=Role.OPERATOR, summary="Create a feeder",
            body=FeederIn, answer=FeederOut, status=201, problems=(404, 409, 503),
        ),
        Route(
            method="GET", path=one, handler=handlers.show, role=Role.VIEWER, summary="One feeder", answer=FeederOut,
            problems=(404,),
        ),
        Route(
            method="PATCH", path=one, handler=handlers.change, role=Role.OPERATOR,
            summary="Change a feeder's limits, margin, mode, policy, name or parent", body=FeederPatch,
            answer=FeederOut, problems=(404, 503),
        ),
    ]  # fmt: skip


_KEYS = {
    "feeder_id": lambda feeder: feeder.feeder_id,
    "name": lambda feeder: feeder.name,
    "parent_id": lambda feeder: feeder.parent_id,
    "mode": lambda feeder: feeder.mode.value,
    "import_limit_kw": lambda feeder: feeder.import_limit_kw,
    "export_limit_kw": lambda feeder: feeder.export_limit_kw,
    "margin_kw": lambda feeder: feeder.margin_kw,
}


class _Handlers:
    """One method a route; changes come one after the other, so that each forest is checked against the one before."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._changing = asyncio.Lock()

    async def summary(self, _: web.Request) -> web.Response:
        """All of them, from memory."""
        return answer(FeedersOut(feeders=self._services.feeders.feeders()))

    async def list(self, request: web.Request) -> web.Response:
        """A page, from memory."""
        query = read_query(request, FeedersQuery)
        known = self._services.registry.feeders()
        found = [one for one in known.values() if query.parent_id is None or one.parent_id == query.parent_id]
        page, cursor = page_of(found, query, _KEYS, lambda feeder: feeder.feeder_id)
        return answer(FeederPageOut(feeders=[self._shown(one, known) for one in page], next_cursor=cursor))

    async def show(self, request: web.Request) -> web.Response:
        """One, from memory."""
        known, feeder_id = self._services.registry.feeders(), request.match_info["feeder_id"]
        check_feeder(feeder_id, known)
        return answer(self._shown(known[feeder_id], known))

    async def create(self, request: web.Request) -> web.Response:
        """A new feeder."""
        services = self._services
        asked = await read_body(request, FeederIn)
        async with store_answers(
            f"feeder {asked.feeder_id} may not be stored", next_step="look it up before sending it again"
        ), self._changing:  # fmt: skip
            known = services.registry.feeders()
            if asked.feeder_id in known:
                raise ConflictError(
                    f"there is a feeder {asked.feeder_id} already",
                    why="an id stands for one feeder",
                    next_step="change that one with PATCH, or choose another id",
                )
            feeder = checked(to_feeder(asked), known, said=asked.policy is not None)
            await services.registrations.add_feeder(feeder, by=author(request))
            services.registry.put_feeder(feeder)
        return answer(self._shown(feeder, services.registry.feeders()), status=201)

    async def change(self, request: web.Request) -> web.Response:
        """Some fields of a feeder."""
        services, feeder_id = self._services, request.match_info["feeder_id"]
        patch = await read_body(request, FeederPatch)
        async with store_answers(
            f"the change of feeder {feeder_id[:64]!r} may not be stored", next_step="look at it before sending it again"
        ), self._changing:  # fmt: skip
            known = services.registry.feeders()
            check_feeder(feeder_id, known)
            changes = changes_of(patch)
            feeder = checked(known[feeder_id], known, said="policy" in changes, changes=changes)
            if changes:
                await services.registrations.change_feeder(feeder, set(changes), by=author(request))
                services.registry.put_feeder(feeder)
        undone = sorted(services.declared.get(feeder_id, frozenset()) & set(changes))
        if undone:
            _log.warning(
                "Feeder %s is changed until the next start: settings or file say otherwise", feeder_id,
                extra={"feeder": feeder_id, "fields": undone},
            )  # fmt: skip
        return answer(self._shown(feeder, services.registry.feeders()))

    def _shown(self, feeder: Feeder, known: dict[str, Feeder]) -> FeederOut:
        root = feeder
        while root.parent_id is not None:
            root = known[root.parent_id]
        return feeder_out(feeder, root=root, declared=self._services.declared.get(feeder.feeder_id, ()))
