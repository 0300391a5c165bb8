"""`/api/programs`: DR programs. The control loop is told after each commit."""

from aiohttp import web

from derms.api.bodies import answer, nothing, read_body, read_query
from derms.api.checks import now_of
from derms.api.middleware import author
from derms.api.paging import page_of
from derms.api.parts import id_in
from derms.api.program_rules import amended, state_of, switched, to_program
from derms.api.routes import Route
from derms.api.schemas.events import PreviewOut
from derms.api.schemas.programs import (
    ProgramAmendIn,
    ProgramIn,
    ProgramOut,
    ProgramsOut,
    ProgramsQuery,
    program_out,
)
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import NotFoundError
from derms.model import DrProgram, Role

_SORTS = {
    "program_id": lambda one: one.program_id,
    "name": lambda one: one.name,
    "start": lambda one: one.start.isoformat(),
    "end": lambda one: one.end.isoformat(),
}
_LOOK = "look at it before trying again"


def routes(services: Services) -> list[Route]:
    """Creating, listing, amending, switching and removing programs."""
    programs = services.programs

    def shown(program: DrProgram) -> ProgramOut:
        return program_out(program, state_of(program, now_of(services.clock)))

    async def load() -> list[DrProgram]:
        async with store_answers("the programs cannot be read"):
            return await programs.load_programs()

    async def get_programs(request: web.Request) -> web.Response:
        query = read_query(request, ProgramsQuery)
        found = [
            one
            for one in map(shown, await load())
            if (query.state is None or one.state is query.state)
            and (query.kind is None or one.kind is query.kind)
            and (query.feeder_id is None or not one.feeder_ids or query.feeder_id in one.feeder_ids)
        ]
        page, cursor = page_of(found, query, _SORTS, lambda one: one.program_id)
        return answer(ProgramsOut(programs=page, next_cursor=cursor))

    async def get_program(request: web.Request) -> web.Response:
        program_id = id_in(request, "program_id", "DR program")
        for program in await load():
            if program.program_id == program_id:
                return answer(shown(program))
        raise NotFoundError(
            f"there is no DR program {program_id!r}",
            why="no DR program goes by that name",
            next_step="list the programs, and name one",
        )

    async def post_program(request: web.Request) -> web.Response:
        asked = await read_body(request, ProgramIn)
        program = to_program(
            asked,
            feeder_ids=services.feeders.feeder_ids(),
            now=now_of(services.clock),
            program_id=f"drp-{services.new_id()}",
        )
        async with store_answers(f"program {program.program_id} may not be stored", next_step="list the programs"):
            await programs.add_program(program, by=author(request))
        services.on_program(program)
        return answer(shown(program), status=201)

    async def patch_program(request: web.Request) -> web.Response:
        program_id = id_in(request, "program_id", "DR program")
        asked = await read_body(request, ProgramAmendIn)
        known, now = services.feeders.feeder_ids(), now_of(services.clock)
        async with store_answers(f"program {program_id} may not be amended", next_step=_LOOK):
            program = await programs.change_program(
                program_id,
                "program.amend",
                lambda one: amended(one, asked, feeder_ids=known, now=now),
                by=author(request),
            )
        services.on_program(program)
        return answer(shown(program))

    async def switch(request: web.Request, active: bool) -> web.Response:
        program_id = id_in(request, "program_id", "DR program")
        action, now = "program.activate" if active else "program.deactivate", now_of(services.clock)
        async with store_answers(f"program {program_id} may not be switched", next_step=_LOOK):
            program = await programs.change_program(
                program_id, action, lambda one: switched(one, active, now), by=author(request)
            )
        services.on_program(program)
        return answer(shown(program))

    async def activate(request: web.Request) -> web.Response:
        return await switch(request, True)

    async def deactivate(request: web.Request) -> web.Response:
        return await switch(request, False)

    async def delete_program(request: web.Request) -> web.Response:
        program_id = id_in(request, "program_id", "DR program")
        async with store_answers(f"program {program_id} may not be removed", next_step=_LOOK):
            await programs.delete_program(program_id, by=author(request))
        services.on_program_gone(program_id)
        return nothing()

    async def preview_program(request: web.Request) -> web.Response:
        asked = await read_body(request, ProgramIn)
        program = to_program(
            asked, feeder_ids=services.feeders.feeder_ids(), now=now_of(services.clock), program_id="preview"
        )
        return answer(services.previews.of_program(program))

    one = "/api/programs/{program_id}"
    return [
        Route(
            method="GET", path="/api/programs", handler=get_programs, role=Role.VIEWER, summary="DR programs",
            query=ProgramsQuery, answer=ProgramsOut, problems=(503,),
        ),
        Route(
            method="POST", path="/api/programs", handler=post_program, role=Role.OPERATOR,
            summary="Create a DR program", body=ProgramIn, answer=ProgramOut, status=201, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path="/api/programs/preview", anywhere=True, handler=preview_program, role=Role.OPERATOR,
            summary="What a DR program is expected to do; nothing is stored or sent", body=ProgramIn,
            answer=PreviewOut, problems=(404,),
        ),
        Route(
            method="GET", path=one, handler=get_program, role=Role.VIEWER, summary="One DR program",
            answer=ProgramOut, problems=(404, 503),
        ),
        Route(
            method="PATCH", path=one, handler=patch_program, role=Role.OPERATOR, summary="Amend a DR program",
            body=ProgramAmendIn, answer=ProgramOut, problems=(404, 409, 503),
        ),
        Route(
            method="DELETE", path=one, handler=delete_program, role=Role.ADMIN, summary="Remove a DR program",
            status=204, problems=(404, 503),
        ),
        Route(
            method="POST", path=f"{one}/activate", handler=activate, role=Role.OPERATOR,
            summary="Let a DR program bear", answer=ProgramOut, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path=f"{one}/deactivate", handler=deactivate, role=Role.OPERATOR,
            summary="Let a DR program bear no longer", answer=ProgramOut, problems=(404, 503),
        ),
    ]  # fmt: skip
