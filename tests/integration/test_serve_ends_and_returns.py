"""How the daemon ends, starts again, and meets a second one of its kind."""

import time
from pathlib import Path

from tests.processes import Daemon, Programs, alive, children_of, eventually, told
from tests.stage import Broker, query
from tests.wire import observing

DEVICES = 12


def _sim(programs: Programs, broker: Broker) -> None:
    programs.derms("sim", "run", "--mqtt-url", broker.url, "--devices", DEVICES, "--interval", 0.4, "--speed", 10)


def _known(daemon: Daemon) -> set[str]:
    return {device["device_id"] for device in daemon.ask("/api/devices")["devices"]}


def test_sigterm_drains_and_a_restart_takes_the_leases_over(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    said = {"mqtt_url": stage_broker.url, "database_url": postgres_url, "feeder_import_limit_kw": 60, "lease_s": 12}
    with observing(stage_broker.url) as wire:
        first = programs.serve(**said)
        first.wait_logged("The controller runs")
        _sim(programs, stage_broker)
        eventually(lambda: len(wire.leases()) >= DEVICES - 2, "leases")
        eventually(lambda: sum(1 for lease in wire.leases() if lease.p_kw > 1.0) >= 3, "cars charge")
        eventually(lambda: sum(sample[0] == "meter-feeder-1" for sample in wire.samples()) > 15, "it settles")
        began_s = time.monotonic()
        assert first.terminate(10.0) == 0
        assert time.monotonic() - began_s < 10.0
        presence = [seen.json for seen in wire.seen("controller")]
        assert presence[0]["online"] is True
        eventually(lambda: wire.seen("controller")[-1].json["online"] is False, "it said goodbye", 3.0)
        assert wire.seen("controller")[-1].json["heartbeat"] > 0, "that was its last will, not its goodbye"
        held = {lease.device_id: lease for lease in wire.leases()}
        rows = set(query(postgres_url, "SELECT device_id, epoch, seq FROM setpoints"))
        assert {(lease.device_id, lease.epoch, lease.seq) for lease in wire.leases()} <= rows
        ended_ms = time.time_ns() // 1_000_000

        second = programs.serve(**said)
        record = second.wait_logged("The registry is read")
        assert record["devices"] == DEVICES
        assert record["leases"] == len(held)
        assert _known(second) == set(held) | {"meter-feeder-1", "load-001"}
        fresh = eventually(
            lambda: {x.device_id: x for x in wire.leases() if x.at_ms > ended_ms and not x.retained}, "new leases"
        )
        eventually(
            lambda: {x.device_id for x in wire.leases() if x.at_ms > ended_ms} == set(held), "everyone is renewed", 40.0
        )
        later = [lease for lease in wire.leases() if lease.at_ms > ended_ms]
        assert {lease.epoch for lease in later} == {2}
        for device_id, lease in held.items():
            after = next(lease for lease in later if lease.device_id == device_id)
            assert lease.p_kw < 1.0 or after.p_kw > 0.3 * lease.p_kw, f"{device_id} fell from {lease} to {after}"
        assert fresh


def test_a_second_daemon_on_the_same_port_says_so_and_harms_nobody(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    first = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url)
    first.wait_logged("The controller runs")
    port = first.api.rsplit(":", 1)[1]
    second = programs.serve(api_port=port, embedded_broker_port=0)
    assert second.wait() == 5
    assert f"127.0.0.1:{port} is in use" in told(second.stderr)
    assert second.stdout == ""
    assert not list(second.home.rglob("postmaster.pid"))
    assert not list(second.home.rglob("mosquitto.conf"))
    assert first.health() == {"mqtt": "ok", "store": "ok", "loop": "ok", "leader": "ok"}


def test_a_second_daemon_on_the_same_data_says_so_and_harms_nobody(programs: Programs, own_dir: Path) -> None:
    first = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    first.wait_logged("The controller runs")
    servants = children_of(first.pid)
    second = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    assert second.wait() == 5
    assert "is in use" in told(second.stderr)
    assert first.health() == {"mqtt": "ok", "store": "ok", "loop": "ok", "leader": "ok"}
    assert servants.keys() <= children_of(first.pid).keys()
    assert first.terminate(10.0) == 0
    eventually(lambda: not any(map(alive, servants)), "its database and broker are gone", 5.0)


def epoch_of(daemon: Daemon) -> int:
    """Of its first feeder, which it commands a moment after it runs."""
    epoch: int = daemon.ask("/api/feeder/summary")["feeders"][0]["epoch"]
    return epoch


def test_embedded_data_survive_a_restart_and_a_kill(programs: Programs, own_dir: Path) -> None:
    first = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    first.ask("/api/events", {"duration_s": 3600, "import_limit_kw": 5, "reason": "kept"})
    eventually(lambda: epoch_of(first) == 1, "the first epoch")
    assert first.terminate(10.0) == 0

    second = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    [event] = second.ask("/api/events")["events"]
    assert event["reason"] == "kept"
    second.wait_logged("The controller runs")
    eventually(lambda: epoch_of(second) == 2, "the second epoch")
    servants = children_of(second.pid)
    assert len(servants) >= 2
    second.kill()
    eventually(lambda: not any(map(alive, servants)), "no orphan is left", 15.0)

    third = programs.serve("--data-dir", own_dir, embedded_broker_port=0)
    assert len(third.ask("/api/events")["events"]) == 1
    third.wait_logged("The controller runs")
    eventually(lambda: epoch_of(third) == 3, "the third epoch", 5.0)
    assert third.terminate(10.0) == 0
