"""Processes of different roles on one Mosquitto and one PostgreSQL, as they run on several machines."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.chargers import Chargers, charging
from tests.faults.cluster import DEVICES, all_led, controller, judge, role
from tests.processes import Daemon, Programs, eventually
from tests.stage import Broker, query
from tests.wire import Observer, observing

SCRAPE_TOKEN = "a-token-for-the-scrape-alone-0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who does what."""

    control: Daemon
    storing: list[Daemon]
    answering: Daemon
    wire: Observer
    chargers: Chargers


@pytest.fixture
def parts(programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path) -> Iterator[Parts]:
    with observing(stage_broker.url) as wire:
        at = (stage_broker.url, postgres_url)
        control = controller(programs, "north", *at, roles="control")
        storing = [storing_alone(programs, name, *at, tmp_path) for name in ("s-1", "s-2")]
        answering = controller(programs, "screen", *at, roles="api")
        with charging(stage_broker.url) as chargers:
            all_led(wire, 0)
            yield Parts(control=control, storing=storing, answering=answering, wire=wire, chargers=chargers)


def samples_stored(serve: Daemon) -> float:
    """By its metrics, which one that only stores gives for the token of the scrape alone: nobody logs in there."""
    request = urllib.request.Request(f"{serve.api}/metrics", headers={"Authorization": f"Bearer {SCRAPE_TOKEN}"})
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        lines = answer.read().decode().splitlines()
    name = 'derms_recorder_rows_total{result="stored"} '
    return float(next(line.removeprefix(name) for line in lines if line.startswith(name)))


def storing_alone(programs: Programs, name: str, broker_url: str, database_url: str, state: Path) -> Daemon:
    return controller(
        programs, name, broker_url, database_url, roles="ingest", state_dir=state / name, prometheus_token=SCRAPE_TOKEN
    )


def change(serve: Daemon, path: str, body: object) -> int:
    """The status of a change that is asked for; a redirect is not followed."""
    token = serve.ask("/api/auth/login", {"username": "opal", "password": "opal-password"})["token"]
    request = urllib.request.Request(
        serve.api + path, data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )  # fmt: skip
    return status(request)


def shown(serve: Daemon, alarm_id: str, there: bool) -> bool:
    """Wait until it shows an alarm, or no more; a login is a line of the audit log, which it follows."""
    serve.ask("/api/auth/login", {"username": "opal", "password": "opal-password"})

    def look() -> bool:
        return (alarm_id in {one["alarm_id"] for one in serve.ask("/api/alarms")["alarms"]}) == there

    return eventually(look, f"{alarm_id} is {'shown' if there else 'gone'}")


def status(asked: str | urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(asked, timeout=10.0) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.timeout(180)
def test_each_process_does_its_part_and_together_they_do_everything(
    parts: Parts, programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path
) -> None:
    # Storing is shared: each stores something, and the one that commands stores no measurement.
    for storing in parts.storing:
        eventually(lambda storing=storing: samples_stored(storing) > DEVICES, "each of them stores")  # type: ignore[misc]
    rows = query(postgres_url, "SELECT count(*) FROM telemetry")[0][0]
    eventually(lambda: sum(map(samples_stored, parts.storing)) >= rows, "every row is of one that stores")

    # Who answers shows everything, sends on what is to be changed, and never commands.
    live = eventually(
        lambda: [one for one in parts.answering.ask("/api/devices")["devices"] if one["lease"] is not None],
        "the leases are shown",
    )
    assert live
    assert change(parts.answering, "/api/events", {"import_limit_kw": 6.0, "duration_s": 120}) == 307
    assert change(parts.control, "/api/events", {"import_limit_kw": 6.0, "duration_s": 120}) == 201
    eventually(
        lambda: parts.answering.ask("/api/feeder/summary")["feeders"][0]["import_limit_kw"] == 6.0, "it has the event"
    )
    assert (role(parts.control), role(parts.answering)) == ("active", "standby")
    assert [status(f"{parts.storing[0].api}/api/{path}") for path in ("health", "devices")] == [200, 404]

    # One that stores dies and comes back: what the broker had given it is stored by then.
    parts.storing[0].kill()
    eventually(lambda: samples_stored(parts.storing[1]) > 4 * DEVICES, "the other one goes on")
    storing_alone(programs, "s-1", stage_broker.url, postgres_url, tmp_path)
    judge(parts.wire, parts.chargers, postgres_url)

    # Nobody takes the place of the one that commands, as nobody else is to, and it is told.
    assert parts.control.terminate(10.0) == 0
    eventually(lambda: change(parts.answering, "/api/events", {"import_limit_kw": 5, "duration_s": 60}) == 503, "said")
    assert role(parts.answering) == "standby"
    assert query(postgres_url, "SELECT count(*) FROM events") == [(1,)]

    # Alarms are not for this one to raise, commanded or not: it shows those that are stored.
    alarm = "'devices-silent', 'feeder-1', 'low', 'c', 'c', 'r', true, false, 1, now()"
    columns = "kind, subject, priority, cause, consequence, response, active, acknowledged, occurrences, raised_at"
    query(postgres_url, f"INSERT INTO alarms ({columns}) VALUES ({alarm}) ON CONFLICT DO NOTHING RETURNING kind")
    assert shown(parts.answering, "devices-silent.feeder-1", True)
    query(postgres_url, "DELETE FROM alarms RETURNING kind")
    assert shown(parts.answering, "devices-silent.feeder-1", False)


def test_roles_that_leave_something_to_others_need_a_broker_and_a_database(programs: Programs) -> None:
    alone = programs.derms("serve", "--role", "ingest")
    assert alone.wait(20.0) == 2
    assert "set DERMS_MQTT_URL and DERMS_DATABASE_URL" in alone.stderr
    unknown = programs.derms("serve", "--role", "control,cook")
    assert unknown.wait(20.0) == 2
    assert "cook" in unknown.stderr
    assert "--role" in unknown.stderr
