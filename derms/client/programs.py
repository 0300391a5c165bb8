"""Demand-response programs."""

from derms.api.schemas.events import PreviewOut
from derms.api.schemas.programs import ProgramAmendIn, ProgramIn, ProgramOut, ProgramsOut, ProgramsQuery
from derms.client.base import Caller, part


class ProgramCalls(Caller):
    """Demand-response programs."""

    async def programs(self, query: ProgramsQuery | None = None) -> ProgramsOut:
        """A page of the DR programs."""
        return await self.call("GET", "/api/programs", ProgramsOut, query=query)

    async def program(self, program_id: str) -> ProgramOut:
        """One DR program."""
        return await self.call("GET", _path(program_id), ProgramOut)

    async def create_program(self, program: ProgramIn) -> ProgramOut:
        """Create a DR program; it is stored when this returns. Needs the role operator."""
        return await self.call("POST", "/api/programs", ProgramOut, body=program)

    async def preview_program(self, program: ProgramIn) -> PreviewOut:
        """What a program is expected to do; nothing is stored or sent. Needs the role operator."""
        return await self.call("POST", "/api/programs/preview", PreviewOut, body=program)

    async def amend_program(self, program_id: str, changes: ProgramAmendIn) -> ProgramOut:
        """Change a program. Needs the role operator."""
        return await self.call("PATCH", _path(program_id), ProgramOut, body=changes)

    async def activate_program(self, program_id: str) -> ProgramOut:
        """Let a program bear. Needs the role operator."""
        return await self.call("POST", f"{_path(program_id)}/activate", ProgramOut)

    async def deactivate_program(self, program_id: str) -> ProgramOut:
        """Let a program bear no longer. Needs the role operator."""
        return await self.call("POST", f"{_path(program_id)}/deactivate", ProgramOut)

    async def delete_program(self, program_id: str) -> None:
        """Remove a program. Needs the role admin."""
        await self.call("DELETE", _path(program_id), type(None))


def _path(program_id: str) -> str:
    return f"/api/programs/{part(program_id)}"
