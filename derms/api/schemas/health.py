"""How the daemon does."""

from enum import StrEnum

import msgspec


class PartState(StrEnum):
    """How a part of the daemon does."""

    OK = "ok"
    DOWN = "down"
    STARTING = "starting"


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the daemon."""

    state: PartState
    age_s: float
    """How long it has been in this state, or for the loop since the last tick [s]."""
    detail: str = ""


class HealthOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/health`."""

    status: str
    """`ok`, or `degraded` when a part is not; control goes on as far as it can."""
    version: str
    commit: str = ""
    """What it was built of; empty: not known."""
    uptime_s: float
    parts: dict[str, PartHealth]
    """By name: `mqtt`, `store`, `loop`."""


class ReadyOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/ready`: 200 when every part is `ok`, 503 when one is not."""

    ready: bool
    parts: dict[str, PartHealth]
    """By name: `db`, `mqtt`, `loop` (ticks in time), `lag` (the event loop keeps up)."""
