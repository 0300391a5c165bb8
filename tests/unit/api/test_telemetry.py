"""What devices measured, over a real server: read back, and sent in a device's place."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest

from derms.model import DeviceKind, Dialect, Enrolment, Role
from derms.ports import RecordBatch
from tests.asking import Asker
from tests.fakes_api import NOW, NOW_MS
from tests.fakes_store import sample
from tests.live import LiveController


@pytest.fixture(autouse=True)
async def fleet(live: LiveController) -> None:
    live.register("ev-1", dialect=Dialect.PLAIN)
    live.register("pv-1", DeviceKind.PV, enrolment=Enrolment.QUARANTINED)
    rows = [sample(seq, at_ms=NOW_MS - 60_000 + 1000 * seq, p_actual_kw=float(seq)) for seq in range(5)]
    await live.store.write(RecordBatch(samples=rows))


async def test_samples_of_the_last_hour_come_a_page_at_a_time(ask: Asker) -> None:
    status, body = await ask("GET", "/api/telemetry/ev-1", query={"limit": "3"}, role=Role.VIEWER)
    assert status == 200, body
    assert (body["since"], body["until"]) == ("2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z")
    assert (body["bucket_s"], body["buckets"]) == (None, None)
    _, rest = await ask("GET", "/api/telemetry/ev-1", query={"limit": "3", "cursor": body["next_cursor"]})
    assert [one["p_actual_kw"] for one in body["samples"] + rest["samples"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert rest["next_cursor"] is None
    assert body["samples"][1] == {
        "at": "2025-12-31T23:59:01Z",
        "seq": 1,
        "received_at": "2025-12-31T23:59:01.040000Z",
        "p_actual_kw": 1.0,
        "p_setpoint_kw": None,
        "soc": None,
        "status": "ok",
    }


async def test_buckets_come_instead_where_they_are_asked_for(ask: Asker) -> None:
    _, body = await ask("GET", "/api/telemetry/ev-1", query={"bucket_s": "2"})
    assert (body["samples"], body["next_cursor"]) == (None, None)
    assert [(one["samples"], one["p_actual_kw"]) for one in body["buckets"]] == [(2, 0.5), (2, 2.5), (1, 4.0)]


@pytest.mark.parametrize(
    ("device_id", "query", "status"),
    [
        ("nobody", {}, 404),
        ("ev-1", {"since": "2025-11-01T00:00:00Z"}, 422),
        ("ev-1", {"since": "2025-11-01T00:00:00Z", "bucket_s": "1800"}, 200),  # kept ready: 61 days
        ("ev-1", {"since": "2025-01-01T00:00:00Z", "bucket_s": "3600"}, 200),  # 8,760 buckets
        ("ev-1", {"since": "2025-01-01T00:00:00Z", "bucket_s": "1000"}, 422),  # not kept
        ("ev-1", {"since": "2025-01-01T00:00:00Z", "bucket_s": "900"}, 422),  # 35,040 buckets
        ("ev-1", {"since": "2015-01-01T00:00:00Z", "bucket_s": "86400"}, 422),  # eleven years
        ("ev-1", {"cursor": "x"}, 422),
        ("ev-1", {"cursor": "1.99999999999999999999"}, 422),
        ("ev-1", {"cursor": "9999999999999999.9999999999999999999"}, 422),
        ("ev-1", {"cursor": "9999999999999999.1"}, 200),
        ("ev-1", {"limit": "0"}, 422),
        ("ev-1", {"bucket_s": "1.5"}, 422),
    ],
)
async def test_what_cannot_be_meant_is_refused(device_id: str, query: dict[str, str], status: int, ask: Asker) -> None:
    assert (await ask("GET", f"/api/telemetry/{device_id}", query=query))[0] == status


READING = {"device_id": "ev-1", "type": "ev", "p_actual_kw": 3.5, "p_setpoint_kw": 3.0, "soc": 0.5}


async def test_a_measurement_is_taken_as_if_the_device_had_sent_it(ask: Asker, live: LiveController) -> None:
    status, body = await ask("POST", "/api/telemetry", READING, role=Role.OPERATOR)
    assert (status, body) == (202, {"device_id": "ev-1", "at": "2026-01-01T00:00:00Z", "outcome": "accepted"})
    assert live.store.audit == [("a-operator", "ev-1", "r-1")]
    _, device = await ask("GET", "/api/devices/ev-1")
    # and it is answered in the shape it speaks, not in the one of this
    assert (device["p_actual_kw"], device["freshness"], device["dialect"]) == (3.5, "good", "plain")
    _, again = await ask("POST", "/api/telemetry", READING)
    assert again["outcome"] == "duplicate"
    late = READING | {"at": (NOW - timedelta(seconds=5)).isoformat()}
    _, late_body = await ask("POST", "/api/telemetry", late)
    assert late_body["outcome"] == "out_of_order"
    assert live.recorder.queued == 3
    _, body = await ask("POST", "/api/telemetry", READING | {"device_id": "ev-7"})
    assert (body["outcome"], live.written[-1].device_id) == ("accepted", "ev-7")


REFUSED = [
    ({"soc": 7.0}, "invalid"),
    ({"p_actual_kw": 1e7}, "invalid"),
    ({"device_id": "a/b"}, "invalid"),
    ({"device_id": ""}, "invalid"),
    ({"site_id": "a\nb"}, "invalid"),
    ({"site_id": "a\x00b"}, "invalid"),
    ({"type": "battery"}, "identity_mismatch"),
    ({"device_id": "pv-1", "type": "pv"}, "quarantined"),
    ({"at": "2026-01-01T00:00:31Z"}, "from_the_future"),
    ({"at": "2025-12-30T23:59:59Z"}, "too_old"),
    ({"at": "0001-01-01T00:00:00Z"}, "invalid"),
    ({"ready_by": "0001-01-01T00:00:00Z"}, "invalid"),
]


@pytest.mark.parametrize(("said", "outcome"), REFUSED)
async def test_a_measurement_that_the_wire_contract_refuses_is_refused_by_the_same_name(
    said: dict[str, Any], outcome: str, ask: Asker, live: LiveController
) -> None:
    status, problem = await ask("POST", "/api/telemetry", READING | said)
    assert (status, problem["code"]) == (422, "telemetry-refused"), problem
    assert problem["detail"] == f"the measurement is refused as {outcome}"
    assert problem["rule"]
    assert live.recorder.queued == 0


@pytest.mark.parametrize("said", [{"p_actual_kw": None}, {"seq": -1}, {"seq": 2**64}, {"v": 1}, {"at": 5}])
async def test_a_body_of_another_shape_is_refused_before_that(said: dict[str, Any], ask: Asker) -> None:
    status, problem = await ask("POST", "/api/telemetry", READING | said)
    assert (status, problem["code"]) == (422, "usage")


async def test_a_viewer_may_not_and_nothing_is_taken_while_it_cannot_be_put_on_record(
    ask: Asker, live: LiveController
) -> None:
    assert (await ask("POST", "/api/telemetry", READING, role=Role.VIEWER))[0] == 403
    live.store.away = True
    assert (await ask("POST", "/api/telemetry", READING))[0] == 503
    assert live.fleet.readings == [None, None]


async def test_a_full_recorder_says_so(ask: Asker, live: LiveController) -> None:
    with contextlib.ExitStack() as full:
        full.callback(setattr, live.recorder, "put_sample", live.recorder.put_sample)
        live.recorder.put_sample = lambda *_: False  # type: ignore[method-assign]  # a queue of 50,000 takes a while
        assert (await ask("POST", "/api/telemetry", READING))[0] == 503
