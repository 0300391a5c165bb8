"""Telemetry under load through a real broker into a real PostgreSQL that is frozen meanwhile, and thaws."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from derms.bench.ingest_load import Sending, Sent
from derms.bench.served import local_broker
from derms.broker import find_mosquitto
from derms.contract import Topics
from derms.enrolment import FirstSight
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.metrics import Metrics
from derms.model import Enrolment
from derms.mqtt import MqttLink, parse_broker_url
from derms.ports import Message
from derms.recorder import Limits, Recorder
from derms.runtime import SystemClock, running
from derms.spool import Spool
from derms.store import open_store
from tests.brokers import until
from tests.processes import ROOT, children_of
from tests.stage import Database

RATE = 3_000
FROZEN_S = 4
WINDOW = 2_000
"""Messages the broker may have under way: less than a second of them, so that whoever does not answer hears nothing."""
DEVICES = [(f"ev-{number}", "ev") for number in range(500)]
LONGEST_GAP_S = 1.5


@contextmanager
def _frozen(database: Database) -> Iterator[None]:
    processes = [database.pid, *children_of(database.pid)]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


class Hearing:
    """How many samples were heard, and the longest time without any."""

    def __init__(self) -> None:
        self.samples = 0
        self.longest_gap_s = 0.0
        self._last_s: float | None = None

    def hear(self, *_: object) -> None:
        now_s = asyncio.get_running_loop().time()
        self.longest_gap_s = max(self.longest_gap_s, now_s - (self._last_s or now_s))
        self._last_s = now_s
        self.samples += 1


async def _send(broker_url: str, seconds: float) -> Sent:
    address = parse_broker_url(broker_url)
    sending = Sending(
        host=address.host, port=address.port, devices=DEVICES, gateways=0, connections=5, rate=RATE, seconds=seconds
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "derms.bench.ingest_load",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    answer, _ = await process.communicate(msgspec.json.encode(sending))
    return msgspec.json.decode(answer, type=Sent)


@pytest.mark.skipif(find_mosquitto() is None, reason="there is no mosquitto on this machine")
async def test_while_the_database_is_frozen_samples_are_heard_and_afterwards_all_are_stored_once(
    database: Database, tmp_path: Path
) -> None:
    database.start()
    rng, hearing, fleet = random.Random(1), Hearing(), Fleet()
    safe: list[int] = []
    async with AsyncExitStack() as stack:
        broker_url = await stack.enter_async_context(local_broker(tmp_path))
        store = await stack.enter_async_context(open_store(database.url, tmp_path, clock=SystemClock(), rng=rng))
        await store.migrate()
        await store.make_days_ahead()
        link = MqttLink(
            parse_broker_url(broker_url), client_id="recorder", subscriptions=Topics().telemetry_subscriptions(),
            rng=rng, manual_ack=True, inbox_size=WINDOW,
        )  # fmt: skip

        def answer(messages: Sequence[Message]) -> None:
            safe.extend(message.receipt for message in messages)
            link.acknowledge(messages)

        recorder = Recorder(
            store=store, spool=Spool(tmp_path / "spool"), clock=SystemClock(), rng=rng,
            on_safe=answer, on_refused=link.refuse,
            limits=Limits(write_s=1.5, first_retry_s=0.1, longest_retry_s=0.5),
        )  # fmt: skip
        ingest = Ingest(
            feed=link, fleet=fleet, recorder=recorder, topics=Topics(), clock=SystemClock(),
            metrics=Metrics(version="1"),
            first_sight=FirstSight(default_feeder_id="feeder-1", enrolment=Enrolment.ACTIVE),
            feeder_ids=lambda: {"feeder-1"}, on_registered=lambda _: None, on_metered=lambda *_: None,
            on_sample=hearing.hear,
        )  # fmt: skip
        await stack.enter_async_context(link)
        await stack.enter_async_context(recorder)
        await stack.enter_async_context(running({"recorder": recorder.run, "ingest": ingest.run}))
        await until(lambda: link.connected)
        sending = asyncio.create_task(_send(broker_url, FROZEN_S + 2.5))
        await until(lambda: recorder.stored > RATE // 2)
        assert recorder.spooled == 0
        with _frozen(database):
            before = hearing.samples
            await until(lambda: hearing.samples >= before + FROZEN_S * RATE)
            assert recorder.store_away
            gap_s = hearing.longest_gap_s
        sent = await sending
        await until(lambda: hearing.samples >= sent.samples and recorder.queued == 0 and recorder.spool_bytes == 0)
        assert gap_s < LONGEST_GAP_S
        assert sent.acknowledged == sent.samples == len(safe) == len(set(safe))
        assert (recorder.stored, recorder.lost) == (sent.samples, 0)
        assert await store.count_samples() == sent.samples
