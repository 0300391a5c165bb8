"""What every store does, run on the fake and on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from derms.errors import ConflictError, NotFoundError, UsageError
from derms.model import (
    Author,
    Device,
    DeviceKind,
    Dialect,
    DrProgram,
    Enrolment,
    Feeder,
    FeederMode,
    Origin,
    OverrideKind,
    Policy,
    ProgramKind,
)
from derms.ports import (
    EventReader,
    EventStore,
    MemoryStore,
    OverrideStore,
    ProgramStore,
    RecordBatch,
    RecordStore,
    RegistrationStore,
    RegistryStore,
)
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_store import T0, FakeStore, decision, event, memory, override, program, sample, setpoint


class AnyStore(
    RecordStore,
    RegistryStore,
    RegistrationStore,
    EventStore,
    EventReader,
    ProgramStore,
    OverrideStore,
    MemoryStore,
    Protocol,
):
    async def counts(self) -> dict[str, int]: ...


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    if request.param == "fake":
        yield FakeStore()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


def batch() -> RecordBatch:
    return RecordBatch(
        samples=[sample(n) for n in range(20)],
        setpoints=[setpoint(n) for n in range(3)],
        decisions=[decision(n) for n in range(2)],
    )


async def test_a_batch_written_twice_leaves_one_copy(store: AnyStore) -> None:
    await store.write(batch())
    await store.write(batch())
    counts = await store.counts()
    assert [counts[name] for name in ("telemetry", "setpoints", "decisions")] == [20, 3, 2]


async def test_a_batch_that_overlaps_an_earlier_one_adds_only_what_is_new(store: AnyStore) -> None:
    await store.write(RecordBatch(samples=[sample(n) for n in range(10)]))
    await store.write(RecordBatch(samples=[sample(n) for n in range(5, 15)]))
    assert (await store.counts())["telemetry"] == 15


async def test_the_same_row_twice_in_one_batch_is_stored_once(store: AnyStore) -> None:
    await store.write(RecordBatch(samples=[sample(1), sample(1)], setpoints=[setpoint(1), setpoint(1)]))
    counts = await store.counts()
    assert (counts["telemetry"], counts["setpoints"]) == (1, 1)


async def test_two_samples_of_one_instant_with_other_sequence_numbers_are_two(store: AnyStore) -> None:
    at_ms = sample().telemetry.at_ms
    await store.write(RecordBatch(samples=[sample(seq, at_ms=at_ms) for seq in (1, 2, None)]))
    assert (await store.counts())["telemetry"] == 3


async def test_an_empty_batch_changes_nothing(store: AnyStore) -> None:
    await store.write(RecordBatch())
    assert (await store.counts())["telemetry"] == 0


async def test_a_feeder_comes_back_as_it_was_saved_and_is_replaced(store: AnyStore) -> None:
    root = Feeder(feeder_id="f0", name="Root", import_limit_kw=100.0)
    leaf = Feeder(
        feeder_id="f1",
        parent_id="f0",
        export_limit_kw=0.0,
        margin_kw=1.5,
        assumed_unmetered_kw=-2.0,
        mode=FeederMode.ADVISE,
        policy=Policy.LEAST_LAXITY,
    )
    await store.save_feeders([root])
    await store.save_feeders([leaf])
    assert await store.load_feeders() == [root, leaf]
    changed = replace(leaf, mode=FeederMode.OFF, export_limit_kw=None)
    await store.save_feeders([changed])
    assert await store.load_feeders() == [root, changed]


async def test_devices_come_back_as_they_were_saved_and_are_replaced(store: AnyStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    plain = Device(device_id="a", kind=DeviceKind.LOAD, feeder_id="f0")
    full = Device(
        device_id="b",
        kind=DeviceKind.BATTERY,
        feeder_id="f0",
        site_id="house-01",
        origin=Origin.PHYSICAL,
        enrolment=Enrolment.QUARANTINED,
        dialect=Dialect.ENVELOPE,
        soc_in_percent=True,
        p_import_max_kw=5.0,
        p_export_max_kw=4.5,
        p_min_kw=1.4,
        p_step_kw=0.23,
        capacity_kwh=13.5,
        min_soc_reserve=0.1,
        target_soc=0.9,
        priority=9,
        default_power_kw=-0.5,
        ready_by=T0,
        gateway_id="gw-1",
    )
    await store.save_devices([full, plain])
    assert await store.load_devices() == [plain, full]
    await store.save_devices([replace(full, enrolment=Enrolment.RETIRED)])
    assert await store.load_devices() == [plain, replace(full, enrolment=Enrolment.RETIRED)]


async def test_devices_of_an_unknown_feeder_are_refused_together(store: AnyStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    good = Device(device_id="a", kind=DeviceKind.LOAD, feeder_id="f0")
    with pytest.raises(NotFoundError):
        await store.save_devices([good, replace(good, device_id="b", feeder_id="nowhere")])
    assert await store.load_devices() == []


async def test_a_feeder_below_an_unknown_one_is_refused(store: AnyStore) -> None:
    with pytest.raises(NotFoundError):
        await store.save_feeders([Feeder(feeder_id="f1", parent_id="nowhere")])


async def test_feeders_are_saved_together_parents_first_or_not_at_all(store: AnyStore) -> None:
    tree = [Feeder(feeder_id="z"), Feeder(feeder_id="b", parent_id="z"), Feeder(feeder_id="a", parent_id="b")]
    await store.save_feeders(tree)
    assert await store.load_feeders() == tree[::-1]
    with pytest.raises(NotFoundError):
        await store.save_feeders([Feeder(feeder_id="c"), Feeder(feeder_id="d", parent_id="nowhere")])
    assert len(await store.load_feeders()) == 3


ALICE = Author("alice", "r1")
CHARGER = Device(device_id="a", kind=DeviceKind.EV, feeder_id="f0", priority=3, site_id="house")


async def test_a_device_is_added_once_with_one_audit_line(store: AnyStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    await store.add_device(CHARGER, by=ALICE)
    with pytest.raises(ConflictError):
        await store.add_device(replace(CHARGER, priority=9), by=ALICE)
    with pytest.raises(NotFoundError):
        await store.add_device(replace(CHARGER, device_id="b", feeder_id="nowhere"), by=ALICE)
    assert await store.load_devices() == [CHARGER]
    assert (await store.counts())["audit_log"] == 1


async def test_a_change_of_a_device_leaves_what_others_wrote_meanwhile(store: AnyStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    await store.save_devices([replace(CHARGER, dialect=Dialect.PLAIN, soc_in_percent=True)])
    wanted = replace(CHARGER, priority=8, site_id=None, ready_by=T0)
    await store.change_device(wanted, {"priority", "site_id", "ready_by"}, action="device.change", by=ALICE)
    assert await store.load_devices() == [replace(wanted, dialect=Dialect.PLAIN, soc_in_percent=True)]
    with pytest.raises(NotFoundError):
        await store.change_device(
            replace(wanted, feeder_id="nowhere"), {"feeder_id"}, action="device.change", by=ALICE
        )  # fmt: skip
    assert (await store.counts())["audit_log"] == 1


async def test_a_device_that_has_not_reached_the_store_is_stored_whole_by_its_first_change(store: AnyStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    await store.change_device(CHARGER, {"priority"}, action="device.adopt", by=ALICE)
    assert await store.load_devices() == [CHARGER]


async def test_a_feeder_is_added_and_changed_with_a_line_each(store: AnyStore) -> None:
    root, leaf = Feeder(feeder_id="f0", import_limit_kw=50.0), Feeder(feeder_id="f1", parent_id="f0")
    for one in (root, leaf):
        await store.add_feeder(one, by=ALICE)
    with pytest.raises(ConflictError):
        await store.add_feeder(root, by=ALICE)
    with pytest.raises(NotFoundError):
        await store.add_feeder(Feeder(feeder_id="f2", parent_id="nowhere"), by=ALICE)
    changed = replace(root, import_limit_kw=None, mode=FeederMode.ADVISE, margin_kw=7.0)
    await store.change_feeder(changed, {"import_limit_kw", "mode"}, by=ALICE)
    assert await store.load_feeders() == [replace(changed, margin_kw=0.0), leaf]
    assert (await store.counts())["audit_log"] == 3


async def test_a_line_may_be_all_there_is_to_be_kept(store: AnyStore) -> None:
    await store.note("simulation.mode", "der", after={"mode": "night"}, by=ALICE)
    assert (await store.counts())["audit_log"] == 1


async def test_an_event_is_stored_with_one_audit_line_and_only_once(store: AnyStore) -> None:
    await store.add_event(event(), by=Author("alice", "r1"))
    with pytest.raises(ConflictError):
        await store.add_event(event(), by=Author("alice", "r2"))
    assert await store.unfinished_events(T0) == [event()]
    assert (await store.counts())["audit_log"] == 1


@pytest.mark.parametrize(
    ("now_h", "expected"),
    # running [0, 2), future [3, 4), cancelled [0, 9): at 2 h the first is over, as the end does not belong to it
    [(0.0, ["running", "future"]), (1.9, ["running", "future"]), (2.0, ["future"]), (4.0, [])],
)
async def test_events_are_unfinished_until_their_end(store: AnyStore, now_h: float, expected: list[str]) -> None:
    written: list[Any] = [
        event("future", start_h=3, end_h=4),
        event("running", start_h=0, end_h=2),
        event("cancelled", start_h=0, end_h=9, cancelled=True),
    ]
    for one in written:
        await store.add_event(one, by=Author("alice", "r"))
    found = await store.unfinished_events(T0 + timedelta(hours=now_h))
    assert [one.event_id for one in found] == expected


async def test_a_program_comes_back_as_it_was_added_with_one_audit_line(store: AnyStore) -> None:
    capped = program("b", active=True)
    priced = program(
        "a", kind=ProgramKind.PRICE_ELASTIC, feeder_ids=(), target_shed_kw=0.0, incentive_per_kwh=0.3,
        penalty_per_kwh=0.1,
    )  # fmt: skip
    await store.add_program(capped, by=Author("alice", "r1"))
    await store.add_program(priced, by=Author("alice", "r2"))
    assert await store.load_programs() == [priced, capped]
    assert (await store.counts())["audit_log"] == 2


async def test_a_program_of_a_taken_id_or_name_is_refused_and_leaves_no_line(store: AnyStore) -> None:
    await store.add_program(program("a"), by=Author("alice", "r1"))
    for taken in (program("a", name="Another"), program("b", name="Program a")):
        with pytest.raises(ConflictError):
            await store.add_program(taken, by=Author("alice", "r2"))
    assert await store.load_programs() == [program("a")]
    assert (await store.counts())["audit_log"] == 1


def _switched(active: bool) -> Callable[[DrProgram], DrProgram]:
    return lambda program: replace(program, active=active)


async def test_a_program_is_switched_and_removed_with_a_line_each(store: AnyStore) -> None:
    await store.add_program(program("a"), by=Author("alice", "r1"))
    switched = await store.change_program("a", "program.activate", _switched(True), by=Author("bob", "r2"))
    assert await store.load_programs() == [switched] == [program("a", active=True)]
    await store.change_program("a", "program.deactivate", _switched(False), by=Author("bob", "r3"))
    assert await store.load_programs() == [program("a")]
    await store.delete_program("a", by=Author("bob", "r4"))
    assert await store.load_programs() == []
    assert (await store.counts())["audit_log"] == 4


async def test_a_program_never_takes_the_name_of_another(store: AnyStore) -> None:
    await store.add_program(program("a"), by=Author("alice", "r1"))
    await store.add_program(program("b"), by=Author("alice", "r2"))
    with pytest.raises(ConflictError):
        await store.change_program(
            "b", "program.amend", lambda one: replace(one, name="Program a"), by=Author("alice", "r3")
        )
    assert await store.load_programs() == [program("a"), program("b")]
    assert (await store.counts())["audit_log"] == 2


async def test_a_program_that_is_not_there_cannot_be_changed(store: AnyStore) -> None:
    with pytest.raises(NotFoundError):
        await store.change_program("a", "program.activate", _switched(True), by=Author("bob", "r"))
    with pytest.raises(NotFoundError):
        await store.delete_program("a", by=Author("bob", "r"))
    assert (await store.counts())["audit_log"] == 0


async def _with_devices(store: AnyStore, *device_ids: str) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    await store.save_devices([Device(device_id=one, kind=DeviceKind.EV, feeder_id="f0") for one in device_ids])


async def test_overrides_live_until_their_end(store: AnyStore) -> None:
    await _with_devices(store, "a", "b")
    held, blocked = override("b", until_h=1), override("a", until_h=2, kind=OverrideKind.BLOCK, p_kw=None)
    for one in (held, blocked):
        await store.put_override(one, by=Author("alice", "r"))
    assert await store.live_overrides(T0) == [blocked, held]
    assert await store.live_overrides(T0 + timedelta(hours=1)) == [blocked]  # the end is not inside
    assert await store.live_overrides(T0 + timedelta(hours=2)) == []
    assert (await store.counts())["audit_log"] == 2


async def test_a_newer_override_replaces_the_one_before_and_can_be_taken_off_once(store: AnyStore) -> None:
    await _with_devices(store, "a")
    await store.put_override(override("a"), by=Author("alice", "r1"))
    newer = override("a", kind=OverrideKind.BLOCK, p_kw=None, reason="smoke")
    await store.put_override(newer, by=Author("bob", "r2"))
    assert await store.live_overrides(T0) == [newer]
    await store.clear_override("a", by=Author("bob", "r3"))
    assert await store.live_overrides(T0) == []
    with pytest.raises(NotFoundError):
        await store.clear_override("a", by=Author("bob", "r4"))
    assert (await store.counts())["audit_log"] == 3


async def test_an_override_that_cannot_be_meant_is_refused_and_leaves_no_line(store: AnyStore) -> None:
    await _with_devices(store, "a")
    wrong = [
        override("a", p_kw=None),  # a hold, at what?
        override("a", kind=OverrideKind.BLOCK),  # a block at 3.5 kW
        override("a", until=T0 - timedelta(minutes=1)),  # ends as it begins
    ]
    for one in wrong:
        with pytest.raises(UsageError):
            await store.put_override(one, by=Author("alice", "r"))
    with pytest.raises(NotFoundError):
        await store.put_override(override("nobody"), by=Author("alice", "r"))
    assert await store.live_overrides(T0) == []
    assert (await store.counts())["audit_log"] == 0


async def test_the_newest_memory_of_each_root_is_kept(store: AnyStore) -> None:
    await store.write(RecordBatch(memories=[memory("b", at_s=1.234, payload=b'{"n": 1}'), memory("a")]))
    await store.write(RecordBatch(samples=[sample(1)], memories=[memory("b", at_s=2, payload=b'{"n": 2}')]))
    assert await store.load_memories() == [memory("a"), memory("b", at_s=2, payload=b'{"n": 2}')]


@pytest.mark.parametrize(
    ("at_s", "epoch", "kept"),
    # over one of epoch 5 at 60 s
    [(59.999, 5, False), (60.0, 5, True), (61.0, 5, True), (0.0, 6, True), (999.0, 4, False)],
)
async def test_an_older_memory_never_replaces_a_newer_one(store: AnyStore, at_s: float, epoch: int, kept: bool) -> None:
    before = memory(at_s=60, epoch=5, payload=b'{"n": 1}')
    after = memory(at_s=at_s, epoch=epoch, payload=b'{"n": 2}')
    await store.write(RecordBatch(memories=[before]))
    await store.write(RecordBatch(memories=[after]))
    assert await store.load_memories() == [after if kept else before]
