"""Devices over a real server, on a real fleet: lists, lookups, and what may be changed."""

from typing import Any

import pytest

from derms.api.schemas.why import BoundName
from derms.control.cause import BoundKind
from derms.model import DeviceKind, Dialect, Enrolment, Origin, Role, Setpoint
from tests.asking import Asker
from tests.fakes_api import NOW_MS
from tests.live import LiveController

LATER = "2026-01-01T06:00:00Z"


@pytest.fixture(autouse=True)
def fleet(live: LiveController) -> None:
    """Four devices, of which `bat-1` has spoken a while ago and `pv-1` never has."""
    live.register("ev-2", feeder_id="feeder-2", site_id="Car park", priority=9)
    live.register("ev-1", site_id="House 1", origin=Origin.PHYSICAL, p_min_kw=1.4)
    live.register("bat-1", DeviceKind.BATTERY, "feeder-3", p_export_max_kw=5.0, capacity_kwh=10.0)
    live.register("pv-1", DeviceKind.PV, enrolment=Enrolment.QUARANTINED)
    live.hear("bat-1", -2.0, soc=0.5)
    clock: Any = live.clock
    clock.now += 10_000  # stale after 6 s
    live.hear("ev-1", 3.5, soc=0.25, p_setpoint_kw=3.6, seq=1)
    live.hear("ev-2", 0.0, soc=0.75)


async def ids(ask: Asker, **query: Any) -> list[str]:
    status, body = await ask("GET", "/api/devices", query=query, role=Role.VIEWER)
    assert status == 200, body
    assert body["total"] == len(body["devices"])
    return [device["device_id"] for device in body["devices"]]


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["bat-1", "ev-1", "ev-2", "pv-1"]),
    ({"type": "ev"}, ["ev-1", "ev-2"]),
    ({"origin": "physical"}, ["ev-1"]),
    ({"feeder_id": "feeder-2"}, ["ev-2"]),
    ({"feeder_id": "feeder-1"}, ["ev-1", "ev-2", "pv-1"]),  # what lies below counts
    ({"feeder_id": "nowhere"}, []),
    ({"enrolment": "quarantined"}, ["pv-1"]),
    ({"freshness": "good"}, ["ev-1", "ev-2"]),
    ({"freshness": "stale"}, ["bat-1"]),
    ({"freshness": "never"}, ["pv-1"]),
    ({"q": "CAR"}, ["ev-2"]),
    ({"q": "-1"}, ["bat-1", "ev-1", "pv-1"]),
    ({"type": "ev", "feeder_id": "feeder-1", "q": "house"}, ["ev-1"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
async def test_a_list_is_filtered(query: dict[str, str], expected: list[str], ask: Asker) -> None:
    assert await ids(ask, **query) == expected


SORTS = [
    ("-device_id", ["pv-1", "ev-2", "ev-1", "bat-1"]),
    ("soc", ["ev-1", "bat-1", "ev-2", "pv-1"]),  # what is not known comes last
    ("-soc", ["ev-2", "bat-1", "ev-1", "pv-1"]),
    ("p_actual_kw", ["bat-1", "ev-2", "ev-1", "pv-1"]),
    ("-priority", ["ev-2", "bat-1", "ev-1", "pv-1"]),
    ("site_id", ["ev-2", "ev-1", "bat-1", "pv-1"]),
    ("capacity_kwh", ["bat-1", "ev-1", "ev-2", "pv-1"]),
    ("freshness", ["ev-1", "ev-2", "bat-1", "pv-1"]),
    ("age_s", ["ev-1", "ev-2", "bat-1", "pv-1"]),
    ("-age_s", ["bat-1", "ev-1", "ev-2", "pv-1"]),
    ("telemetry_at", ["bat-1", "ev-1", "ev-2", "pv-1"]),
]


@pytest.mark.parametrize(("sort", "expected"), SORTS)
async def test_a_list_is_sorted(sort: str, expected: list[str], ask: Asker) -> None:
    assert await ids(ask, sort=sort) == expected


SHOWN = (
    *("device_id", "type", "feeder_id", "site_id", "origin", "enrolment", "priority", "dialect", "p_import_max_kw"),
    *("p_export_max_kw", "p_min_kw", "p_step_kw", "capacity_kwh", "target_soc", "min_soc_reserve", "default_power_kw"),
    *("ready_by", "p_actual_kw", "p_setpoint_kw", "soc", "p_max_kw", "energy_needed_kwh", "status", "online"),
    *("gateway_id", "freshness", "telemetry_at", "age_s", "lease_kw", "override_kind"),
)


@pytest.mark.parametrize("sort", SHOWN)
async def test_pages_of_one_join_to_the_whole_list_whatever_it_is_sorted_by(sort: str, ask: Asker) -> None:
    whole = await ids(ask, sort=sort)
    found, query = [], {"sort": sort, "limit": "1"}
    for _ in whole:
        _, body = await ask("GET", "/api/devices", query=query)
        assert body["total"] == 4
        found += [device["device_id"] for device in body["devices"]]
        query = query | {"cursor": body["next_cursor"] or ""}
    assert found == whole
    assert body["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "lease"},
        {"type": "toaster"},
        {"limit": "0"},
        {"limit": "10001"},
        {"cursor": "x"},
        {"colour": "red"},
        {"sort": "soc", "cursor": "WyJzb2MiLGZhbHNlLG51bGwsIngiXQ"},  # ["soc",false,null,"x"]
        {"sort": "soc", "cursor": "WyJzb2MiLGZhbHNlLCJ4IiwieCJd"},  # ["soc",false,"x","x"]
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(query: dict[str, str], ask: Asker) -> None:
    status, problem = await ask("GET", "/api/devices", query=query)
    assert (status, problem["code"]) == (422, "usage")
    assert problem["next_step"]


async def test_one_device_is_shown_with_what_is_known_of_it_and_null_where_nothing_is(
    ask: Asker, live: LiveController
) -> None:
    _, device = await ask("GET", "/api/devices/ev-1")
    assert (device["p_actual_kw"], device["age_s"], device["freshness"]) == (3.5, 0.0, "good")
    assert (device["lease"], device["override"], device["ready_by"], device["capacity_kwh"]) == (None,) * 4
    row = live.fleet.row("ev-1")
    assert row is not None
    lease = Setpoint(
        device_id="ev-1", kind=DeviceKind.EV, p_setpoint_kw=3.6, issued_at_ms=NOW_MS, valid_until_ms=NOW_MS + 11_000,
        epoch=7, seq=1,
    )  # fmt: skip
    live.fleet.commanded(row, lease, now_s=live.clock.monotonic_s())
    _, device = await ask("GET", "/api/devices/ev-1")
    assert device["lease"]["p_setpoint_kw"] == 3.6
    clock: Any = live.clock
    clock.now += 1_000
    _, device = await ask("GET", "/api/devices/ev-1")
    assert device["lease"] is None  # the end is not inside
    status, problem = await ask("GET", "/api/devices/nobody")
    assert (status, problem["code"]) == (404, "not-found")


async def test_a_change_is_committed_then_told_and_touches_only_what_was_sent(ask: Asker, live: LiveController) -> None:
    before = live.store.devices["ev-1"]
    patch = {"priority": 8, "site_id": None, "capacity_kwh": 50.0, "ready_by": LATER, "feeder_id": "feeder-2"}
    status, device = await ask("PATCH", "/api/devices/ev-1", patch, role=Role.OPERATOR)
    assert status == 200, device
    assert (device["priority"], device["site_id"], device["ready_by"]) == (8, None, LATER)
    assert device["feeder_id"] == "feeder-2"
    stored = live.store.devices["ev-1"]
    assert (stored.priority, stored.site_id, stored.capacity_kwh, stored.p_min_kw) == (8, None, 50.0, before.p_min_kw)
    assert live.store.audit == [("a-operator", "ev-1", "r-1")]
    assert live.written[-1] == live.registry.device("ev-1")
    live.loop.tick()
    assert [one.device_id for one in map(live.fleet.devices.__getitem__, live.fleet.rows_of("feeder-2"))] == [
        "ev-1",
        "ev-2",
    ]
    status, device = await ask("PATCH", "/api/devices/ev-1", {})
    assert (status, len(live.store.audit)) == (200, 1)  # nothing was sent, nothing is written


async def test_a_device_is_put_behind_a_gateway_and_taken_from_it_again(ask: Asker, live: LiveController) -> None:
    _, device = await ask("PATCH", "/api/devices/ev-1", {"gateway_id": "gw-1"}, role=Role.OPERATOR)
    assert device["gateway_id"] == live.store.devices["ev-1"].gateway_id == "gw-1"
    made = {"device_id": "ev-7", "type": "ev", "feeder_id": "feeder-2", "gateway_id": "gw-1"}
    status, device = await ask("POST", "/api/devices", made, role=Role.OPERATOR)
    assert (status, device["gateway_id"]) == (201, "gw-1")
    assert await ids(ask, gateway_id="gw-1") == ["ev-1", "ev-7"]
    _, device = await ask("PATCH", "/api/devices/ev-1", {"gateway_id": None}, role=Role.OPERATOR)
    assert device["gateway_id"] is None
    assert await ids(ask, gateway_id="gw-1") == ["ev-7"]


async def test_a_change_that_is_not_committed_is_not_told(ask: Asker, live: LiveController) -> None:
    live.store.away = True
    status, problem = await ask("PATCH", "/api/devices/ev-1", {"priority": 8})
    assert (status, problem["code"]) == (503, "store-unavailable")
    device = live.registry.device("ev-1")
    assert device is not None
    assert device.priority == 5


async def test_until_then_what_an_operator_says_of_ready_by_beats_what_the_device_says(
    ask: Asker, live: LiveController
) -> None:
    await ask("PATCH", "/api/devices/ev-1", {"ready_by": LATER})
    clock: Any = live.clock
    clock.now += 1_000
    live.hear("ev-1", seq=2, ready_by_ms=NOW_MS + 3_600_000)
    _, device = await ask("GET", "/api/devices/ev-1")
    assert device["ready_by"] == LATER
    live.loop.tick()
    picture = live.loop.feeders["feeder-1"].tree.picture
    assert picture is not None
    # 6 h of which 11 s are over
    assert picture.devices.ready_in_s[0] == pytest.approx(6 * 3600 - 11)
    clock.now = NOW_MS + 6 * 3_600_000
    _, device = await ask("GET", "/api/devices/ev-1")
    assert device["ready_by"] == "2026-01-01T01:00:00Z"


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("ev-1", {"feeder_id": "nope"}, 404, "the feeder 'nope' does not exist"),
    ("ev-1", {"priority": 0}, 422, "$.priority"),
    ("ev-1", {"priority": 11}, 422, "$.priority"),
    ("ev-1", {"priority": None}, 422, "$.priority"),
    ("ev-1", {"p_import_max_kw": -1}, 422, "$.p_import_max_kw"),
    ("ev-1", {"p_import_max_kw": 1.0}, 422, "p_min_kw is 1.4"),
    ("ev-1", {"p_min_kw": 8.0}, 422, "p_min_kw is 8"),
    ("ev-1", {"p_step_kw": 0.0001}, 422, "p_step_kw is 0.0001"),
    ("ev-1", {"p_step_kw": 8.0}, 422, "p_step_kw is 8"),
    ("ev-1", {"target_soc": 0.1}, 422, "min_soc_reserve is 0.2"),
    ("ev-1", {"target_soc": 1.5}, 422, "$.target_soc"),
    ("ev-1", {"default_power_kw": -0.1}, 422, "default_power_kw is -0.1"),
    ("bat-1", {"default_power_kw": 7.5}, 422, "default_power_kw is 7.5"),
    ("ev-1", {"ready_by": "2025-12-31T00:00:00Z"}, 422, "that is past"),
    ("ev-1", {"ready_by": "2026-03-01T00:00:00Z"}, 422, "at most 31 days"),
    ("ev-1", {"ready_by": "9999-12-31T23:59:59-12:00"}, 422, "outside of time"),
    ("ev-1", {"ready_by": "2026-01-01T06:00:00"}, 422, "$.ready_by"),
    ("ev-1", {"site_id": "a\nb"}, 422, "site_id is refused"),
    ("ev-1", {"site_id": ""}, 422, "$.site_id"),
    ("ev-1", {"gateway_id": ""}, 422, "$.gateway_id"),
    ("ev-1", {"gateway_id": "gw/1"}, 422, "$.gateway_id"),
    ("ev-1", {"gateway_id": "+"}, 422, "$.gateway_id"),
    ("ev-1", {"enrolment": "active"}, 422, "unknown field `enrolment`"),
    ("ev-1", {"device_id": "ev-9"}, 422, "unknown field `device_id`"),
    ("ev-1", {"type": "pv"}, 422, "unknown field `type`"),
    ("nobody", {"priority": 1}, 404, "there is no device 'nobody'"),
    ("%00/../x", {"priority": 1}, 404, ""),
]


@pytest.mark.parametrize(("device_id", "patch", "status", "text"), REFUSED)
async def test_a_change_that_cannot_be_meant_is_refused_in_its_own_words(
    device_id: str, patch: dict[str, Any], status: int, text: str, ask: Asker, live: LiveController
) -> None:
    got, problem = await ask("PATCH", f"/api/devices/{device_id}", patch)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert live.store.audit == []


async def test_a_quarantined_device_is_adopted_once_with_corrections(ask: Asker, live: LiveController) -> None:
    status, device = await ask("POST", "/api/devices/pv-1/adopt", {"p_export_max_kw": 9.5}, role=Role.OPERATOR)
    assert (status, device["enrolment"], device["p_export_max_kw"]) == (200, "active", 9.5)
    assert live.store.devices["pv-1"].enrolment is Enrolment.ACTIVE
    status, problem = await ask("POST", "/api/devices/pv-1/adopt", {})
    assert (status, problem["code"]) == (409, "conflict")


async def test_a_retired_device_is_told_nothing_and_can_be_taken_in_again(ask: Asker, live: LiveController) -> None:
    assert await ask("DELETE", "/api/devices/ev-1") == (204, None)
    assert (await ask("DELETE", "/api/devices/ev-1"))[0] == 409
    _, why = await ask("GET", "/api/devices/ev-1/why")
    assert why["words"] == "ev-1 is told nothing: is retired: its telemetry is refused and it is told nothing"
    live.loop.tick()
    assert live.fleet.leases[live.fleet.row("ev-1") or 0] is None
    status, device = await ask("POST", "/api/devices/ev-1/adopt", {})
    assert (status, device["enrolment"]) == (200, "active")


NEW = {"device_id": "ev-9", "type": "ev", "feeder_id": "feeder-3", "p_import_max_kw": 11.0, "p_min_kw": 4.1}


async def test_a_device_can_be_registered_before_it_speaks(ask: Asker, live: LiveController) -> None:
    status, device = await ask("POST", "/api/devices", NEW, role=Role.OPERATOR)
    assert status == 201, device
    assert (device["freshness"], device["origin"], device["enrolment"]) == ("lost", "physical", "active")
    assert live.store.devices["ev-9"].p_min_kw == 4.1
    assert live.store.audit == [("a-operator", "ev-9", "r-1")]
    assert (await ask("POST", "/api/devices", NEW))[0] == 409
    assert live.registry.device("ev-9") == live.store.devices["ev-9"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"device_id": "a/b"}, 422),
        ({"device_id": ""}, 422),
        ({"feeder_id": "nope"}, 404),
        ({"p_min_kw": 12.0}, 422),
        ({"enrolment": "retired"}, 422),
        ({"soc_in_percent": True}, 422),
    ],
)
async def test_a_registration_that_cannot_be_meant_is_refused(
    changes: dict[str, Any], status: int, ask: Asker, live: LiveController
) -> None:
    assert (await ask("POST", "/api/devices", NEW | changes))[0] == status
    assert live.store.audit == []


async def test_what_was_learnt_of_a_device_during_a_change_stays(ask: Asker, live: LiveController) -> None:
    commit = live.store.change_device

    async def slow(device: Any, fields: Any, **rest: Any) -> None:
        live.hear("ev-2", 1.0, at_ms=live.clock.now_ms() + 1, dialect=Dialect.PLAIN)
        await commit(device, fields, **rest)

    live.store.change_device = slow  # type: ignore[method-assign]  # a commit during which the device speaks
    _, device = await ask("PATCH", "/api/devices/ev-2", {"priority": 2})
    assert (device["priority"], device["dialect"]) == (2, "plain")


ROUTES = [
    ("GET", "/api/devices", None, Role.VIEWER),
    ("POST", "/api/devices", NEW, Role.OPERATOR),
    ("GET", "/api/devices/ev-1", None, Role.VIEWER),
    ("PATCH", "/api/devices/ev-1", {"priority": 3}, Role.OPERATOR),
    ("POST", "/api/devices/pv-1/adopt", {}, Role.OPERATOR),
    ("GET", "/api/devices/ev-1/why", None, Role.VIEWER),
    ("DELETE", "/api/devices/ev-1", None, Role.ADMIN),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("method", "path", "body", "needed"), ROUTES)
async def test_each_route_is_open_to_its_role_and_those_above(
    method: str, path: str, body: object, needed: Role, role: Role, ask: Asker, live: LiveController
) -> None:
    order = list(Role)
    status, _ = await ask(method, path, body, role=role)
    if order.index(role) >= order.index(needed):
        assert status in (200, 201, 204)
    else:
        assert status == 403
        assert live.store.audit == []


async def test_every_device_says_why_it_has_what_it_has(ask: Asker, live: LiveController) -> None:
    _, why = await ask("GET", "/api/devices/ev-1/why")
    assert (why["decided_at"], why["bounds"][0]["remedies"]) == (None, ["wait for the next tick"])
    live.loop.tick()
    _, why = await ask("GET", "/api/devices/ev-1/why")
    assert why["decided_at"] == "2026-01-01T00:00:10Z"
    assert [bound["kind"] for bound in why["bounds"]][:3] == ["rating", "capability", "status"]
    assert sum(bound["binding"] for bound in why["bounds"]) <= 1
    _, why = await ask("GET", "/api/devices/pv-1/why")
    assert "quarantined" in why["words"]
    assert why["bounds"][0]["remedies"] == ["adopt it, if it is known"]
    await ask("PATCH", "/api/feeders/feeder-1", {"mode": "advise"})
    _, why = await ask("GET", "/api/devices/ev-2/why")
    assert why["mode"] == "advise"  # its parent's
    await ask("PATCH", "/api/feeders/feeder-1", {"mode": "off"})
    _, why = await ask("GET", "/api/devices/ev-2/why")
    assert (why["mode"], why["decided_at"]) == ("off", None)
    assert why["bounds"][0]["remedies"] == ["set feeder-1 to auto"]
    assert (await ask("GET", "/api/devices/nobody/why"))[0] == 404


def test_the_names_of_bounds_are_those_of_the_engine() -> None:
    assert [name.value for name in BoundName] == [kind.value for kind in BoundKind]


async def test_an_instant_at_the_end_of_time_is_shown_and_no_failure(ask: Asker, live: LiveController) -> None:
    clock: Any = live.clock
    clock.now += 1_000
    live.hear("ev-1", seq=5, ready_by_ms=253_402_300_799_999)
    _, device = await ask("GET", "/api/devices/ev-1")
    assert device["ready_by"].startswith("9999-12-31T23:59:59.99")
