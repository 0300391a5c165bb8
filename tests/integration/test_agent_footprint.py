"""What an agent costs a small machine: measured on `derms agent run` as it is started in the field."""

import re
from pathlib import Path

from tests.brokers import RunningBroker, until
from tests.processes import Programs

MOST_MB = 60
HEAVY = {"numpy", "aiohttp", "psycopg", "textual", "amqtt", "pymodbus", "yaml", "argon2"}
RUN = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules})))
from derms.cli import main
main()
"""


def peak_of(pid: int) -> float:
    """The most memory a process has had [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


async def test_a_running_agent_loads_nothing_heavy_and_stays_small(
    any_broker: RunningBroker, programs: Programs, tmp_path: Path
) -> None:
    config = tmp_path / "agent.json"
    config.write_text(
        f'{{"device_id":"pi-a","device_type":"battery","broker_port":{any_broker.port},"publish_interval_seconds":0.1}}'
    )
    agent = programs.python("-c", RUN, "agent", "run", "--config", config)
    await until(lambda: bool(agent.logged("Connected to the broker")), 60)
    async with any_broker.link("watch", subscriptions=[("der/telemetry/pi-a", 1)]) as link:
        heard = 0
        while heard < 20:
            heard += len(await link.receive())
    peak_mb = peak_of(agent.pid)
    assert agent.terminate() == 0
    assert peak_mb < MOST_MB, f"{peak_mb:.1f} MB"
    loaded = agent.stdout.split("LOADED", 1)[1].split()
    assert "paho" in loaded
    assert HEAVY & set(loaded) == set()
