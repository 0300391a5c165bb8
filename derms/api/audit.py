"""`GET /api/audit`: who did what."""

import base64
import binascii
from datetime import UTC, datetime

from aiohttp import web

from derms.accounts import AuditFilter, AuditLine
from derms.api.bodies import answer, read_query
from derms.api.routes import Route
from derms.api.schemas.audit import AuditLineOut, AuditOut, AuditQuery
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import UsageError
from derms.model import Role

_LARGEST_ID = 2**63 - 1


def routes(services: Services) -> list[Route]:
    """The audit log."""

    async def get_audit(request: web.Request) -> web.Response:
        asked = to_filter(read_query(request, AuditQuery))
        async with store_answers("the audit log cannot be read"):
            found = await services.audit.read_audit(asked)
        page = found[: asked.limit - 1]
        cursor = _closed(page[-1].audit_id) if len(found) == asked.limit else None
        return answer(AuditOut(lines=[_shown(line) for line in page], next_cursor=cursor))

    return [
        Route(
            method="GET", path="/api/audit", handler=get_audit, role=Role.ADMIN, summary="Who did what, newest first",
            query=AuditQuery, answer=AuditOut, problems=(503,),
        ),
    ]  # fmt: skip


def to_filter(asked: AuditQuery) -> AuditFilter:
    """Check what was asked for, and ask for one line more, which tells whether there is a next page. Pure.

    Raises:
        UsageError: It cannot be meant.
    """
    words = {"actor": asked.actor, "action": asked.action, "subject": asked.subject}
    for name, word in words.items():
        if word is not None and not word.isprintable():
            raise UsageError(
                f"{name} is {word!r}", why="no line holds a control character there", next_step="correct it"
            )
    if asked.since is not None and asked.until is not None and asked.until <= asked.since:
        raise UsageError(
            f"until is {asked.until.isoformat()}",
            why=f"it must be after since, {asked.since.isoformat()}",
            next_step="correct one of them",
        )
    return AuditFilter(
        **words,
        since=_utc(asked.since),
        until=_utc(asked.until),
        below=None if asked.cursor is None else _opened(asked.cursor),
        limit=asked.limit + 1,
    )


def _utc(at: datetime | None) -> datetime | None:
    try:
        return None if at is None else at.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(
            f"{at} lies outside of time", why="the years 1 to 9999 can be told", next_step="correct it"
        ) from error


def _closed(audit_id: int) -> str:
    return base64.urlsafe_b64encode(b"audit:%d" % audit_id).decode().rstrip("=")


def _opened(cursor: str) -> int:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        prefix, _, digits = raw.decode("ascii").partition(":")
        if prefix == "audit" and digits.isdecimal() and int(digits) <= _LARGEST_ID:
            return int(digits)
    except (binascii.Error, ValueError):
        pass
    raise UsageError(
        f"cursor is {cursor!r}",
        why="it is not the next_cursor of a page of the audit log",
        next_step="leave it out to begin with the newest line",
    )


def _shown(line: AuditLine) -> AuditLineOut:
    return AuditLineOut(
        audit_id=line.audit_id,
        at=line.at.astimezone(UTC),
        actor=line.actor,
        action=line.action,
        subject=line.subject,
        request_id=line.request_id,
        remote=line.remote,
        before=dict(line.before),
        after=dict(line.after),
    )
