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


class ControllerRole(StrEnum):
    """Whether a controller commands."""

    ACTIVE = "active"
    STANDBY = "standby"


class TreeRole(msgspec.Struct, frozen=True, kw_only=True):
    """Who commands one tree of feeders."""

    role: ControllerRole
    """Of the controller that was asked."""
    leader: str | None
    """The id of the controller that commands it; null: nobody does, as far as is known."""
    epoch: int
    """Of the newest leader; 0: there never was one."""


class HealthOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/health`."""

    status: str
    """`ok`, or `degraded` when a part is not; control goes on as far as it can."""
    version: str
    commit: str = ""
    """What it was built of; empty: not known."""
    uptime_s: float
    parts: dict[str, PartHealth]
    """By name: `mqtt`, `store`, `loop`, `leader` (every tree is commanded by somebody)."""
    role: ControllerRole
    """`active` when it commands any tree."""
    trees: dict[str, TreeRole]
    """By the id of the tree's root."""


class ReadyOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/ready`: 200 when every part is `ok`, 503 when one is not."""

    ready: bool
    parts: dict[str, PartHealth]
    """By name: `db`, `mqtt`, `loop` (ticks in time), `lag` (the event loop keeps up), `leader` (every tree is commanded
    by somebody who may also raise)."""
    role: ControllerRole
    """`active` when it commands any tree."""
