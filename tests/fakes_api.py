"""What stands in for the live controller and the database when the API is tested."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from derms.api.app import Served, build_app, serve_app
from derms.api.schemas.devices import DeviceOut, DevicesQuery, Freshness, LeaseOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import ControllerRole, HealthOut, PartHealth, PartState, ReadyOut, TreeRole
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.api.services import Services
from derms.api.stream import Hub
from derms.auth import Authenticator, Credential, KeyRing, Passwords
from derms.metrics import Metrics
from derms.model import DeviceKind, Dialect, DrEvent, Enrolment, FeederMode, Origin, Role
from tests.fakes_accounts import FakeAccounts
from tests.fakes_dr import FakeEvents, FakePreviews, Told
from tests.live import LiveController, live_controller

NOW_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a secret of more than thirty-two bytes"
PASSWORDS = {Role.VIEWER: "viewers-password", Role.OPERATOR: "operators-password", Role.ADMIN: "admins-password"}


QUICK = Passwords(memory_kib=8, passes=1)
"""Hashes for tests, in no time."""


class FakeClock:
    """A clock that is set by hand."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000


class FakeView:
    """A controller with two feeders and one device."""

    fails: bool = False
    away: bool = False

    def devices(self) -> list[DeviceOut]:
        if self.fails:
            raise RuntimeError("a bug, with the words s3cr3t in it")
        lease = LeaseOut(
            p_setpoint_kw=3.6, issued_at=NOW, valid_until=NOW, epoch=7, seq=12, acknowledged=True, reason="limit"
        )
        return [
            DeviceOut(
                device_id="ev-001",
                type=DeviceKind.EV,
                feeder_id="feeder-1",
                origin=Origin.SIMULATED,
                enrolment=Enrolment.ACTIVE,
                priority=5,
                dialect=Dialect.V1,
                p_import_max_kw=7.2,
                p_export_max_kw=0.0,
                p_min_kw=1.4,
                p_actual_kw=3.61,
                soc=0.42,
                freshness=Freshness.GOOD,
                telemetry_at=NOW,
                age_s=0.5,
                lease=lease,
            )
        ]

    def row(self, device_id: str) -> int | None:
        return 0 if device_id == "ev-001" else None

    def select(self, query: DevicesQuery) -> tuple[list[int], int, str | None]:
        return [0], 1, None

    def shown(self, rows: Sequence[int]) -> list[DeviceOut]:
        return [self.devices()[row] for row in rows]

    def feeders(self) -> list[FeederSummaryOut]:
        return [
            FeederSummaryOut(
                feeder_id="feeder-1",
                name="North",
                mode=FeederMode.AUTO,
                at=NOW,
                tick=3,
                epoch=7,
                import_limit_kw=50.0,
                static_import_limit_kw=100.0,
                limit_source="dr-1",
                export_limit_kw=None,
                measured_kw=None,
                load_kw=3.61,
                background_kw=0.0,
                reserved_kw=0.0,
                headroom_kw=46.4,
                commanded_kw=3.6,
                shortfall_kw=0.0,
                pv_kw=0.0,
                battery_kw=0.0,
                ev_kw=3.61,
                base_kw=0.0,
                devices_total=1,
                devices_by_type={"ev": 1},
                devices_by_origin={"simulated": 1},
                freshness={"good": 1},
                active_events=[],
            )
        ]

    def health(self) -> HealthOut:
        parts = {"mqtt": PartHealth(state=PartState.OK, age_s=1.0)}
        tree = TreeRole(role=ControllerRole.ACTIVE, leader="controller-1", epoch=7)
        return HealthOut(
            status="ok",
            version="1.2.3",
            uptime_s=4.0,
            parts=parts,
            role=ControllerRole.ACTIVE,
            trees={"feeder-1": tree},
        )

    def ready(self) -> ReadyOut:
        part = PartHealth(state=PartState.DOWN if self.away else PartState.OK, age_s=1.0)
        return ReadyOut(ready=not self.away, parts={"db": part}, role=ControllerRole.ACTIVE)

    def below(self, feeder_id: str) -> set[str]:
        return {feeder_id}

    def feeder_ids(self) -> set[str]:
        return {"feeder-1", "feeder-2"}

    def uppermost(self, feeder_ids: Sequence[str]) -> set[str]:
        return set(feeder_ids)


@dataclass
class FakePicture:
    """A fleet of one, whose power is the number of the tick."""

    tick: int = 0
    padding: str = ""
    fails: bool = False

    async def change(self) -> ChangeOut:
        if self.fails:
            raise RuntimeError("a bug")
        self.tick += 1
        devices = [{"device_id": "ev-001", "p_actual_kw": float(self.tick), "site_id": self.padding}]
        return ChangeOut(at=NOW, tick=self.tick, feeders=[], devices=devices, health=FakeView().health())

    def whole(self) -> PictureOut:
        devices = [{"device_id": "ev-001", "p_actual_kw": float(self.tick)}]
        return PictureOut(at=NOW, tick=self.tick, feeders=[], devices=devices, health=FakeView().health())


@dataclass
class Api:
    """A served API and all that stands behind it."""

    served: Served
    authenticator: Authenticator
    view: FakeView
    events: FakeEvents
    told: list[DrEvent]
    dr: Told
    clock: FakeClock
    metrics: Metrics
    app: web.Application
    picture: FakePicture
    hub: Hub
    accounts: FakeAccounts
    live: LiveController

    def headers(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.authenticator.issue(f'a-{role}', role).token}"}


def an_authenticator(
    accounts: FakeAccounts, clock: FakeClock, *users: Credential, access_ttl_s: float = 900.0, **more: Any
) -> Authenticator:
    """One whose hashes cost nothing; a login lasts an hour."""
    return Authenticator(
        KeyRing(SECRET),
        store=accounts,
        clock=clock,
        access_ttl_s=access_ttl_s,
        session_ttl_s=3600.0,
        seeds=users,
        **{"passwords": QUICK, **more},
    )


@contextlib.asynccontextmanager
async def running_api(
    *,
    metrics_enabled: bool = True,
    idle_timeout_s: float = 10.0,
    tls: ssl.SSLContext | None = None,
    logins: bool = False,
    scrape_token: str | None = None,
    cors_origins: tuple[str, ...] = (),
    lively: bool = False,
) -> AsyncIterator[Api]:
    """A real server on a port the system chose; with `logins` there is a user of each role.

    With `lively` devices and feeders are those of a real fleet and loop, `Api.live`.
    """
    clock, view, events, metrics = FakeClock(), FakeView(), FakeEvents(), Metrics(version="1.2.3")
    dr, picture, accounts = Told(), FakePicture(), FakeAccounts()
    users = [Credential(username=role.value, password=word, role=role) for role, word in PASSWORDS.items() if logins]

    def count(result: str) -> None:
        metrics.logins_total.labels(result=result).inc()

    with live_controller(clock, metrics) as live:
        async with an_authenticator(accounts, clock, *users, on_login=count) as authenticator:
            hub = Hub(picture, epoch=7, metrics=metrics)
            services = Services(
                clock=clock,
                metrics=metrics,
                authenticator=authenticator,
                devices=live.devices if lively else view,
                why=live.why,
                feeders=live.feeders if lively else view,
                registry=live.registry,
                registrations=live.store,
                overrides=live.store,
                declared=live.declared,
                reports=live.store,
                tracking=live.tracking,
                offer=live.offer,
                simulation=live.simulation,
                health=view,
                stream=hub,
                events=events,
                on_event=dr.events.append,
                on_event_gone=dr.events_gone.append,
                programs=events,
                on_program=dr.programs.append,
                on_program_gone=dr.programs_gone.append,
                previews=FakePreviews(),
                outcomes=dr.outcomes,
                alarms=dr.desk,
                alarm_store=events,
                new_id=lambda: str(len(events.committed) + len(events.programs) + 1),
                audit=accounts,
                scrape_token=scrape_token,
                cors_origins=cors_origins,
            )
            app = build_app(services, metrics_enabled=metrics_enabled)
            async with serve_app(app, host="127.0.0.1", port=0, tls=tls, idle_timeout_s=idle_timeout_s) as served:
                yield Api(
                    served,
                    authenticator,
                    view,
                    events,
                    dr.events,
                    dr,
                    clock,
                    metrics,
                    app,
                    picture,
                    hub,
                    accounts,
                    live,
                )
