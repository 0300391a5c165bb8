"""What operators lay upon devices, over a real server, on a real fleet and loop."""

from typing import Any

import pytest

from derms.columns import Override
from derms.model import DeviceKind, Enrolment, OverrideKind, Role
from tests.asking import Asker
from tests.live import LiveController

HOLD = {"kind": "hold", "p_kw": 2.0, "reason": "a test", "duration_s": 600}
BLOCK = {"kind": "block", "reason": "smoke", "until": "2026-01-01T01:00:00+01:00"}


@pytest.fixture(autouse=True)
def fleet(live: LiveController) -> None:
    live.register("ev-1")
    live.register("bat-1", DeviceKind.BATTERY, p_export_max_kw=5.0)
    live.register("load-1", DeviceKind.LOAD)
    live.register("pv-1", DeviceKind.PV, enrolment=Enrolment.QUARANTINED)
    live.hear("ev-1", soc=0.5)


def bears(live: LiveController) -> int:
    live.loop.tick()
    picture = live.loop.feeders["feeder-1"].tree.picture
    assert picture is not None
    row = live.fleet.row("ev-1")
    (at,) = [at for at, one in enumerate(live.loop.feeders["feeder-1"].tree.rows.tolist()) if one == row]
    return int(picture.devices.override[at])


async def test_a_hold_bears_is_shown_is_explained_and_ends_by_itself(ask: Asker, live: LiveController) -> None:
    status, override = await ask("PUT", "/api/devices/ev-1/override", HOLD, role=Role.OPERATOR)
    assert status == 200, override
    assert override == {
        "kind": "hold",
        "p_kw": 2.0,
        "reason": "a test",
        "created_by": "a-operator",
        "created_at": "2026-01-01T00:00:00Z",
        "until": "2026-01-01T00:10:00Z",
    }
    assert live.store.overrides["ev-1"].kind is OverrideKind.HOLD
    assert live.store.audit == [("a-operator", "ev-1", "r-1")]
    assert bears(live) == Override.HOLD
    assert (await ask("GET", "/api/devices/ev-1"))[1]["override"] == override
    _, why = await ask("GET", "/api/devices/ev-1/why")
    (bound,) = [bound for bound in why["bounds"] if bound["kind"] == "override"]
    assert (bound["source"], "(a test)" in bound["words"]) == ("a-operator", True)
    clock: Any = live.clock
    clock.now += 600_000
    assert (await ask("GET", "/api/devices/ev-1"))[1]["override"] is None
    assert bears(live) == Override.NONE


async def test_a_block_replaces_a_hold_and_is_released(ask: Asker, live: LiveController) -> None:
    await ask("PUT", "/api/devices/ev-1/override", HOLD)
    clock: Any = live.clock
    clock.now -= 60_000  # its `until` is an instant of another zone: 00:00 UTC
    status, override = await ask("PUT", "/api/devices/ev-1/override", BLOCK)
    assert (status, override["until"], override["p_kw"]) == (200, "2026-01-01T00:00:00Z", None)
    assert bears(live) == Override.BLOCK
    assert await ask("DELETE", "/api/devices/ev-1/override", role=Role.OPERATOR) == (204, None)
    assert bears(live) == Override.NONE
    status, problem = await ask("DELETE", "/api/devices/ev-1/override")
    assert (status, problem["code"]) == (404, "not-found")


async def test_a_list_sorts_by_override(ask: Asker) -> None:
    await ask("PUT", "/api/devices/ev-1/override", HOLD)
    _, body = await ask("GET", "/api/devices", query={"sort": "override_kind"})
    assert body["devices"][0]["device_id"] == "ev-1"


async def test_an_override_that_is_not_committed_does_not_bear(ask: Asker, live: LiveController) -> None:
    del live.store.devices["ev-1"]  # its registration has not reached the store yet
    assert (await ask("PUT", "/api/devices/ev-1/override", HOLD))[0] == 404
    assert bears(live) == Override.NONE


@pytest.mark.parametrize(
    ("device_id", "body", "status", "text"),
    [
        ("ev-1", HOLD | {"p_kw": None}, 422, "a hold without p_kw"),
        ("ev-1", BLOCK | {"p_kw": 1.0}, 422, "a block with p_kw"),
        ("ev-1", HOLD | {"p_kw": 7.5}, 422, "p_kw is 7.5"),
        ("ev-1", HOLD | {"p_kw": -0.1}, 422, "from -0 to 7 kW"),
        ("bat-1", HOLD | {"p_kw": -5.5}, 422, "from -5 to 7 kW"),
        ("ev-1", HOLD | {"reason": ""}, 422, "$.reason"),
        ("ev-1", HOLD | {"reason": "a\x00b"}, 422, "reason is refused"),
        ("ev-1", HOLD | {"duration_s": None}, 422, "it has no end"),
        ("ev-1", HOLD | {"until": "2026-01-02T00:00:00Z"}, 422, "both until and duration_s"),
        ("ev-1", HOLD | {"duration_s": 0}, 422, "$.duration_s"),
        ("ev-1", HOLD | {"duration_s": 1e9}, 422, "duration_s is 1e+09"),
        ("ev-1", HOLD | {"duration_s": None, "until": "2026-01-01T00:00:00Z"}, 422, "that is past"),
        ("ev-1", HOLD | {"kind": "release"}, 422, "$.kind"),
        ("ev-1", HOLD | {"created_by": "root"}, 422, "unknown field"),
        ("load-1", HOLD, 422, "load-1 is a load"),
        ("pv-1", HOLD, 409, "pv-1 is quarantined"),
        ("nobody", HOLD, 404, "there is no device 'nobody'"),
    ],
)
async def test_an_override_that_cannot_be_meant_is_refused(
    device_id: str, body: dict[str, Any], status: int, text: str, ask: Asker, live: LiveController
) -> None:
    got, problem = await ask("PUT", f"/api/devices/{device_id}/override", body)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert live.store.overrides == {}


@pytest.mark.parametrize(("method", "body"), [("PUT", HOLD), ("DELETE", None)])
async def test_a_viewer_may_not(method: str, body: object, ask: Asker, live: LiveController) -> None:
    assert (await ask(method, "/api/devices/ev-1/override", body, role=Role.VIEWER))[0] == 403
    assert live.store.audit == []
