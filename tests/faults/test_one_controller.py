"""Two controllers on one broker and one database: one commands, and an observer on the wire says whether that is so."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.faults.chargers import Chargers, charging
from tests.faults.cluster import (
    DEVICES,
    INTERVAL_S,
    LEADER_LEASE_S,
    all_led,
    controller,
    fresh,
    frozen,
    judge,
    led_since,
    now_ms,
    ready,
    role,
)
from tests.faults.proxy import through_proxy
from tests.processes import Daemon, Programs, eventually
from tests.stage import Broker, Database, query
from tests.wire import Observer, observing

pytestmark = pytest.mark.faults

_TAKEOVER_S = LEADER_LEASE_S + 2 * INTERVAL_S
_BUSY_S = 1.5
"""What two shared cores may add to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two controllers and their fleet; the first one commands."""

    first: Daemon
    second: Daemon
    wire: Observer
    chargers: Chargers
    database_url: str


@pytest.fixture
def pair(programs: Programs, stage_broker: Broker, postgres_url: str) -> Iterator[Pair]:
    with observing(stage_broker.url) as wire:
        first = controller(programs, "north", stage_broker.url, postgres_url)
        eventually(lambda: role(first) == "active", "the first one commands", 10.0)
        second = controller(programs, "south", stage_broker.url, postgres_url)
        with charging(stage_broker.url) as chargers:
            all_led(wire, 0)
            yield Pair(first=first, second=second, wire=wire, chargers=chargers, database_url=postgres_url)


@pytest.mark.slow
def test_a_killed_leader_is_followed_within_the_lease_and_two_ticks(pair: Pair) -> None:
    assert (role(pair.first), role(pair.second)) == ("active", "standby")
    tree = pair.second.ask("/api/health")["trees"]["feeder-1"]
    assert (tree["role"], tree["leader"], tree["epoch"]) == ("standby", "north", 1)
    pair.first.kill()
    killed_ms = now_ms()
    all_led(pair.wire, killed_ms)
    first = min(lease.at_ms for lease in fresh(pair.wire.leases()) if lease.epoch == 2)
    assert (first - killed_ms) / 1000.0 < _TAKEOVER_S + _BUSY_S
    assert role(pair.second) == "active"
    assert pair.second.metric("derms_epoch") == 2.0
    assert pair.second.metric("derms_takeovers_total") == 1.0
    said = [seen.json for seen in pair.wire.seen("controller") if seen.topic.endswith("/south")]
    eventually(
        lambda: [one for one in pair.wire.seen("controller") if one.json.get("commands") and one.json["epoch"] == 2],
        f"it says on the wire that it commands, not {said}",
    )
    judge(pair.wire, pair.chargers, pair.database_url)


def test_a_frozen_leader_that_thaws_says_nothing_more(pair: Pair) -> None:
    with frozen(pair.first.pid):
        eventually(lambda: role(pair.second) == "active", "the other one takes over", _TAKEOVER_S + 2 * _BUSY_S)
        taken_ms = now_ms()
        all_led(pair.wire, taken_ms)
        # Longer than a lease of the devices: what it had in hand is old by now, in whole or in part.
        eventually(lambda: now_ms() > taken_ms + 3_000, "some time passes")
    thawed_ms = now_ms()
    eventually(lambda: role(pair.first) == "standby", "it knows that it commands no more", 5.0)
    all_led(pair.wire, thawed_ms)
    assert {lease.epoch for lease in fresh(pair.wire.leases()) if lease.at_ms > taken_ms} == {2}
    judge(pair.wire, pair.chargers, pair.database_url)


@pytest.mark.slow
def test_a_leader_that_stops_hands_over_at_once_and_what_was_asked_of_it_goes_on(pair: Pair) -> None:
    body = {"name": "peak", "import_limit_kw": 6.0, "duration_s": 120}
    event = pair.first.ask("/api/events", body)
    eventually(lambda: pair.second.ask(f"/api/events/{event['event_id']}"), "the other one knows of it")
    assert pair.first.terminate(10.0) == 0
    ended_ms = now_ms()
    eventually(lambda: role(pair.second) == "active", "the other one commands", _BUSY_S)
    all_led(pair.wire, ended_ms)
    summary = pair.second.ask("/api/feeder/summary")["feeders"][0]
    assert summary["import_limit_kw"] == 6.0
    judge(pair.wire, pair.chargers, pair.database_url)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _sent(serve: Daemon, path: str, body: object) -> tuple[int, str | None, dict[str, str]]:
    token = serve.ask("/api/auth/login", {"username": "opal", "password": "opal-password"})["token"]
    request = urllib.request.Request(
        serve.api + path, data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )  # fmt: skip
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=10.0) as response:
            return response.status, None, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Location"], json.loads(error.read())


def test_a_standby_answers_what_is_read_and_sends_on_what_is_to_be_changed(pair: Pair) -> None:
    body = {"name": "peak", "import_limit_kw": 6.0, "duration_s": 120}
    status, location, problem = _sent(pair.second, "/api/events", body)
    assert (status, location) == (307, pair.first.api + "/api/events")
    assert problem["code"] == "standby"
    assert "north" in problem["rule"]
    eventually(lambda: len(pair.second.ask("/api/devices")["devices"]) == DEVICES, "it shows every device")
    leased = [one for one in pair.second.ask("/api/devices")["devices"] if one["lease"] is not None]
    assert len(leased) == DEVICES
    assert _sent(pair.first, "/api/events", body)[0] == 201
    eventually(
        lambda: pair.second.ask("/api/feeder/summary")["feeders"][0]["import_limit_kw"] == 6.0,
        "the standby's picture has the event", 5.0,
    )  # fmt: skip
    assert query(pair.database_url, "SELECT count(*) FROM events") == [(1,)]


@pytest.mark.slow
def test_without_the_database_leases_are_renewed_and_none_is_raised(
    programs: Programs, stage_broker: Broker, database: Database
) -> None:
    database.start()
    with ExitStack() as exits:
        wire = exits.enter_context(observing(stage_broker.url))
        serve = controller(programs, "north", stage_broker.url, database.url)
        standby = controller(programs, "south", stage_broker.url, database.url)
        chargers = exits.enter_context(charging(stage_broker.url))
        all_led(wire, 0)
        database.kill()
        serve.wait_logged("what is safe is renewed", LEADER_LEASE_S + 3.0)
        kept_ms = now_ms()
        eventually(lambda: ready(serve)["ready"] is False, "it says that not all is well", 10.0)
        assert ready(serve)["parts"]["leader"]["state"] == "down"
        all_led(wire, kept_ms)
        all_led(wire, now_ms())
        before = {lease.device_id: lease for lease in fresh(wire.leases()) if lease.at_ms <= kept_ms}
        for lease in fresh(wire.leases()):
            if lease.at_ms > kept_ms:
                known = before[lease.device_id].p_kw
                assert min(0.0, known) - 1e-9 <= lease.p_kw <= max(0.0, known) + 1e-9, f"{lease} was raised"
                before[lease.device_id] = lease
        assert {lease.epoch for lease in fresh(wire.leases())} == {1}
        assert role(standby) == "standby"
        database.start()
        eventually(lambda: ready(serve)["ready"] or ready(standby)["ready"], "somebody leads again", 15.0)
        all_led(wire, now_ms())
        judge(wire, chargers, database.url)


@pytest.mark.slow
def test_a_leader_cut_off_from_the_database_alone_gives_way_to_the_one_that_reaches_it(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    with ExitStack() as exits:
        wire = exits.enter_context(observing(stage_broker.url))
        proxy, url = exits.enter_context(through_proxy(postgres_url))
        first = controller(programs, "north", stage_broker.url, url)
        eventually(lambda: role(first) == "active", "the first one commands", 10.0)
        second = controller(programs, "south", stage_broker.url, postgres_url)
        chargers = exits.enter_context(charging(stage_broker.url))
        all_led(wire, 0)
        proxy.cut()
        cut_s = time.monotonic()
        eventually(lambda: role(second) == "active", "the other one takes over", _TAKEOVER_S + 2 * _BUSY_S)
        assert time.monotonic() - cut_s > 1.0
        eventually(lambda: role(first) == "standby", "the first one hears of it on the wire", 5.0)
        taken_ms = now_ms()
        all_led(wire, taken_ms)
        assert {lease.epoch for lease in fresh(wire.leases()) if lease.at_ms > taken_ms} == {2}
        proxy.mend()
        judge(wire, chargers, postgres_url)
        assert role(first) == "standby"
        assert led_since(wire, taken_ms)


@pytest.mark.slow
def test_two_controllers_of_one_name_are_one_too_many(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    controller(programs, "north", stage_broker.url, postgres_url)
    twin = programs.serve(controller_id="north", mqtt_url=stage_broker.url, database_url=postgres_url)
    assert twin.wait(20.0) != 0
    assert "the controller id north is in use" in twin.stderr
    assert "Traceback" not in twin.stderr
