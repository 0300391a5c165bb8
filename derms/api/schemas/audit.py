"""The audit log."""

from typing import Annotated, Any

import msgspec

from derms.api.schemas.common import Instant

MAX_LINES = 1000
Word = Annotated[str, msgspec.Meta(max_length=128)]


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines; newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINES)] = 100
    """At most so many."""
    cursor: Annotated[str, msgspec.Meta(max_length=100, pattern="^[A-Za-z0-9_-]*$")] | None = None
    """`next_cursor` of the page before; null: from the newest."""
    actor: Word | None = None
    """Who did it."""
    action: Word | None = None
    """What was done, `noun.verb`."""
    subject: Word | None = None
    """The id of what it was done to."""
    since: Instant | None = None
    """Not older than this."""
    until: Instant | None = None
    """Older than this."""


class AuditLineOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what."""

    audit_id: int
    """Rises from line to line."""
    at: Instant
    actor: str
    """Empty: nobody whose name is known, at a refused login."""
    action: str
    """`noun.verb`."""
    subject: str
    """The id of what it was done to."""
    request_id: str
    """In which request; empty: in none, or in several counted together."""
    remote: str
    """From which address."""
    before: dict[str, Any]
    """What was there; empty: nothing, or not known."""
    after: dict[str, Any]
    """What is there now; empty: nothing."""


class AuditOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/audit`."""

    lines: list[AuditLineOut]
    next_cursor: str | None = None
