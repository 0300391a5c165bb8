"""An agent and the whole controller: what was measured while they could not speak is stored, each sample once."""

import asyncio
import itertools
import json
from pathlib import Path

from tests.brokers import Cable, RunningBroker, until
from tests.processes import Program, Programs
from tests.stage import query

NAME = "pi-batt-1"


async def says(program: Program, message: str) -> None:
    await asyncio.to_thread(program.wait_logged, message)


async def test_what_was_kept_on_disk_is_stored_once_and_never_taken_for_the_present(
    mosquitto_broker: RunningBroker, postgres_url: str, programs: Programs, tmp_path: Path
) -> None:
    def seqs() -> list[int]:
        rows = query(postgres_url, f"SELECT seq FROM telemetry WHERE device_id = '{NAME}' ORDER BY at, seq")
        return [int(row[0]) for row in rows]

    async with Cable(mosquitto_broker.port) as cable:
        daemon = programs.serve(mqtt_url=mosquitto_broker.url, database_url=postgres_url, feeder_import_limit_kw=50)
        config, state = tmp_path / "agent.json", tmp_path / "state" / NAME
        config.write_text(
            json.dumps(
                {
                    "device_id": NAME, "device_type": "battery", "broker_port": cable.port,
                    "state_dir": str(state.parent), "publish_interval_seconds": 0.2,
                    "reconnect_spread_seconds": 0.2, "replay_per_second": 50,
                }
            )
        )  # fmt: skip
        await asyncio.to_thread(daemon.wait_logged, "The controller runs")
        agent = programs.derms("agent", "run", "--config", config)
        await until(lambda: len(seqs()) >= 3, 60)
        for _ in range(2):
            cable.shut = True
            cable.cut()
            await until(lambda: sum(path.stat().st_size for path in state.glob("*.samples")) > 2_000, 60)
            agent.kill()  # and the next one sends what this one kept
            agent = programs.derms("agent", "run", "--config", config)
            await says(agent, "Trying again")
            cable.shut = False
            await says(agent, "all that was kept on disk has been sent")
            await until(lambda: not list(state.glob("*.samples")), 60)
        assert agent.terminate() == 0
        outcomes = [
            await asyncio.to_thread(daemon.metric, f'derms_messages_total{{outcome="{name}"}}')
            for name in ("out_of_order", "too_old", "malformed", "invalid", "from_the_future")
        ]
        assert outcomes[0] >= 10
        assert outcomes[1:] == [0, 0, 0, 0]
        device = await asyncio.to_thread(daemon.ask, f"/api/devices/{NAME}")
        assert device["freshness"] == "good"
        await until(lambda: len(seqs()) > 20)
        stored = seqs()
        assert stored == sorted(set(stored))
        # Within a run samples are counted one by one: none is missing but what was in memory when it was killed.
        gaps = [later - earlier for earlier, later in itertools.pairwise(stored) if later - earlier > 1]
        assert len(gaps) <= 2
