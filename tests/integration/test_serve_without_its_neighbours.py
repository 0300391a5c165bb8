"""The daemon while its database or its broker is away, at the start and under load; and its devices while it is."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from derms.broker import Kind, find_mosquitto
from tests.processes import ROOT, Daemon, Programs, alive, children_of, eventually, told
from tests.stage import Backstage, Broker, Database, query, stored_samples
from tests.wire import Observer, observing

DEVICES = 12


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _sim(programs: Programs, broker: Broker) -> None:
    programs.derms("sim", "run", "--mqtt-url", broker.url, "--devices", DEVICES, "--interval", 0.4, "--speed", 10)


def _leased_since(wire: Observer, since_ms: int) -> set[str]:
    return {lease.device_id for lease in wire.leases() if lease.at_ms > since_ms and not lease.retained}


def test_a_database_that_comes_late_is_waited_for(programs: Programs, stage_broker: Broker, database: Database) -> None:
    serve = programs.serve(mqtt_url=stage_broker.url, database_url=database.url)
    serve.wait_logged("waiting for the database")
    database.start()
    serve.wait_logged("The controller runs")
    assert len(serve.logged("waiting for the database")) == 1
    assert serve.health()["store"] == "ok"


def test_waiting_for_a_database_ends_at_once_when_told(
    programs: Programs, stage_broker: Broker, closed_port: int
) -> None:
    serve = programs.serve(
        mqtt_url=stage_broker.url, database_url=f"postgresql://nobody:hidden@127.0.0.1:{closed_port}/derms"
    )
    serve.wait_logged("waiting for the database")
    assert serve.terminate(5.0) == 0
    assert "hidden" not in serve.stderr
    assert "Traceback" not in serve.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("//derms@/", "//stranger@/"), "stranger"),
        (("?host", "_absent?host"), "_absent"),
        (("postgresql://", "mysql://"), "database-url"),
    ],
)
def test_a_database_that_will_never_let_us_in_is_told(
    programs: Programs, postgres_url: str, change: tuple[str, str], said: str
) -> None:
    serve = programs.derms("serve", "--database-url", postgres_url.replace(*change), "--api-port", 0)
    assert serve.wait() == 2
    assert said in told(serve.stderr)


def test_a_broker_that_comes_late_is_met_then(programs: Programs, stage_broker: Broker, postgres_url: str) -> None:
    stage_broker.stop()
    serve = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url)
    serve.wait_logged("The controller runs")
    assert serve.health()["mqtt"] == "down"
    eventually(lambda: serve.health()["loop"] == "ok", "the loop runs all the same")
    stage_broker.start()
    eventually(lambda: serve.health()["mqtt"] == "ok", "it is connected")
    with observing(stage_broker.url) as wire:
        eventually(lambda: [s for s in wire.seen("controller") if s.json["online"]], "it says that it controls", 5.0)
    stage_broker.stop()
    eventually(lambda: serve.health()["mqtt"] == "down", "it notices")
    assert serve.terminate(10.0) == 0
    assert "Traceback" not in serve.stderr


def test_control_goes_on_while_the_database_is_dead_and_nothing_is_missing_afterwards(
    programs: Programs, stage_broker: Broker, database: Database
) -> None:
    database.start()
    with observing(stage_broker.url) as wire:
        serve = programs.serve(mqtt_url=stage_broker.url, database_url=database.url)
        serve.wait_logged("The controller runs")
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        database.kill()
        dead_ms = _now_ms()
        eventually(lambda: len(_leased_since(wire, dead_ms)) == DEVICES - 2, "everyone is renewed without it")
        assert serve.health()["store"] == "down"
        database.start()
        eventually(lambda: serve.health()["store"] == "ok", "the store is back")
        eventually(lambda: serve.metric("derms_spool_bytes") == 0.0, "the spool is replayed")
        published = {sample[:3] for sample in wire.samples()}
        eventually(lambda: published <= set(stored_samples(database.url)), "every measurement is stored")
        sent = {(lease.device_id, lease.epoch, lease.seq) for lease in wire.leases()}
        stored = "SELECT device_id, epoch, seq FROM setpoints"
        eventually(lambda: sent <= set(query(database.url, stored)), "every setpoint is stored")
        assert serve.metric('derms_recorder_rows_total{result="lost"}') == 0.0
        assert len(serve.logged("the store is away")) == 1


def test_a_daemon_without_database_keeps_its_samples_over_its_own_end(
    programs: Programs, stage_broker: Broker, database: Database
) -> None:
    database.start()
    with observing(stage_broker.url) as wire:
        serve = programs.serve(mqtt_url=stage_broker.url, database_url=database.url)
        serve.wait_logged("The controller runs")
        _sim(programs, stage_broker)
        eventually(lambda: serve.metric('derms_recorder_rows_total{result="stored"}') > 50, "rows")
        database.kill()
        eventually(lambda: serve.metric('derms_recorder_rows_total{result="spooled"}') > 50, "spooled rows")
        assert serve.terminate(10.0) == 0
        published = {sample[:3] for sample in wire.samples()}
        database.start()
        again = programs.serve(
            mqtt_url=stage_broker.url, database_url=database.url, state_dir=serve.home / "state" / "derms"
        )
        again.wait_logged("The controller runs")
        eventually(lambda: published <= set(stored_samples(database.url)), "every measurement is stored")


def test_devices_and_daemon_outlive_a_killed_broker(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    with observing(stage_broker.url) as wire:
        serve = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url)
        serve.wait_logged("The controller runs")
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        stage_broker.kill()
        eventually(lambda: serve.health()["mqtt"] == "down", "it notices")
        stage_broker.start()
        back_ms = _now_ms()
        eventually(lambda: len(_leased_since(wire, back_ms)) == DEVICES - 2, "everyone is leased again", 40.0)
        published = {sample[:3] for sample in wire.samples()}
        eventually(lambda: published <= set(stored_samples(postgres_url)), "every measurement seen is stored")
        assert "Traceback" not in serve.stderr


def test_devices_return_to_default_control_when_their_controller_is_killed(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    with observing(stage_broker.url) as wire:
        said = {"mqtt_url": stage_broker.url, "database_url": postgres_url}
        serve = programs.serve(**said)
        serve.wait_logged("The controller runs")
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        eventually(lambda: any(x.p_kw > 1.0 for x in wire.leases()), "a car may charge")
        serve.kill()
        last = {lease.device_id: lease for lease in wire.leases()}
        eventually(
            lambda: [s for s in wire.seen("controller") if s.json["online"] is False], "its last will is published", 5.0
        )

        def obeying() -> set[str]:
            newest = {device_id: seen.json for device_id, _, _, _, seen in wire.samples()}
            return {name for name, said in newest.items() if said.get("p_setpoint_kw") is not None}

        eventually(lambda: not obeying(), "nobody follows a setpoint any more", 20.0)
        for device_id, at_ms, _, _, seen in wire.samples():
            if device_id in last and seen.json.get("p_setpoint_kw") is not None:
                assert at_ms <= last[device_id].valid_until_ms + 500, f"{device_id} followed a lease that was over"
        again_ms = _now_ms()
        programs.serve(**said).wait_logged("The controller runs")
        eventually(lambda: len(_leased_since(wire, again_ms)) == DEVICES - 2, "everyone is led again")
        assert {lease.epoch for lease in wire.leases() if lease.at_ms > again_ms and not lease.retained} == {2}
        published = {sample[:3] for sample in wire.samples()}
        eventually(lambda: published <= set(stored_samples(postgres_url)), "what came meanwhile is stored too")


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_ten_line_device_of_the_examples_gets_a_setpoint(
    programs: Programs, backstage: Backstage, tmp_path: Path, postgres_url: str, kind: Kind
) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("there is no mosquitto on this machine")
    with closing(Broker(backstage, tmp_path / "broker", kind)) as stage_broker:
        _try_the_example(programs, stage_broker, postgres_url)


def _try_the_example(programs: Programs, stage_broker: Broker, postgres_url: str) -> None:
    serve = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url)
    serve.wait_logged("The controller runs")
    port = stage_broker.url.rsplit(":", 1)[1]
    device = programs.python(ROOT / "examples" / "device.py", "127.0.0.1", port, "car-1")
    eventually(lambda: "setpoint" in device.stdout, "it prints a setpoint")
    rows = "SELECT p_setpoint_kw, applied_epoch, p_actual_kw FROM telemetry WHERE p_setpoint_kw > 1"
    eventually(lambda: query(postgres_url, rows), "it follows the setpoint", 15.0)
    assert query(postgres_url, rows)[0][1] == 1
    device.end()
    assert serve.terminate(10.0) == 0


def _frozen(processes: Iterable[int], *, frozen: bool) -> None:
    for pid in processes:
        os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)


def _started(programs: Programs, broker: Broker, database_url: str, **settings: object) -> Daemon:
    serve = programs.serve(mqtt_url=broker.url, database_url=database_url, **settings)
    serve.wait_logged("The controller runs")
    eventually(lambda: serve.health()["mqtt"] == "ok", "it is connected")
    return serve


@pytest.mark.slow
def test_a_frozen_broker_does_not_hold_the_end_up(programs: Programs, stage_broker: Broker, postgres_url: str) -> None:
    serve = _started(programs, stage_broker, postgres_url)
    with observing(stage_broker.url) as wire:
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        _frozen([stage_broker.pid], frozen=True)
        try:
            assert serve.terminate(10.0) == 0
        finally:
            _frozen([stage_broker.pid], frozen=False)
    assert "Traceback" not in serve.stderr


@pytest.mark.slow
def test_a_frozen_database_holds_up_neither_control_nor_the_end_and_loses_nothing(
    programs: Programs, stage_broker: Broker, database: Database
) -> None:
    database.start()
    serve = _started(programs, stage_broker, database.url)
    with observing(stage_broker.url) as wire:
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        processes = [database.pid, *children_of(database.pid)]
        _frozen(processes, frozen=True)
        try:
            since_ms = _now_ms()
            eventually(lambda: len(_leased_since(wire, since_ms)) == DEVICES - 2, "everyone is renewed")
            assert serve.terminate(10.0) == 0
        finally:
            _frozen(processes, frozen=False)
        published = {sample[:3] for sample in wire.samples()}
        _started(programs, stage_broker, database.url, state_dir=serve.home / "state" / "derms")
        eventually(lambda: published <= set(stored_samples(database.url)), "every measurement is stored")


@pytest.mark.slow
def test_a_locked_table_does_not_hold_control_up(programs: Programs, stage_broker: Broker, postgres_url: str) -> None:
    serve = _started(programs, stage_broker, postgres_url)
    with observing(stage_broker.url) as wire:
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        with psycopg.connect(postgres_url) as connection:
            connection.execute("LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE")
            since_ms = _now_ms()
            eventually(lambda: len(_leased_since(wire, since_ms)) == DEVICES - 2, "everyone is renewed")
            eventually(lambda: serve.metric('derms_recorder_rows_total{result="spooled"}') > 0, "rows are spooled")
        published = {sample[:3] for sample in wire.samples()}
        eventually(lambda: published <= set(stored_samples(postgres_url)), "every measurement is stored", 40.0)


@pytest.mark.slow
def test_a_frozen_controller_sends_nothing_old_when_it_wakes(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    serve = _started(programs, stage_broker, postgres_url)
    with observing(stage_broker.url) as wire:
        _sim(programs, stage_broker)
        eventually(lambda: len(_leased_since(wire, 0)) == DEVICES - 2, "everyone has a lease")
        _frozen([serve.pid], frozen=True)
        until_ms = max(lease.valid_until_ms for lease in wire.leases()) + 1_000
        eventually(lambda: _now_ms() > until_ms, "every lease is over")
        _frozen([serve.pid], frozen=False)
        woken_ms = _now_ms()
        eventually(lambda: len(_leased_since(wire, woken_ms)) == DEVICES - 2, "everyone is led again")
        assert all(lease.valid_until_ms > lease.at_ms for lease in wire.leases() if lease.at_ms > woken_ms)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.3, 0.45, 0.6, 0.9, 1.2, 1.6, 2.2])
def test_an_end_in_the_middle_of_a_start_leaves_nothing_behind(
    programs: Programs, own_dir: Path, after_s: float
) -> None:
    serve = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    began_s = time.monotonic()
    eventually(lambda: time.monotonic() > began_s + after_s, "some of the start is done")
    servants = children_of(serve.pid)
    assert serve.terminate(10.0) in (0, -signal.SIGTERM)  # the latter: before it could listen to signals
    assert "Traceback" not in serve.stderr
    eventually(lambda: not any(map(alive, servants)), "its database and broker are gone", 5.0)
    again = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    again.wait_logged("The controller runs")
