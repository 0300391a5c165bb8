"""Database and broker fail over as docs/operations.md says: another one takes their place, and control goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.chargers import charging
from tests.faults.cluster import all_led, controller, is_ready, now_ms, ready
from tests.processes import Daemon, Programs, eventually
from tests.replicas import Pair
from tests.stage import Broker
from tests.wire import observing


@pytest.fixture
def pair(own_dir: Path) -> Iterator[Pair]:
    there = Pair(own_dir)
    yield there
    there.close()


def epoch_of(serve: Daemon) -> int:
    return int(serve.ask("/api/health")["trees"]["feeder-1"]["epoch"])


@pytest.mark.slow
def test_a_primary_dies_its_standby_takes_over_and_no_epoch_is_given_twice(
    pair: Pair, programs: Programs, stage_broker: Broker
) -> None:
    with observing(stage_broker.url) as wire, charging(stage_broker.url):
        serve = controller(programs, "north", stage_broker.url, pair.url)
        all_led(wire, 0)
        eventually(lambda: is_ready(serve), "it is ready")
        epoch = epoch_of(serve)
        assert epoch > 0

        pair.primary.kill()
        eventually(lambda: not ready(serve)["ready"], "the database is away")
        died_ms = now_ms()
        pair.standby.promote()
        # As it was copied it waits for a standby of its own with every commit, and so is away for whoever writes.
        assert pair.say(pair.standby, "SHOW synchronous_standby_names") in ([("*",)], [("",)])
        pair.say(pair.standby, "ALTER SYSTEM RESET synchronous_standby_names")
        pair.say(pair.standby, "SELECT pg_reload_conf()")
        eventually(lambda: is_ready(serve), "it is ready again, on the other server", 60.0)
        all_led(wire, died_ms)
        assert epoch_of(serve) >= epoch
        assert pair.say(pair.standby, "SELECT epoch FROM controller_leases") == [(epoch_of(serve),)]
        eventually(lambda: serve.metric("derms_spool_bytes") == 0, "what was spooled is stored")
        since = f"to_timestamp({died_ms / 1000.0})"
        eventually(
            lambda: pair.say(pair.standby, f"SELECT 1 FROM telemetry WHERE at > {since} LIMIT 1"), "and new rows"
        )

        # A new password: what stands goes on with the old one, and a restart takes the new one.
        pair.say(pair.standby, "ALTER ROLE derms PASSWORD 'second-password'")
        pair.password, epoch_before = "second-password", epoch_of(serve)
        assert is_ready(serve)
        assert serve.terminate(15.0) == 0
        again = controller(programs, "north", stage_broker.url, pair.url)
        eventually(lambda: is_ready(again), "it is ready with the new password")
        assert epoch_of(again) > epoch_before


@pytest.mark.slow
def test_an_empty_broker_in_the_place_of_the_old_one_is_enough(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    with charging(stage_broker.url):
        with observing(stage_broker.url) as wire:
            serve = controller(programs, "north", stage_broker.url, postgres_url)
            all_led(wire, 0)
        stage_broker.kill()
        shutil.rmtree(stage_broker.directory)
        eventually(lambda: not is_ready(serve), "it is away")
        epoch = epoch_of(serve)
        died_ms = now_ms()
        stage_broker.start()
        with observing(stage_broker.url) as wire:
            all_led(wire, died_ms, 60.0)
        eventually(lambda: is_ready(serve), "it is ready again")
        assert epoch_of(serve) >= epoch
