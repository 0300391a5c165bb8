"""An address of the API: who may ask, what goes in, what comes out. The OpenAPI document is made of these."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from derms.model import Role

_PART = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    role: Role | None
    """The least role that may; None: anyone, without a token."""
    summary: str
    """One line; its noun is the path's second part."""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None
    """None: nothing (204), or no JSON (see `media`)."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Further statuses with the same answer."""
    media: str = "application/json"
    headers: tuple[str, ...] = ()
    """Request headers it reads."""
    token: str | None = field(default=None, repr=False)
    """A token that suffices for this route alone, beside those that have the role."""
    anywhere: bool | None = None
    """Whether a controller that stands by answers it too; None: as long as it only reads."""
    problems: tuple[int, ...] = ()
    """What it may be refused with, beside 401 and 403 where it needs a role, 422 where it reads a query, and 400, 408,
    413, 415, 422 where it reads a body."""

    @property
    def leader_only(self) -> bool:
        """Whether only a controller that commands may answer it."""
        return self.method not in ("GET", "HEAD") if self.anywhere is None else not self.anywhere

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the path's variable parts."""
        return tuple(_PART.findall(self.path))

    @property
    def refusals(self) -> tuple[int, ...]:
        """Every problem's status, in order."""
        known = set(self.problems)
        if self.role is not None:
            known |= {401, 403}
        if self.query is not None:
            known |= {422}
        if self.body is not None:
            known |= {400, 408, 413, 415, 422}
        if self.leader_only:
            known |= {307, 503}
        return tuple(sorted(known))
