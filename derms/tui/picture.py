"""Everything that the screens are made of. One owner: the application; whoever draws only reads. Pure.

What the stream told stands in `fleet`, `feeders` and `health`; what is asked for from time to time (alarms, events,
programs) beside it. Time is the controller's clock: what it said last, and what has passed here since.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from derms.api.schemas.alarms import AlarmLineOut, AlarmOut
from derms.api.schemas.events import EventOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import HealthOut
from derms.api.schemas.programs import ProgramOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.contract import SimulationProfile
from derms.model import AlarmState, Role
from derms.tui.fleet import Fleet
from derms.tui.series import Trail

FEEDER_LINES = ("load", "import_limit", "background", "commanded", "pv")
_FEEDER_EVERY_S = 5.0
_STALE_S = 15.0
"""A connection that says nothing for so long is not live any more: the server speaks at least so often [s]."""
_LOG_LINES = 500


class Phase(StrEnum):
    """How the connection to the controller stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    """It stands, and says nothing."""
    BROKEN = "reconnecting"
    LOGGED_OUT = "logged out"


@dataclass(slots=True)
class Link:
    """The connection."""

    phase: Phase = Phase.CONNECTING
    why: str = ""
    retry_at_s: float | None = None
    """When it is tried again, on the monotonic clock [s]; None: now."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened."""

    at: datetime
    kind: str
    """`alarm`, `event`, `limit`, `mode`, `link`, `you`."""
    text: str
    tone: str = ""


@dataclass(slots=True)
class Picture:
    """What is known now."""

    link: Link = field(default_factory=Link)
    fleet: Fleet = field(default_factory=Fleet)
    health: HealthOut | None = None
    at: datetime | None = None
    """The controller's clock when it last spoke."""
    heard_s: float = 0.0
    """When that was, on the monotonic clock [s]."""
    tick: int = 0
    username: str = ""
    role: Role | None = None
    alarms: list[AlarmOut] = field(default_factory=list)
    alarm_lines: list[AlarmLineOut] = field(default_factory=list)
    events: list[EventOut] = field(default_factory=list)
    programs: list[ProgramOut] = field(default_factory=list)
    simulation: SimulationProfile | None = None
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    trails: dict[str, Trail] = field(default_factory=dict)
    """By feeder, of those that somebody has looked at."""
    _feeders: dict[str, dict[str, Any]] = field(default_factory=dict)
    _made: dict[str, FeederSummaryOut] = field(default_factory=dict)

    def take(self, event: PictureOut | ChangeOut, *, now_s: float) -> None:
        """Take an event of the stream in.

        Args:
            event: What the controller said.
            now_s: The monotonic clock [s].
        """
        at_s = event.at.timestamp()
        if isinstance(event, PictureOut):
            self._feeders = {row["feeder_id"]: row for row in event.feeders}
            self._made.clear()
            self.fleet.replace(event.devices)
        else:
            for change in event.feeders:
                self._take_feeder(change, event.at)
            self.fleet.change(event.devices, now_s=at_s)
        self.at, self.heard_s, self.health, self.tick = event.at, now_s, event.health, event.tick
        self.fleet.sample(at_s)
        for feeder_id, trail in self.trails.items():
            if (row := self._feeders.get(feeder_id)) is not None:
                trail.add(at_s, trail_values(row))

    def note(self, kind: str, text: str, tone: str = "", *, at: datetime | None = None) -> None:
        """Write something into the log."""
        self.log.append(LogLine(at or self.at or datetime.now(UTC), kind, text, tone))

    def now(self, now_s: float) -> datetime:
        """The controller's clock now; before it has spoken, this machine's."""
        if self.at is None:
            return datetime.now(UTC)
        return self.at + timedelta(seconds=max(now_s - self.heard_s, 0.0))

    def phase(self, now_s: float) -> Phase:
        """How the connection stands; one that has gone quiet is stale."""
        if self.link.phase is Phase.LIVE and now_s - self.heard_s > _STALE_S:
            return Phase.STALE
        return self.link.phase

    def frozen(self, now_s: float) -> bool:
        """Whether what is shown is not what is now."""
        return self.at is not None and self.phase(now_s) is not Phase.LIVE

    def feeder(self, feeder_id: str) -> FeederSummaryOut | None:
        """One feeder; None: there is none."""
        made = self._made.get(feeder_id)
        if made is None and (row := self._feeders.get(feeder_id)) is not None:
            made = self._made[feeder_id] = msgspec.convert(row, FeederSummaryOut)
        return made

    def feeder_ids(self) -> list[str]:
        """All feeders as their tree is read: each before those below it."""
        return [feeder_id for feeder_id, _ in self.tree()]

    def tree(self) -> list[tuple[str, int]]:
        """All feeders and how deep they hang, each before those below it."""
        below: dict[str | None, list[str]] = {}
        for feeder_id in sorted(self._feeders):
            parent = self._feeders[feeder_id].get("parent_id")
            below.setdefault(parent if parent in self._feeders else None, []).append(feeder_id)
        found: list[tuple[str, int]] = []
        waiting = [(feeder_id, 0) for feeder_id in reversed(below.get(None, []))]
        while waiting:
            feeder_id, depth = waiting.pop()
            found.append((feeder_id, depth))
            waiting += [(child, depth + 1) for child in reversed(below.get(feeder_id, []))]
        return found

    def below(self, feeder_id: str) -> set[str]:
        """A feeder and all that hang on it; whatever the case of its name."""
        found = {one for one in self._feeders if one.lower() == feeder_id.lower()}
        while more := {one for one, row in self._feeders.items() if row.get("parent_id") in found} - found:
            found |= more
        return found

    def chosen(self, feeder_id: str) -> str:
        """A feeder that there is: this one, or else the first root; empty: there is none."""
        if feeder_id in self._feeders:
            return feeder_id
        return next(iter(self.feeder_ids()), "")

    def open_alarms(self) -> list[AlarmOut]:
        """Those that want somebody: not shelved."""
        return [alarm for alarm in self.alarms if alarm.state is not AlarmState.SHELVED]

    def trail(self, feeder_id: str) -> Trail:
        """What a feeder did lately; from now on it is kept."""
        if feeder_id not in self.trails:
            self.trails[feeder_id] = Trail(FEEDER_LINES, every_s=_FEEDER_EVERY_S)
        return self.trails[feeder_id]

    def windows(self, feeder_id: str) -> list[EventOut]:
        """Events that bear on a feeder, by their start."""
        up = {feeder_id}
        here: str | None = feeder_id
        while here is not None and (row := self._feeders.get(here)) is not None:
            here = row.get("parent_id")
            if here is None or here in up:
                break
            up.add(here)
        return sorted((one for one in self.events if up & set(one.feeder_ids)), key=lambda one: one.start)

    def _take_feeder(self, change: dict[str, Any], at: datetime) -> None:
        feeder_id = change["feeder_id"]
        old = self._feeders.get(feeder_id)
        self._made.pop(feeder_id, None)
        if old is None:
            self._feeders[feeder_id] = change
            self.note("mode", f"{feeder_id} is new", at=at)
            return
        self._note_change(old, change, at)
        old.update(change)

    def _note_change(self, old: dict[str, Any], change: dict[str, Any], at: datetime) -> None:
        feeder_id = old["feeder_id"]
        for name, words in (("import_limit_kw", "import limit"), ("export_limit_kw", "export limit")):
            if name in change and change[name] != old.get(name):
                source = change.get("limit_source", old.get("limit_source")) if name == "import_limit_kw" else None
                by = f" ({source})" if source else ""
                self.note(
                    "limit", f"{feeder_id}: {words} {_kw(old.get(name))} -> {_kw(change[name])}{by}", "warn", at=at
                )
        if "mode" in change and change["mode"] != old.get("mode"):
            self.note("mode", f"{feeder_id}: mode {old.get('mode')} -> {change['mode']}", "warn", at=at)
        if (change.get("shortfall_kw") or 0.0) > 0.0 and not (old.get("shortfall_kw") or 0.0) > 0.0:
            self.note("limit", f"{feeder_id}: {change['shortfall_kw']:.1f} kW cannot be relieved", "bad", at=at)


def trail_values(row: dict[str, Any]) -> dict[str, float | None]:
    """What a chart draws of a feeder, from the stream's row of it."""
    pv = row.get("pv_kw")
    return {
        "load": row.get("load_kw"),
        "import_limit": row.get("import_limit_kw"),
        "background": row.get("background_kw"),
        "commanded": row.get("commanded_kw"),
        "pv": None if pv is None else -pv,
    }


def _kw(value: float | None) -> str:
    return "none" if value is None else f"{value:g} kW"
