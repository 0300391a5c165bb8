"""What the intake's benchmark sends, and when it calls a rate held."""

import itertools
import time

import pytest

from derms.bench.ingest import Run
from derms.bench.ingest_load import Sending, Sent, messages_of
from derms.contract import Decoded, Topics, decode_telemetry

DEVICES = [("ev-0", "ev"), ("battery-1", "battery"), ("pv-2", "pv"), ("ev-3", "ev")]


def _sent(gateways: int, count: int) -> list[list[Decoded]]:
    sending = Sending(
        host="127.0.0.1", port=1, devices=DEVICES, gateways=gateways, connections=1, rate=1.0, seconds=1.0
    )
    found = []
    for topic, payload, samples in itertools.islice(messages_of(sending), count):
        results = decode_telemetry(
            Topics(), topic.decode(), payload, now_ms=time.time_ns() // 1_000_000, speaks_percent=lambda _: False
        )
        understood = [result for result in results if isinstance(result, Decoded)]
        assert len(understood) == len(results) == samples
        found.append(understood)
    return found


def test_every_device_speaks_in_turn_and_never_says_the_same_twice() -> None:
    said = [one.telemetry for message in _sent(0, 9) for one in message]
    assert [one.device_id for one in said] == [name for name, _ in (DEVICES * 3)[:9]]
    assert len({(one.device_id, one.seq) for one in said}) == 9


def test_a_gateway_speaks_for_its_own_devices_at_once() -> None:
    said = _sent(2, 4)
    assert [{one.telemetry.device_id for one in message} for message in said] == [
        {"ev-0", "pv-2"},
        {"battery-1", "ev-3"},
    ] * 2
    assert [message[0].gateway_id for message in said] == ["gw-0", "gw-1"] * 2


@pytest.mark.parametrize(
    ("stored", "behind_s", "seconds", "held"),
    [
        (1000, 1.0, 10.0, True),
        (1001, 1.0, 10.0, True),  # sent, and its acknowledgement did not come any more
        (999, 1.0, 10.0, False),  # acknowledged, and not there
        (1000, 2.5, 10.0, False),  # late
        (1000, 1.0, 11.0, False),  # the sender got rid of 91 a second, not of 100
    ],
)
def test_a_rate_is_held_when_nothing_is_lost_late_or_unsent(
    stored: int, behind_s: float, seconds: float, held: bool
) -> None:
    sent = Sent(messages=1000, samples=1000, acknowledged=1000, seconds=seconds, answered_s=0.1, cpu_s=1.0)
    run = Run(
        rate=100.0, sent=sent, stored=stored, behind_s=behind_s, cpu_us=50.0, broker_us=20.0, database_us=10.0,
        cores=0.5, machine=1.0,
    )  # fmt: skip
    assert run.held is held
