import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from derms.model import Dialect, Enrolment, Feeder, Origin, Outcome
from derms.ports import Message
from derms.recorder import Limits
from tests.fakes_contract import NOW_MS, run_virtually
from tests.plant import Rig, Site, running_rig

FEEDER = Feeder(feeder_id="feeder-1", import_limit_kw=20.0)


def _v1(device_id: str = "ev-1", **said: Any) -> bytes:
    body = {"v": 1, "device_id": device_id, "type": "ev", "ts": NOW_MS, "p_actual_kw": 1.0, "p_max_kw": 7.2}
    return json.dumps(body | said).encode()


def _run(tmp_path: Path, messages: list[tuple[str, bytes]], check: Any, **options: Any) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER, **options) as rig:
            for topic, payload in messages:
                rig.bus.put(topic, payload)
            await asyncio.sleep(1.0)
            check(rig)

    run_virtually(main())


@pytest.mark.parametrize(
    ("topic", "payload", "outcome"),
    [
        ("der/telemetry/ev-1", b"not json", Outcome.MALFORMED),
        ("der/telemetry/ev-1", _v1("ev-2"), Outcome.IDENTITY_MISMATCH),
        ("der/telemetry/ev-1", _v1(v=9), Outcome.UNKNOWN_VERSION),
        ("der/telemetry/ev-1", _v1(soc=7.0), Outcome.INVALID),
        ("der/telemetry/ev-1", _v1(ts=NOW_MS + 3_600_000), Outcome.FROM_THE_FUTURE),
        ("der/telemetry/ev-1", _v1(ts=1000), Outcome.TOO_OLD),
        ("der/telemetry/ev-1", b"x" * 20_000, Outcome.TOO_LARGE),
        ("der/status/ev-1", b"maybe", Outcome.INVALID),
    ],
)
def test_a_refused_message_is_counted_by_name_acknowledged_and_changes_nothing(
    tmp_path: Path, topic: str, payload: bytes, outcome: Outcome
) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {outcome.value: 1.0}
        assert [message.topic for message in rig.bus.acknowledged] == [topic]
        assert len(rig.fleet) == 0
        assert not rig.store.samples

    _run(tmp_path, [(topic, payload)], check)


def test_a_good_message_is_acknowledged_only_once_it_is_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            gate = asyncio.Event()
            rig.store.before_write = gate.wait
            rig.bus.put("der/telemetry/ev-1", _v1())
            await asyncio.sleep(1.0)
            assert rig.bus.acknowledged == []
            gate.set()
            await asyncio.sleep(1.0)
            assert len(rig.bus.acknowledged) == 1
            assert len(rig.store.samples) == 1

    run_virtually(main())


def test_the_same_message_twice_is_one_row_and_both_are_acknowledged(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 1.0, "duplicate": 1.0}
        assert len(rig.store.samples) == 1
        assert len(rig.bus.acknowledged) == 2

    _run(tmp_path, [("der/telemetry/ev-1", _v1())] * 2, check)


def test_a_late_message_is_stored_and_does_not_replace_the_newest(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 1.0, "out_of_order": 1.0}
        assert len(rig.store.samples) == 2
        reading = rig.fleet.readings[0]
        assert reading is not None
        assert reading.p_actual_kw == 5.0

    late = _v1(ts=NOW_MS - 5000, p_actual_kw=2.0)
    _run(tmp_path, [("der/telemetry/ev-1", _v1(p_actual_kw=5.0)), ("der/telemetry/ev-1", late)], check)


def test_an_unknown_device_waits_in_quarantine_where_registration_needs_approval(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"quarantined": 1.0}
        assert rig.registered[0].enrolment is Enrolment.QUARANTINED
        assert not rig.store.samples
        assert rig.loop.feeders["feeder-1"].tree.rows.size == 0

    _run(tmp_path, [("der/telemetry/ev-1", _v1())], check, enrolment=Enrolment.QUARANTINED)


def test_a_device_that_once_spoke_percent_is_read_in_percent_from_then_on(tmp_path: Path) -> None:
    def plain(soc: float, at: str) -> bytes:
        said = {"deviceId": "b-1", "type": "battery", "timestamp": at, "p_actual_kw": 1.5, "soc": soc, "p_max_kw": 5}
        return json.dumps(said).encode()

    def check(rig: Rig) -> None:
        reading = rig.fleet.readings[0]
        assert reading is not None
        assert reading.soc == pytest.approx(0.01)  # 1 %, no longer 100 %
        assert rig.fleet.devices[0].soc_in_percent

    _run(
        tmp_path,
        [
            ("der/telemetry/b-1", plain(42.0, "2026-01-01T00:00:00Z")),
            ("der/telemetry/b-1", plain(1.0, "2026-01-01T00:00:01Z")),
        ],
        check,
    )


def test_a_device_may_not_change_its_type(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 1.0, "identity_mismatch": 1.0}

    other = _v1(type="battery", ts=NOW_MS + 1000)
    _run(tmp_path, [("der/telemetry/ev-1", _v1()), ("der/telemetry/ev-1", other)], check)


def test_telemetry_never_moves_a_device_to_another_feeder_nor_raises_its_rating(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.fleet.devices[0].feeder_id == "feeder-1"
        assert rig.fleet.devices[0].p_import_max_kw == 7.2

    later = _v1(ts=NOW_MS + 1000, feeder_id="feeder-2", p_max_kw=500.0)
    _run(tmp_path, [("der/telemetry/ev-1", _v1()), ("der/telemetry/ev-1", later)], check)


def _by(gateway_id: str, *measurements: bytes) -> tuple[str, bytes]:
    return f"der/gateway/{gateway_id}/telemetry", b"[" + b",".join(measurements) + b"]"


def test_a_gateway_may_not_speak_for_a_device_that_speaks_for_itself(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 1.0, "identity_mismatch": 1.0}
        assert len(rig.store.samples) == 1
        assert len(rig.bus.acknowledged) == 2

    _run(tmp_path, [("der/telemetry/ev-1", _v1()), _by("gw-1", _v1(ts=NOW_MS + 1000))], check)


def test_a_device_behind_a_gateway_is_heard_through_that_one_alone(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 2.0, "identity_mismatch": 2.0}
        assert [sample.telemetry.at_ms - NOW_MS for sample in rig.store.samples.values()] == [0, 3000]
        assert rig.fleet.devices[0].gateway_id == "gw-1"

    other = [_by("gw-2", _v1(ts=NOW_MS + 1000)), ("der/telemetry/ev-1", _v1(ts=NOW_MS + 2000))]
    _run(tmp_path, [_by("gw-1", _v1()), *other, _by("gw-1", _v1(ts=NOW_MS + 3000))], check)


@pytest.mark.parametrize(
    ("enrolment", "outcome"), [(Enrolment.ACTIVE, "accepted"), (Enrolment.QUARANTINED, "quarantined")]
)
def test_a_device_never_seen_before_is_enrolled_behind_the_gateway_that_speaks_for_it(
    tmp_path: Path, enrolment: Enrolment, outcome: str
) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {outcome: 1.0}
        assert [(one.gateway_id, one.enrolment) for one in rig.registered] == [("gw-1", enrolment)]

    _run(tmp_path, [_by("gw-1", _v1())], check, enrolment=enrolment)


def test_each_measurement_of_a_gateway_has_its_own_outcome_and_the_message_one_acknowledgement(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.outcomes() == {"accepted": 2.0, "duplicate": 1.0, "malformed": 1.0, "invalid": 1.0}
        assert {sample.telemetry.device_id for sample in rig.store.samples.values()} == {"ev-1", "ev-2"}
        assert len(rig.bus.acknowledged) == 1

    _run(tmp_path, [_by("gw-1", _v1(), _v1(), b"7", _v1(p_actual_kw="x"), _v1("ev-2"))], check)


def test_a_message_of_a_gateway_is_acknowledged_once_the_last_of_it_is_stored(tmp_path: Path) -> None:
    async def main() -> None:
        limits = Limits(batch_rows=2)
        async with running_rig(tmp_path, FEEDER, limits=limits) as rig:
            turns = asyncio.Semaphore(0)
            rig.store.before_write = turns.acquire
            rig.bus.put(*_by("gw-1", *(_v1(f"ev-{number}") for number in range(4))))
            seen = set()
            for _ in range(20):
                await asyncio.sleep(0.2)
                stored = len(rig.store.samples)
                assert len(rig.bus.acknowledged) == (stored == 4)
                seen.add(stored)
                turns.release()
            assert seen == {0, 2, 4}
            rig.store.before_write = None

    run_virtually(main())


def test_what_gateways_send_waits_with_the_broker_while_the_recorder_is_full(tmp_path: Path) -> None:
    async def main() -> None:
        limits = Limits(samples=10, batch_rows=5, patience_s=10.0)
        async with running_rig(tmp_path, FEEDER, limits=limits) as rig:
            gate = asyncio.Event()
            rig.store.before_write = gate.wait
            messages = [_by(f"gw-{number}", *(_v1(f"ev-{number}-{one}") for one in range(9))) for number in range(300)]
            for topic, payload in messages:
                rig.bus.put(topic, payload)
            await asyncio.sleep(1.0)
            assert rig.recorder.queued < 2000  # 2,700 were sent: what comes in one turn, no more
            gate.set()
            await asyncio.sleep(60.0)
            assert len(rig.store.samples) == 2700
            assert len(rig.bus.acknowledged) == 300
            assert rig.recorder.lost == 0

    run_virtually(main())


def test_status_is_noted_for_known_devices_and_passed_over_for_others(tmp_path: Path) -> None:
    def check(rig: Rig) -> None:
        assert rig.fleet.online == [True]
        assert len(rig.fleet) == 1

    messages = [("der/telemetry/ev-1", _v1()), ("der/status/ev-1", b"online"), ("der/status/ev-9", b"online")]
    _run(tmp_path, messages, check)


def test_a_refusal_is_logged_at_most_once_a_minute_for_each_device_and_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def check(_: Rig) -> None:
        assert len([record for record in caplog.records if "refused" in record.message]) == 2

    _run(tmp_path, [("der/telemetry/ev-1", b"x"), ("der/telemetry/ev-2", b"x")] * 50, check)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_each_device_is_answered_in_the_dialect_it_speaks(tmp_path: Path, dialect: Dialect) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.sites = [Site("pi-ev-1", 7.0, dialect=dialect)]
            await rig.live(30)
            topics = {topic for topic, _ in rig.bus.sent}
            expected = "der/setpoints/ev/pi-ev-1" if dialect is Dialect.ENVELOPE else "der/control/pi-ev-1"
            assert topics == {expected}
            assert rig.sites[0].p_kw == pytest.approx(7.0)
            assert rig.fleet.devices[0].dialect is dialect
            assert rig.fleet.devices[0].origin is Origin.PHYSICAL

    run_virtually(main())


def test_what_a_device_refuses_and_its_faults_are_logged_when_they_begin(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[dict[str, Any]] = [
        {"refused": {"repeated": 1}},
        {"refused": {"repeated": 2, "older_epoch": 1}},
        {"refused": {"repeated": 2, "older_epoch": 2}},
        {"fault": "relay stuck", "status": "fault"},
        {"fault": "relay stuck", "status": "fault"},
        {"fault": "too hot", "status": "fault"},
    ]
    messages = [("der/telemetry/ev-1", _v1(ts=NOW_MS + i, seq=i, **each)) for i, each in enumerate(said)]
    _run(tmp_path, messages, lambda rig: None)
    told = [record.getMessage() for record in caplog.records if record.name == "derms.ingest"]
    assert [line for line in told if "refuses" in line] == [
        "Device ev-1 refuses setpoints: older_epoch (1 since it started)"  # and then not again for a minute
    ]
    assert [line for line in told if "fault" in line] == [
        "Device ev-1 has a fault: relay stuck",
        "Device ev-1 has a fault: too hot",
    ]


def _meter(p_kw: float, number: int, **said: Any) -> bytes:
    return _v1("head", type="meter", p_actual_kw=p_kw, ts=NOW_MS + 100 * number, seq=number, p_max_kw=None, **said)


def test_a_head_meter_that_is_glanced_at_counts_at_once_and_is_stored_and_counted_when_the_feed_brings_it(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.bus.put("der/telemetry/head", _meter(5.0, 1))
            await asyncio.sleep(1.0)
            ticks = rig.loop.trees[0].ticks
            ahead = [Message("der/telemetry/head", _meter(p_kw, number)) for number, p_kw in ((2, 8.0), (3, 30.0))]
            rig.ingest.glance(ahead)
            row = rig.fleet.row("head")
            assert row is not None
            reading = rig.fleet.readings[row]
            assert reading is not None
            assert reading.p_actual_kw == 30.0
            await asyncio.sleep(0.5)
            assert rig.loop.trees[0].ticks > ticks, "a limit is passed: that cannot wait"
            assert (len(rig.store.samples), rig.outcomes()) == (1, {"accepted": 1.0})
            for message in ahead:
                rig.bus.put(message.topic, message.payload)
            await asyncio.sleep(1.0)
            assert rig.fleet.readings[row] is reading, "what comes late does not stand for what is known already"
            assert (len(rig.store.samples), rig.outcomes()) == (3, {"accepted": 3.0})
            rig.bus.put(ahead[0].topic, ahead[0].payload)
            rig.bus.put("der/telemetry/head", _meter(9.0, 4))
            await asyncio.sleep(1.0)
            assert rig.outcomes() == {"accepted": 4.0, "out_of_order": 1.0}

    run_virtually(main())


def test_what_a_glance_does_not_understand_or_believe_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.bus.put("der/telemetry/ev-1", _v1())
            rig.bus.put("der/telemetry/head", _meter(5.0, 1))
            await asyncio.sleep(1.0)
            before = list(rig.fleet.readings)
            rig.ingest.glance(
                [
                    Message("der/telemetry/head", b"not json"),
                    Message("der/telemetry/head", _meter(99.0, 0)),
                    Message("der/telemetry/head", _v1("head", ts=NOW_MS + 500)),
                    Message("der/telemetry/ev-1", _v1(ts=NOW_MS + 500)),
                    Message("der/telemetry/nobody", _v1("nobody", type="meter")),
                    Message("der/gateway/gw-1/telemetry", b"[" + _meter(99.0, 9) + b"]"),
                    Message("der/status/head", b"online"),
                ]
            )
            assert rig.fleet.readings == before
            assert rig.outcomes() == {"accepted": 2.0}

    run_virtually(main())


def test_the_fault_of_a_head_meter_is_told_when_it_is_glanced_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.bus.put("der/telemetry/head", _meter(5.0, 1))
            await asyncio.sleep(1.0)
            message = Message("der/telemetry/head", _meter(5.0, 2, fault="phase 2 is missing"))
            rig.ingest.glance([message])
            rig.bus.put(message.topic, message.payload)
            await asyncio.sleep(1.0)

    run_virtually(main())
    told = [record.message for record in caplog.records if "phase 2" in record.message]
    assert told == ["Device head has a fault: phase 2 is missing"]


def test_a_head_meter_whose_clock_was_set_back_is_counted_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.bus.put("der/telemetry/head", _meter(5.0, 50))
            await asyncio.sleep(1.0)
            back = [_v1("head", type="meter", ts=NOW_MS + at, seq=seq, p_max_kw=None) for at, seq in ((7, 51), (8, 52))]
            rig.ingest.glance([Message("der/telemetry/head", payload) for payload in back])
            for payload in back:
                rig.bus.put("der/telemetry/head", payload)
            await asyncio.sleep(1.0)
            assert rig.outcomes() == {"accepted": 3.0}

    run_virtually(main())


def test_a_glance_that_fails_is_logged_and_the_next_one_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(feeder_id: str, p_kw: float) -> None:
        if p_kw == 6.0:
            raise RuntimeError(feeder_id)

    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.bus.put("der/telemetry/head", _meter(5.0, 1))
            await asyncio.sleep(1.0)
            monkeypatch.setattr(rig.ingest, "_on_metered", fails)
            rig.ingest.glance([Message("der/telemetry/head", _meter(p_kw, n)) for n, p_kw in ((2, 6.0), (3, 7.0))])
            row = rig.fleet.row("head")
            assert row is not None
            reading = rig.fleet.readings[row]
            assert reading is not None
            assert reading.p_actual_kw == 7.0

    run_virtually(main())
    assert "A message on der/telemetry/head could not be glanced at" in caplog.messages
