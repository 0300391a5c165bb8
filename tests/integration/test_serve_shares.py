"""Two controllers that share the trees of one database, as real processes."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.cluster import LEADER_LEASE_S, LIMIT_KW, controller, fresh, now_ms
from tests.processes import Programs, eventually
from tests.stage import Broker, query
from tests.wire import Observer, observing

TREES = [f"street-{number}" for number in range(1, 5)]
FILE = "".join(f'[[feeder]]\nid = "{tree}"\nimport_limit_kw = {LIMIT_KW}\n' for tree in TREES)


@contextmanager
def chargers(url: str) -> Iterator[None]:
    """One charger on each tree, which says what it draws twice a second."""
    address, stop = urlsplit(url), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="chargers")
    client.connect(str(address.hostname), int(address.port or 1883))
    client.loop_start()

    def speak() -> None:
        seq = 0
        while not stop.wait(0.5):
            seq += 1
            for tree in TREES:
                said = {"v": 1, "device_id": f"ev-{tree}", "type": "ev", "ts": now_ms(), "seq": seq,
                        "p_actual_kw": 3.0, "p_setpoint_kw": None, "p_max_kw": 7.0, "soc": 0.4,
                        "feeder_id": tree}  # fmt: skip
                client.publish(f"der/telemetry/ev-{tree}", json.dumps(said), qos=1)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


def held(database_url: str) -> Counter[str]:
    """How many trees each controller commands, by the table."""
    asked = "SELECT controller_id FROM controller_leases WHERE instance <> '' AND expires_at > now()"
    return Counter(row[0] for row in query(database_url, asked))


def led(wire: Observer, since_ms: int) -> dict[str, set[int]]:
    """The epochs in which each device was led since then."""
    found: dict[str, set[int]] = {}
    for lease in fresh(wire.leases()):
        if lease.at_ms > since_ms:
            found.setdefault(lease.device_id, set()).add(lease.epoch)
    return found


@pytest.mark.timeout(180)
def test_two_controllers_come_to_command_half_of_the_trees_each_and_one_takes_all_when_the_other_dies(
    programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "feeders.toml"
    file.write_text(FILE)
    settings = {"feeders_file": file, "feeder_id": TREES[0], "spread_feeders": "true"}
    with observing(stage_broker.url) as wire, chargers(stage_broker.url):
        north = controller(programs, "north", stage_broker.url, postgres_url, **settings)
        eventually(lambda: held(postgres_url) == {"north": 4}, "the only one commands all")
        south = controller(programs, "south", stage_broker.url, postgres_url, **settings)
        eventually(lambda: held(postgres_url) == {"north": 2, "south": 2}, "they share")
        settled_ms = now_ms()
        eventually(lambda: len(led(wire, settled_ms)) == len(TREES), "everyone is led")
        epochs = led(wire, settled_ms)
        assert all(len(one) == 1 for one in epochs.values())
        assert len({epoch for one in epochs.values() for epoch in one}) == 2

        # What is asked of one reaches the other where that commands the tree.
        [theirs] = query(postgres_url, "SELECT min(feeder_id) FROM controller_leases WHERE controller_id = 'south'")[0]
        asked_ms = now_ms()
        north.ask("/api/events", {"import_limit_kw": 2.0, "duration_s": 120, "feeder_ids": [theirs]})

        def obeyed() -> bool:
            mine = [one for one in fresh(wire.leases()) if one.device_id == f"ev-{theirs}" and one.at_ms > asked_ms]
            return bool(mine) and mine[-1].p_kw <= 2.0

        eventually(obeyed, "the other one obeys the event")

        died_ms = now_ms()
        south.kill()
        eventually(lambda: held(postgres_url) == {"north": 4}, "one commands all again", 2 * LEADER_LEASE_S + 5.0)
        eventually(lambda: len(led(wire, died_ms + 1_000)) == len(TREES), "everyone is led again")
        last: dict[str, int] = {}
        for lease in fresh(wire.leases()):
            assert lease.epoch >= last.get(lease.device_id, 0), "epochs only rise at each device"
            last[lease.device_id] = lease.epoch
