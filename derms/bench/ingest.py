"""How much telemetry a controller takes in: through Mosquitto into PostgreSQL, everything on one machine.

The controller runs in this process; who sends is another (`derms.bench.ingest_load`). What the sender had acknowledged
by the broker is held against the rows in the database.
"""

import asyncio
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.ingest_load import Sending, Sent
from derms.bench.ingest_parts import Parts, measure_parts
from derms.bench.processes import used_below_s
from derms.bench.served import INTERVAL_S, served
from derms.errors import UnavailableError
from derms.model import Device
from derms.mqtt import parse_broker_url
from derms.serve.daemon import Controller

DEVICES = 10_000
GATEWAYS, BEHIND_GATEWAYS = 500, 50_000
RATES = (1_000, 2_000, 4_000, 8_000, 12_000, 15_000, 20_000)
"""Messages a second, tried in this order until samples are late or lost."""
CONNECTIONS = 100
_LATE_S = 2.0
"""What is in the database so long after the last message was sent is in time; an honest second for one tick."""
_STANDSTILL_S = 15.0
"""Without a new row for so long, what is missing is lost."""
_TARGET_RATE = 15_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one rate."""

    rate: float
    sent: Sent
    stored: int
    behind_s: float
    """From the last message sent until the last row was there."""
    cpu_us: float
    """Of the controller's process, a sample [us]."""
    broker_us: float
    """Of the broker, likewise."""
    database_us: float
    """Of PostgreSQL, likewise: writing, and its housekeeping meanwhile."""
    cores: float
    """Processors that the controller's process needs for this rate; what it used to catch up counts too."""
    machine: float
    """Processes that wanted a processor at the end, by the machine's own load average."""

    @property
    def lost(self) -> int:
        """Acknowledged to the sender, and not in the database."""
        return max(self.sent.acknowledged - self.stored, 0)

    @property
    def reached(self) -> float:
        """Samples a second that the sender got rid of."""
        return self.sent.samples / self.sent.seconds

    @property
    def held(self) -> bool:
        """None was lost or late, and the sender could send as it was to."""
        asked = self.rate * self.sent.samples / max(self.sent.messages, 1)
        return not self.lost and self.behind_s <= _LATE_S and self.reached >= 0.95 * asked


def ingest(effort: Effort, say: Callable[[str], None]) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.

    Raises:
        UnavailableError: There is no Mosquitto, or the sender broke off.
    """
    seconds = 60.0 if effort.runs is None else 10.0
    parts, runs = asyncio.run(_rising(seconds, say))
    say(f"ingest: {BEHIND_GATEWAYS} devices behind {GATEWAYS} gateways")
    behind = asyncio.run(_behind_gateways(seconds))
    say(f"ingest: {_words(behind)}")
    best = max((run.reached for run in runs if run.held), default=0.0)
    cost_us = runs[-1].cpu_us
    alone = (
        ("paho alone", parts.paho_rate),
        ("the store alone", parts.store_rate),
    )
    return Section(
        key="ingest",
        title="Telemetry taken in",
        setting=(
            "`derms serve` with its embedded database, a Mosquitto that holds much and saves nothing, and a sender, "
            f"all on the same {os.cpu_count()} processors; a tick every {INTERVAL_S:g} s, a limit that nobody passes. "
            f"{DEVICES:,} devices over "
            f"{CONNECTIONS} connections, QoS 1, one message a sample, {seconds:g} s a rate, until a rate is not held: "
            f"a sample is lost, or in the database more than {_LATE_S:g} s late, or the sender could not send as it "
            "was to. Lost is what the broker had acknowledged to the sender and is not in the database. For scale, "
            "measured in the same run: paho taking MQTT 5 messages out of memory and acknowledging them, and the store "
            "writing by itself."
        ),
        figures=(
            Figure(what="samples a second, the highest rate held", value=best, unit="", target=_TARGET_RATE,
                   rivals=alone),
            Figure(what="the controller's processor time a sample", value=cost_us, unit="us",
                   rivals=(("paho alone", parts.paho_us), ("the store alone", parts.store_us))),
            Figure(what="share of paho's rate", value=100.0 * best / parts.paho_rate, unit="%"),
            Figure(what="share of the store's rate", value=100.0 * best / parts.store_rate, unit="%"),
            Figure(what="samples lost at the rates held", value=float(sum(run.lost for run in runs if run.held)),
                   unit="", target=0.0, at_least=False),
            Figure(what="through gateways: samples lost", value=float(behind.lost), unit="", target=0.0,
                   at_least=False),
            Figure(what="through gateways: the controller's processors", value=behind.cores, unit="", target=1.0,
                   at_least=False),
        ),
        tables=(
            Table(
                title="By rate",
                header=("sent", "messages/s", "samples/s", "acknowledged", "stored", "lost", "behind, s",
                        "cpu, us a sample", "broker's", "PostgreSQL's", "sender's", "processors",
                        "load of the machine"),
                rows=(
                    *(_row(f"{run.rate:,.0f} /s", run) for run in runs),
                    _row(f"{GATEWAYS} gateways at 1 Hz", behind),
                ),
            ),
        ),
    )  # fmt: skip


def _row(name: str, run: Run) -> tuple[str, ...]:
    return (
        name,
        f"{run.sent.messages / run.sent.seconds:,.0f}",
        f"{run.reached:,.0f}",
        f"{run.sent.acknowledged:,}",
        f"{run.stored:,}",
        f"{run.lost:,}",
        f"{run.behind_s:.1f}",
        f"{run.cpu_us:.1f}",
        f"{run.broker_us:.1f}",
        f"{run.database_us:.1f}",
        f"{run.sent.cpu_s * 1e6 / max(run.sent.samples, 1):.1f}",
        f"{run.cores:.2f}",
        f"{run.machine:.1f}",
    )


def _words(run: Run) -> str:
    return f"{run.stored} stored, {run.lost} lost, {run.behind_s:.1f} s behind, {run.cpu_us:.0f} us a sample"


async def _rising(seconds: float, say: Callable[[str], None]) -> tuple[Parts, list[Run]]:
    async with served(DEVICES, limit_kw=4.0 * DEVICES) as (running, fleet):
        say("ingest: paho and the store alone")
        parts = await measure_parts(running.store, random.Random(1))
        say(f"ingest: paho {parts.paho_us:.0f} us a message, the store {parts.store_us:.0f} us a row")
        runs = []
        for rate in RATES:
            say(f"ingest: {rate} messages a second")
            runs.append(await _loaded(running, fleet, rate=rate, seconds=seconds, gateways=0))
            say(f"ingest: {_words(runs[-1])}")
            if not runs[-1].held:
                break
    return parts, runs


async def _behind_gateways(seconds: float) -> Run:
    async with served(BEHIND_GATEWAYS, limit_kw=4.0 * BEHIND_GATEWAYS, gateways=GATEWAYS) as (running, fleet):
        return await _loaded(running, fleet, rate=GATEWAYS, seconds=seconds, gateways=GATEWAYS)


async def _loaded(running: Controller, fleet: list[Device], *, rate: float, seconds: float, gateways: int) -> Run:
    address = parse_broker_url(running.broker_url)
    sending = Sending(
        host=address.host,
        port=address.port,
        devices=[(one.device_id, one.kind.value) for one in fleet],
        gateways=gateways,
        connections=CONNECTIONS,
        rate=rate,
        seconds=seconds,
    )
    before, used_s = await running.store.count_samples(), _used_s()
    broker_s, database_s = used_below_s("mosquitto"), used_below_s("postgres")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "derms.bench.ingest_load",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        answer, _ = await process.communicate(msgspec.json.encode(sending))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise UnavailableError("the sender broke off", why=f"it ended with {process.returncode}", next_step="see above")
    sent = msgspec.json.decode(answer, type=Sent)
    ended_s = time.monotonic() - sent.answered_s
    stored = await _settled(running, before, sent.acknowledged)
    behind_s = time.monotonic() - ended_s
    spent_s, samples = _used_s() - used_s, max(sent.samples, 1)
    return Run(
        rate=rate,
        sent=sent,
        stored=stored,
        behind_s=behind_s,
        cpu_us=spent_s * 1e6 / samples,
        broker_us=(used_below_s("mosquitto") - broker_s) * 1e6 / samples,
        database_us=(used_below_s("postgres") - database_s) * 1e6 / samples,
        cores=spent_s / sent.seconds,
        machine=os.getloadavg()[0],
    )


async def _settled(running: Controller, before: int, expected: int) -> int:
    """Wait until all rows are there, or none comes any more; how many there are."""
    recorder, moved_s, seen = running.recorder, time.monotonic(), -1
    while True:
        # Counting rows costs what is measured, so it waits until the recorder has none in hand.
        if not recorder.queued:
            stored = await running.store.count_samples() - before
            if stored >= expected or time.monotonic() - moved_s > _STANDSTILL_S:
                return stored
            if stored != seen:
                seen, moved_s = stored, time.monotonic()
        await asyncio.sleep(0.1)


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
