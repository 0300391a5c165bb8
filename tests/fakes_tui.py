"""A controller that does not exist, for the control center: a fixed picture, a stream that is fed, and a memory."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec

from derms.api.schemas.alarms import AlarmHistoryOut, AlarmLineOut, AlarmOut, AlarmsOut
from derms.api.schemas.auth import MeOut
from derms.api.schemas.events import (
    DevicePreview,
    EventOut,
    EventsOut,
    FeederPreview,
    PreviewBasis,
    PreviewOut,
)
from derms.api.schemas.health import ControllerRole, HealthOut, PartHealth, PartState, TreeRole
from derms.api.schemas.history import FeederBucketOut, FeederHistoryOut
from derms.api.schemas.outcomes import DeviceOutcome, Direction, FeederOutcome, IntervalOutcome, OutcomeOut, Part
from derms.api.schemas.overrides import OverrideOut
from derms.api.schemas.programs import ProgramOut, ProgramsOut, ProgramState
from derms.api.schemas.simulation import SimulationModeOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.api.schemas.telemetry import TelemetryBucketOut, TelemetryOut
from derms.api.schemas.why import BoundName, BoundOut, WhyOut
from derms.client import ApiClient
from derms.contract import SimulationProfile
from derms.errors import AccessError
from derms.model import (
    AlarmChange,
    AlarmState,
    DeviceKind,
    EventState,
    FeederMode,
    OverrideKind,
    Priority,
    ProgramKind,
    Role,
)

NOW = datetime(2026, 11, 24, 17, 30, tzinfo=UTC)
LIMIT_KW = 165.0
_KINDS = ("ev", "ev", "ev", "battery", "pv", "load")


def wave(minutes: float, number: int = 0) -> float:
    """Something that goes up and down, the same each time."""
    return math.sin(minutes / 9.0 + number) + 0.4 * math.sin(minutes / 2.3 + 2.0 * number)


def device_row(number: int, *, feeder_id: str = "feeder-1", at: datetime = NOW) -> dict[str, Any]:
    """One device as the stream writes it."""
    kind = _KINDS[number % len(_KINDS)]
    power = {"ev": 5.4, "battery": -2.2, "pv": -4.1, "load": 1.3}[kind] + 0.6 * wave(number, 1)
    follows = kind in ("ev", "battery")
    fresh = "lost" if number % 41 == 40 else "stale" if number % 17 == 16 else "good"
    age_s = {"good": 1.0, "stale": 42.0, "lost": 400.0}[fresh]
    setpoint = round(power + (0.9 if number % 13 == 12 else 0.02), 3) if follows else None
    lease = None
    if setpoint is not None:
        lease = {
            "p_setpoint_kw": setpoint, "issued_at": _text(at - timedelta(seconds=9)),
            "valid_until": _text(at + timedelta(seconds=51)), "epoch": 3, "seq": number, "acknowledged": True,
            "reason": "import-limit",
        }  # fmt: skip
    return {
        "device_id": f"{kind}-{number:04d}", "type": kind, "feeder_id": feeder_id,
        "site_id": f"house-{number // 3:03d}",
        "origin": "physical" if number % 20 == 0 else "simulated", "enrolment": "active", "priority": 1 + number % 10,
        "dialect": "v1", "p_import_max_kw": 0.0 if kind == "pv" else 7.4,
        "p_export_max_kw": 0.0 if kind in ("ev", "load") else 5.0, "p_min_kw": 1.4 if kind == "ev" else 0.0,
        "p_step_kw": 0.0, "capacity_kwh": 40.0 if follows else None, "target_soc": 0.8, "min_soc_reserve": 0.2,
        "default_power_kw": 0.0, "ready_by": None, "p_actual_kw": round(power, 3), "p_setpoint_kw": setpoint,
        "soc": round(0.08 + (number * 37 % 90) / 100.0, 2) if follows else None, "p_max_kw": None,
        "energy_needed_kwh": None, "status": "fault" if number % 53 == 52 else "ok", "online": True,
        "freshness": fresh, "telemetry_at": _text(at), "heard_at": _text(at - timedelta(seconds=age_s)),
        "lease": lease, "override": None,
    }  # fmt: skip


def _text(at: datetime) -> str:
    return cast("str", msgspec.to_builtins(at))


EVENT = EventOut(
    event_id="dr-2bb356058a3b", name="Evening peak", feeder_ids=["feeder-1"], start=NOW - timedelta(minutes=12),
    end=NOW + timedelta(minutes=9), import_limit_kw=140.0, reason="peak", created_by="opal",
    created_at=NOW - timedelta(minutes=20), state=EventState.ACTIVE,
)  # fmt: skip
NEXT = EventOut(
    event_id="dr-77c0aa19d2e4", feeder_ids=["feeder-1"], start=NOW + timedelta(minutes=13),
    end=NOW + timedelta(minutes=43), shed_kw=25.0, reason="forecast", created_by="opal",
    created_at=NOW - timedelta(minutes=5), state=EventState.SCHEDULED,
)  # fmt: skip
OVER = EventOut(
    event_id="dr-00aa11bb22cc", feeder_ids=["feeder-1"], start=NOW - timedelta(hours=5),
    end=NOW - timedelta(hours=4), import_limit_kw=120.0, reason="test", created_by="ada",
    created_at=NOW - timedelta(hours=6), state=EventState.OVER,
)  # fmt: skip
PROGRAM = ProgramOut(
    program_id="prog-1", name="Winter", kind=ProgramKind.FIXED_CAP, feeder_ids=[], start=NOW - timedelta(days=20),
    end=NOW + timedelta(days=70), target_shed_kw=20.0, incentive_per_kwh=0.0, penalty_per_kwh=0.0, active=False,
    state=ProgramState.INACTIVE,
)  # fmt: skip
ALARM = AlarmOut(
    alarm_id="disobedient.ev-0012", kind="disobedient", subject="ev-0012", state=AlarmState.UNACKNOWLEDGED,
    priority=Priority.MEDIUM, cause="ev-0012 draws 0.9 kW beyond its setpoint",
    consequence="its share is taken from others", response="look at the charger; block it if it goes on",
    active=True, acknowledged=False, occurrences=2, raised_at=NOW - timedelta(minutes=4),
)  # fmt: skip
SHELVED = msgspec.structs.replace(
    ALARM, alarm_id="silent.battery-0033", kind="silent", subject="battery-0033", state=AlarmState.SHELVED,
    priority=Priority.LOW, cause="battery-0033 has not been heard for 7 minutes", active=True,
    shelved_until=NOW + timedelta(hours=1), shelved_by="opal", shelved_reason="being repaired",
)  # fmt: skip


def feeder_row(feeder_id: str, rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """One feeder as the stream writes it."""
    kinds = [row["type"] for row in rows]
    origins = [row["origin"] for row in rows]
    fresh = [row["freshness"] for row in rows]

    def total(kind: str) -> float:
        return float(round(sum(row["p_actual_kw"] for row in rows if row["type"] == kind), 2))

    return {
        "feeder_id": feeder_id, "name": "Harbour street", "mode": FeederMode.AUTO.value, "at": _text(NOW), "tick": 4711,
        "epoch": 3, "import_limit_kw": 140.0, "static_import_limit_kw": LIMIT_KW, "limit_source": EVENT.event_id,
        "export_limit_kw": 80.0, "measured_kw": 131.6, "load_kw": 131.6, "background_kw": 18.4, "reserved_kw": 6.2,
        "headroom_kw": 96.3, "commanded_kw": 88.9, "shortfall_kw": 0.0, "pv_kw": total("pv"),
        "battery_kw": total("battery"), "ev_kw": total("ev"), "base_kw": total("load"), "parent_id": None,
        "policy": "deficit", "margin_kw": 4.0, "static_export_limit_kw": 80.0, "export_limit_source": "static",
        "export_headroom_kw": 60.0, "export_shortfall_kw": 0.0, "active_programs": [], "devices_total": len(rows),
        "devices_by_type": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "devices_by_origin": {origin: origins.count(origin) for origin in sorted(set(origins))},
        "freshness": {name: fresh.count(name) for name in ("good", "stale", "lost", "never")},
        "active_events": [msgspec.to_builtins(EVENT)], "next_event": msgspec.to_builtins(NEXT), **changes,
    }  # fmt: skip


def health(*, store: PartState = PartState.OK) -> HealthOut:
    """How the daemon does."""
    return HealthOut(
        status="ok" if store is PartState.OK else "degraded", version="0.1.0", uptime_s=93_600.0,
        parts={
            "mqtt": PartHealth(state=PartState.OK, age_s=93_000.0),
            "store": PartHealth(state=store, age_s=93_000.0 if store is PartState.OK else 12.0,
                                detail="" if store is PartState.OK else "connection refused"),
            "loop": PartHealth(state=PartState.OK, age_s=0.4),
            "leader": PartHealth(state=PartState.OK, age_s=93_000.0),
        },
        role=ControllerRole.ACTIVE,
        trees={"feeder-1": TreeRole(role=ControllerRole.ACTIVE, leader="derms", epoch=1)},
    )  # fmt: skip


def picture(devices: int = 60, *, at: datetime = NOW, tree: bool = True) -> PictureOut:
    """A whole picture."""
    rows = [device_row(number, feeder_id="tr-2" if tree and number % 4 == 3 else "feeder-1", at=at)
            for number in range(devices)]  # fmt: skip
    feeders = [feeder_row("feeder-1", rows)]
    if tree:
        below = [row for row in rows if row["feeder_id"] == "tr-2"]
        plain: dict[str, Any] = {"limit_source": "static", "active_events": [], "next_event": None, "name": ""}
        feeders.append(feeder_row("tr-1", [], parent_id="feeder-1", load_kw=41.0, import_limit_kw=100.0, **plain))
        feeders.append(feeder_row("tr-2", below, parent_id="feeder-1", load_kw=62.0, import_limit_kw=63.0, **plain))
    return PictureOut(at=at, tick=1, feeders=feeders, devices=rows, health=health())


def change(seconds: float = 1.0, *, devices: list[dict[str, Any]] | None = None,
           feeders: list[dict[str, Any]] | None = None) -> ChangeOut:  # fmt: skip
    """What is not as it was, so long after the picture."""
    return ChangeOut(
        at=NOW + timedelta(seconds=seconds), tick=2, feeders=feeders or [], devices=devices or [], health=health()
    )


class FakeClient:
    """Answers as the API would, and remembers what was done."""

    def __init__(self, *, role: Role = Role.OPERATOR, devices: int = 60) -> None:
        self.role = role
        self.did: list[tuple[str, Any]] = []
        self.words: asyncio.Queue[PictureOut | ChangeOut | Exception] = asyncio.Queue()
        self.words.put_nowait(picture(devices))
        self.streams = 0
        self.events_ = [EVENT, NEXT, OVER]
        self.alarms_ = [ALARM, SHELVED]
        self.refuses: Exception | None = None
        """Raised by whatever is done."""

    async def stream(self, last_id: str = "") -> AsyncGenerator[tuple[str, PictureOut | ChangeOut], None]:
        self.streams += 1
        number = 0
        while True:
            word = await self.words.get()
            if isinstance(word, Exception):
                raise word
            number += 1
            yield f"1-{number}", word

    async def me(self) -> MeOut:
        return MeOut(username="opal", role=self.role, expires_at=NOW + timedelta(hours=1), refreshable=True)

    async def alarms(self, query: object = None) -> AlarmsOut:
        return AlarmsOut(alarms=list(self.alarms_))

    async def alarm_history(self, query: object = None) -> AlarmHistoryOut:
        line = AlarmLineOut(number=7, at=ALARM.raised_at, alarm_id=ALARM.alarm_id, kind=ALARM.kind,
                            subject=ALARM.subject, change=AlarmChange.RAISED, cause=ALARM.cause, by=None)  # fmt: skip
        return AlarmHistoryOut(lines=[line])

    async def event_page(self, query: object) -> EventsOut:
        return EventsOut(events=list(self.events_))

    async def programs(self, query: object = None) -> ProgramsOut:
        return ProgramsOut(programs=[PROGRAM])

    async def simulation_mode(self) -> SimulationModeOut:
        return SimulationModeOut(mode=SimulationProfile.AUTO)

    async def feeder_history(self, query: Any) -> FeederHistoryOut:
        buckets = []
        for number in range(240):
            minutes = 120.0 - number / 2.0
            at = NOW - timedelta(minutes=minutes)
            limited = EVENT.start <= at
            load = 148.0 + 12.0 * wave(minutes)
            buckets.append(FeederBucketOut(
                at=at, ticks=30, load_kw=min(load, 137.0 + wave(minutes, 3)) if limited else load, load_max_kw=load,
                load_min_kw=load, import_limit_kw=140.0 if limited else LIMIT_KW, export_limit_kw=80.0,
                background_kw=18.0 + 3.0 * wave(minutes, 5), commanded_kw=(84.0 if limited else 104.0) + 8.0 *
                wave(minutes, 1), headroom_kw=90.0, reserved_kw=6.0, shortfall_kw=0.0, export_shortfall_kw=0.0,
                pv_kw=-max(44.0 - (120.0 - minutes) / 3.5 + 4.0 * wave(minutes, 2), 0.0), battery_kw=-12.0, ev_kw=90.0,
                base_kw=30.0, deferred_kw=0.0, curtailed_kw=0.0,
            ))  # fmt: skip
        return FeederHistoryOut(feeder_id=query.feeder_id, since=NOW - timedelta(minutes=120), until=NOW, bucket_s=30,
                                buckets=buckets)  # fmt: skip

    async def telemetry(self, device_id: str, query: object = None) -> TelemetryOut:
        buckets = []
        for number in range(180):
            minutes = 30.0 - number / 6.0
            setpoint = 6.6 if minutes > 12.0 else 5.0 + 0.5 * round(wave(minutes))
            buckets.append(TelemetryBucketOut(
                at=NOW - timedelta(minutes=minutes), samples=10, p_actual_kw=setpoint + 0.12 * wave(minutes * 4.0),
                p_actual_max_kw=setpoint, p_actual_min_kw=setpoint, p_setpoint_kw=setpoint, soc=0.62 - minutes / 200.0,
            ))  # fmt: skip
        return TelemetryOut(device_id=device_id, since=NOW - timedelta(minutes=30), until=NOW, bucket_s=10,
                            samples=None, buckets=buckets)  # fmt: skip

    async def why(self, device_id: str) -> WhyOut:
        bound = BoundOut(
            kind=BoundName.EVENT, subject="feeder-1", source=EVENT.event_id, limit_kw=5.4, binding=True,
            words="feeder-1 may import 140 kW until 17:39, by the event Evening peak",
            remedies=["cancel or amend the event", "give it a higher priority"],
        )  # fmt: skip
        return WhyOut(device_id=device_id, words=f"{device_id}: charging at most 5.4 kW: feeder-1 import limit 140 kW",
                      setpoint_kw=5.4, mode=FeederMode.AUTO, decided_at=NOW, bounds=[bound])  # fmt: skip

    async def event_outcome(self, event_id: str, *, bucket_s: float | None = None) -> OutcomeOut:
        intervals = [
            IntervalOutcome(start=EVENT.start + timedelta(minutes=number),
                            end=EVENT.start + timedelta(minutes=number + 1), load_kw=138.0, limit_kw=140.0,
                            committed_kw=20.0, delivered_kw=min(6.0 * number, 22.0 + wave(number)))
            for number in range(12)
        ]  # fmt: skip
        devices = [
            DeviceOutcome(device_id=f"ev-{number:04d}", type=DeviceKind.EV, feeder_id="feeder-1",
                          part=Part.PARTICIPATED if number % 5 else Part.REFUSED, before_kw=7.0,
                          during_kw=5.0 + number % 3, told_kw=5.0, shed_kw=2.0 - number % 3)
            for number in range(1, 13)
        ]  # fmt: skip
        feeder = FeederOutcome(feeder_id="feeder-1", baseline_kw=160.0, baseline_basis="the 900 s before",
                               observed_s=720.0, compliance_s=690.0, until_under_limit_s=18.0,
                               intervals=intervals)  # fmt: skip
        event = next(one for one in self.events_ if one.event_id == event_id)
        return OutcomeOut(event=event, at=NOW, direction=Direction.IMPORT, bucket_s=60.0, tolerance="0.5 %",
                          feeders=[feeder], total=intervals, devices=devices)  # fmt: skip

    async def preview_event(self, event: Any) -> PreviewOut:
        feeder = FeederPreview(feeder_id="feeder-1", basis=PreviewBasis.DECISION, sends=True, load_before_kw=131.6,
                               load_after_kw=118.0, import_limit_kw=120.0, export_limit_kw=80.0, shortfall_kw=0.0,
                               feasible=True)  # fmt: skip
        device = DevicePreview(device_id="ev-0001", type=DeviceKind.EV, feeder_id="feeder-1", now_kw=5.4,
                               expected_kw=1.4, relief_kw=4.0)  # fmt: skip
        return PreviewOut(at=NOW, start=NOW, end=NOW + timedelta(hours=1), feasible=True, shortfall_kw=0.0,
                          relief_kw=13.6, notes=[], feeders=[feeder], devices=[device])  # fmt: skip

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Whatever changes something: remembered, and answered."""
        answers: dict[str, Any] = {
            "create_event": EVENT, "amend_event": EVENT, "cancel_event": EVENT,
            "put_override": OverrideOut(kind=OverrideKind.HOLD, p_kw=3.0, reason="r", created_by="opal", created_at=NOW,
                                        until=NOW + timedelta(hours=1)),
            "release_override": None, "change_feeder": None, "acknowledge_alarm": ALARM, "shelve_alarm": SHELVED,
            "unshelve_alarm": ALARM, "set_simulation_mode": SimulationModeOut(mode=SimulationProfile.DAY),
            "activate_program": PROGRAM, "deactivate_program": PROGRAM,
        }  # fmt: skip
        if name not in answers:
            raise AttributeError(name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if self.refuses is not None:
                raise self.refuses
            self.did.append((name, arguments))
            if name == "change_feeder":
                return _Feeder(feeder_id=arguments[0], import_limit_kw=120.0, export_limit_kw=80.0)
            return answers[name]

        return call


class _Feeder(msgspec.Struct, kw_only=True):
    feeder_id: str
    import_limit_kw: float
    export_limit_kw: float
    mode: FeederMode = FeederMode.ADVISE


class FakeDoor:
    """The way to a fake client."""

    context = "north"
    url = "http://127.0.0.1:8080"

    def __init__(self, client: FakeClient, *, known: bool = True, state_file: Path | None = None) -> None:
        self.fake = client
        self.state_file = state_file
        self._known = known

    def known(self) -> bool:
        return self._known

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        yield cast("ApiClient", self.fake)

    async def login(self, username: str, password: str) -> None:
        if (username, password) != ("opal", "opal-password"):
            raise AccessError("user or password is wrong", next_step="try again")
        self._known = True

    async def logout(self) -> None:
        self._known = False
