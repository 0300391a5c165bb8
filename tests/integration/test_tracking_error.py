"""The tracking error in memory against the rows that a real PostgreSQL holds of the same window."""

import math
import random
from collections import defaultdict
from pathlib import Path

import psycopg
import pytest

from derms.api.schemas.tracking import TrackingQuery
from derms.contract import Topics, encode_telemetry
from derms.enrolment import FirstSight
from derms.ingest import Ingest
from derms.metrics import Metrics
from derms.model import DeviceKind, Dialect, Enrolment, Telemetry
from derms.ports import Message
from derms.recorder import Recorder
from derms.runtime import SystemClock, running
from derms.spool import Spool
from derms.store import open_store
from tests.fakes_api import NOW_MS, FakeClock
from tests.live import live_controller
from tests.plant import Bus

STORED = """
SELECT device_id, p_actual_kw - p_setpoint_kw FROM telemetry
WHERE p_setpoint_kw IS NOT NULL AND at >= %s AND at < %s
"""


def messages(rng: random.Random, device: int, count: int) -> list[tuple[int, Message]]:
    """A device's samples with the instant at which each arrives: some late, some twice, some without a setpoint."""
    device_id, found = f"ev-{device}", []
    for seq in range(count):
        at_ms = NOW_MS + 1000 * seq + rng.randrange(900)
        told = None if rng.random() < 0.1 else rng.uniform(-1e5, 1e5)
        reading = Telemetry(
            device_id=device_id,
            kind=DeviceKind.EV,
            at_ms=at_ms,
            p_actual_kw=rng.uniform(-1e5, 1e5) * 10.0 ** -rng.randrange(6),
            p_setpoint_kw=told,
            seq=seq if device % 2 else None,
        )
        topic, payload = encode_telemetry(Topics(), reading, Dialect.V1)
        for _ in range(1 + (rng.random() < 0.1)):
            delay_ms = rng.randrange(8_000) if rng.random() < 0.2 else rng.randrange(200)
            found.append((at_ms + delay_ms, Message(topic, payload)))
    return found


@pytest.mark.parametrize("window_s", [10, 60, 600])
async def test_the_ring_agrees_with_the_stored_rows(postgres_url: str, tmp_path: Path, window_s: int) -> None:
    rng, clock, metrics = random.Random(window_s), FakeClock(NOW_MS - 20_000), Metrics(version="1")
    with live_controller(clock, metrics) as live:
        async with open_store(postgres_url, tmp_path, clock=SystemClock(), rng=rng) as store:
            recorder = Recorder(
                store=store, spool=Spool(tmp_path / "spool"), on_safe=lambda _: None, clock=SystemClock(), rng=rng
            )
            ingest = Ingest(
                feed=Bus(), fleet=live.fleet, recorder=recorder, topics=Topics(), clock=clock, metrics=metrics,
                first_sight=FirstSight(default_feeder_id="feeder-1", enrolment=Enrolment.ACTIVE),
                feeder_ids=lambda: {"feeder-1"}, on_registered=lambda _: None, on_metered=lambda *_: None,
                on_sample=live.tracking.take,
            )  # fmt: skip
            arriving = sorted((pair for n in range(5) for pair in messages(rng, n, 120)), key=lambda pair: pair[0])
            async with recorder, running({"recorder": recorder.run}):
                for at_ms, message in arriving:
                    clock.now = max(clock.now, at_ms)
                    ingest.take([message])
            clock.now = NOW_MS + 119_900
            told = live.tracking.errors(TrackingQuery(window_s=window_s))
    stored: dict[str, list[float]] = defaultdict(list)
    with psycopg.connect(postgres_url) as connection:
        for device_id, error_kw in connection.execute(STORED, [told.since, told.until]):
            stored[device_id].append(error_kw)
    assert {one.device_id: one.samples for one in told.devices} == {key: len(rows) for key, rows in stored.items()}
    for one in told.devices:
        rows = stored[one.device_id]
        assert one.mean_kw == pytest.approx(math.fsum(rows) / len(rows), abs=1e-9)
        assert one.mean_abs_kw == pytest.approx(math.fsum(map(abs, rows)) / len(rows), abs=1e-9)
    every = [error_kw for rows in stored.values() for error_kw in rows]
    assert told.samples == len(every) > 10
    assert told.mean_kw == pytest.approx(math.fsum(every) / len(every), abs=1e-9)
