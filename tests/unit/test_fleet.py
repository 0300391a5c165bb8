from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.fleet import Fleet
from derms.model import Device, DeviceKind, Dialect, Enrolment, Outcome, Setpoint, Telemetry
from tests.fakes_contract import NOW_MS, lease

ONE = np.array([0])
"""The first device, and the first node."""
EV = Device(device_id="ev-001", kind=DeviceKind.EV, feeder_id="feeder-1", p_import_max_kw=7.0)


def _reading(**said: object) -> Telemetry:
    base = Telemetry(device_id="ev-001", kind=DeviceKind.EV, at_ms=NOW_MS, p_actual_kw=3.0, seq=1)
    return msgspec.structs.replace(base, **said)


def _may_kw(fleet: Fleet, now_s: float) -> float:
    return float(fleet.columns(ONE, ONE, now_s=now_s, now_ms=NOW_MS).may_kw[0])


def _with_lease(*leases: Setpoint) -> Fleet:
    fleet = Fleet()
    fleet.register(EV)
    for each in leases:
        fleet.commanded(0, each, now_s=100.0)
    return fleet


def test_a_lowered_lease_may_still_be_exceeded_until_it_is_acknowledged() -> None:
    fleet = _with_lease(lease(p_setpoint_kw=7.0, seq=1), lease(p_setpoint_kw=2.0, seq=2))
    assert _may_kw(fleet, 101.0) == 7.0
    fleet.observe(0, _reading(applied_epoch=7, applied_seq=1), now_s=102.0)
    assert _may_kw(fleet, 102.0) == 7.0
    fleet.observe(0, _reading(at_ms=NOW_MS + 1, applied_epoch=7, applied_seq=2), now_s=103.0)
    assert _may_kw(fleet, 103.0) == 2.0
    assert fleet.acknowledged(0)


def test_the_room_of_a_lease_is_free_once_it_is_over_and_the_device_has_come_back_down() -> None:
    # a lease of 90 s from 100 s on, and 10 s for the ramp to the default
    fleet = _with_lease(lease(p_setpoint_kw=7.0))
    assert _may_kw(fleet, 199.0) == 7.0
    assert np.isnan(_may_kw(fleet, 201.0))


def test_renewing_at_the_same_power_keeps_the_acknowledgement() -> None:
    fleet = _with_lease(lease(seq=1))
    fleet.observe(0, _reading(applied_epoch=7, applied_seq=1), now_s=101.0)
    fleet.commanded(0, lease(seq=2), now_s=110.0)
    assert fleet.acknowledged(0)
    fleet.commanded(0, lease(seq=3, p_setpoint_kw=1.0), now_s=120.0)
    assert not fleet.acknowledged(0)


def test_a_device_that_reacts_more_slowly_than_it_is_told_follows_any_lease_of_the_same_power() -> None:
    # 5 kW, then 2 kW three times in a row: naming the first of those it follows 2 kW, whatever the renewals did
    fleet = _with_lease(lease(p_setpoint_kw=5.0, seq=1), *(lease(p_setpoint_kw=2.0, seq=seq) for seq in (2, 3, 4)))
    fleet.observe(0, _reading(applied_epoch=7, applied_seq=1), now_s=102.0)
    assert _may_kw(fleet, 102.0) == 5.0
    fleet.observe(0, _reading(at_ms=NOW_MS + 1, applied_epoch=7, applied_seq=2), now_s=103.0)
    assert _may_kw(fleet, 103.0) == 2.0


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from([0.0, 2.0, -3.0]), st.integers(7, 8)), min_size=3, max_size=3),
            st.sampled_from([1.0, 40.0, 150.0]),
            st.lists(st.booleans(), min_size=3, max_size=3),
        ),
        max_size=5,
    )
)
def test_leases_noted_together_come_to_the_same_as_one_after_the_other(
    rounds: list[tuple[list[tuple[float, int]], float, list[bool]]],
) -> None:
    fleets = (Fleet(), Fleet())
    kinds = (DeviceKind.EV, DeviceKind.BATTERY, DeviceKind.PV)
    for fleet in fleets:
        for kind in kinds:
            fleet.register(
                Device(
                    device_id=kind.value, kind=kind, feeder_id="f", p_import_max_kw=7.0, p_export_max_kw=5.0,
                    default_power_kw=1.4,
                )
            )  # fmt: skip
    now_s, seq = 100.0, 0
    for told, later_s, speaks in rounds:
        now_s += later_s
        leases = [
            lease(device_id=kind.value, kind=kind, p_setpoint_kw=p_kw, epoch=epoch, seq=seq + row)
            for row, (kind, (p_kw, epoch)) in enumerate(zip(kinds, told, strict=True))
        ]
        seq += 3
        fleets[0].all_commanded(np.arange(3), leases, now_s=now_s)
        for row, each in enumerate(leases):
            fleets[1].commanded(row, each, now_s=now_s)
        for row, each in enumerate(leases):
            if speaks[row]:
                said = Telemetry(
                    device_id=each.device_id, kind=each.kind, at_ms=NOW_MS + seq, p_actual_kw=each.p_setpoint_kw,
                    applied_epoch=each.epoch, applied_seq=each.seq,
                )  # fmt: skip
                for fleet in fleets:
                    fleet.observe(row, said, now_s=now_s + 1.0)
    assert fleets[0].leases == fleets[1].leases
    for name in ("_floats", "_ints"):
        for key, column in getattr(fleets[0], name).items():
            np.testing.assert_array_equal(column, getattr(fleets[1], name)[key], err_msg=key)


@pytest.mark.parametrize(
    ("said", "follows"),
    [
        ({"dialect": Dialect.PLAIN, "p_setpoint_kw": 3.6}, True),
        ({"dialect": Dialect.PLAIN, "p_setpoint_kw": 6.0}, False),
        ({"dialect": Dialect.ENVELOPE, "p_actual_kw": 3.5}, True),
        ({"dialect": Dialect.ENVELOPE, "p_actual_kw": 5.0}, False),
        ({"p_setpoint_kw": 3.6}, True),  # v1, but it never says `applied`
        ({"p_setpoint_kw": 6.0}, False),
        ({"applied_epoch": 7, "applied_seq": 1, "p_setpoint_kw": 3.6}, False),  # it can say, and says another
    ],
)
def test_a_device_that_names_no_lease_is_judged_by_what_it_does(said: dict[str, object], follows: bool) -> None:
    fleet = _with_lease(lease(p_setpoint_kw=3.6))
    fleet.observe(0, _reading(**said), now_s=101.0)
    assert fleet.acknowledged(0) is follows


def test_a_lease_that_was_not_delivered_is_due_again_but_its_room_stays_taken() -> None:
    given = lease(p_setpoint_kw=5.0)
    fleet = _with_lease(given)
    fleet.undelivered(0, given)
    columns = fleet.columns(ONE, ONE, now_s=101.0, now_ms=NOW_MS)
    assert columns.lease_left_s[0] < 0
    assert columns.may_kw[0] == 5.0


def test_an_older_reading_and_the_same_one_again_change_nothing() -> None:
    fleet = Fleet()
    fleet.register(EV)
    assert fleet.observe(0, _reading(), now_s=1.0) is Outcome.ACCEPTED
    assert fleet.observe(0, _reading(), now_s=2.0) is Outcome.DUPLICATE
    assert fleet.observe(0, _reading(at_ms=NOW_MS - 1, p_actual_kw=9.0), now_s=3.0) is Outcome.OUT_OF_ORDER
    assert fleet.observe(0, _reading(seq=2, p_actual_kw=4.0), now_s=4.0) is Outcome.ACCEPTED
    reading = fleet.readings[0]
    assert reading is not None
    assert reading.p_actual_kw == 4.0
    assert fleet.age_s(0, now_s=5.0) == 1.0


def test_rows_come_in_order_of_id_and_without_retired_or_quarantined_devices() -> None:
    fleet = Fleet()
    for name, enrolment in (("c", Enrolment.ACTIVE), ("a", Enrolment.ACTIVE), ("b", Enrolment.RETIRED)):
        fleet.register(replace(EV, device_id=name, enrolment=enrolment))
    assert [fleet.devices[row].device_id for row in fleet.rows_of("feeder-1")] == ["a", "c"]
    fleet.register(replace(EV, device_id="b"))
    assert [fleet.devices[row].device_id for row in fleet.rows_of("feeder-1")] == ["a", "b", "c"]
    fleet.register(replace(EV, device_id="b", feeder_id="feeder-2"))
    assert [fleet.devices[row].device_id for row in fleet.rows_of("feeder-1")] == ["a", "c"]


def test_a_retired_device_keeps_its_room_and_is_told_nothing_until_its_leases_are_over() -> None:
    fleet = Fleet()
    row = fleet.register(EV)
    # 90 s of lease, and 10 s to reach its default control: nobody may have its room before 100 s are over
    fleet.commanded(row, lease(p_setpoint_kw=5.0), now_s=0.0)
    fleet.register(replace(EV, enrolment=Enrolment.RETIRED))
    rows = fleet.rows_of("feeder-1")
    columns = fleet.columns(rows, np.zeros(1, dtype=np.int64), now_s=1.0, now_ms=NOW_MS)
    assert (columns.may_kw[0], bool(columns.controllable[0])) == (5.0, False)
    fleet.let_go(now_s=99.0)
    assert fleet.rows_of("feeder-1").tolist() == [row]
    fleet.let_go(now_s=100.0)
    assert fleet.rows_of("feeder-1").size == 0
    # one that comes back in between takes part again
    fleet.commanded(row, lease(p_setpoint_kw=5.0, seq=1203), now_s=200.0)
    for enrolment in (Enrolment.RETIRED, Enrolment.ACTIVE):
        fleet.register(replace(EV, enrolment=enrolment))
    fleet.let_go(now_s=1000.0)
    assert fleet.rows_of("feeder-1").tolist() == [row]


def test_the_columns_grow_with_the_fleet_and_keep_what_was_there() -> None:
    fleet = Fleet()
    for number in range(200):
        row = fleet.register(replace(EV, device_id=f"ev-{number:03d}"))
        fleet.observe(row, _reading(device_id=f"ev-{number:03d}", p_actual_kw=float(number)), now_s=1.0)
    columns = fleet.columns(fleet.rows_of("feeder-1"), np.zeros(200, dtype=np.int64), now_s=2.0, now_ms=NOW_MS)
    assert columns.p_actual_kw.tolist() == [float(number) for number in range(200)]


def test_live_leases_of_an_earlier_run_are_taken_over_with_what_is_left_of_them() -> None:
    fleet = Fleet()
    fleet.register(EV, spoke=True)
    stranger = lease(device_id="gone")
    over = lease(valid_until_ms=NOW_MS - 1)
    assert fleet.resume([lease(p_setpoint_kw=5.0), stranger], now_s=0.0, now_ms=NOW_MS + 60_000) == 1
    assert _may_kw(fleet, 39.0) == 5.0
    assert np.isnan(_may_kw(fleet, 41.0))
    assert fleet.resume([over], now_s=0.0, now_ms=NOW_MS) == 0


def test_a_row_that_begins_anew_knows_nothing_of_before_and_keeps_its_registration() -> None:
    fleet = _with_lease(lease(p_setpoint_kw=7.0))
    fleet.observe(0, _reading(soc=0.4), now_s=101.0)
    fleet.begin_anew(0)
    assert fleet.leases[0] is None
    assert np.isinf(fleet.age_s(0, now_s=102.0))
    assert np.isnan(_may_kw(fleet, 102.0))
    assert not fleet.acknowledged(0)
    assert fleet.devices[0] == EV
    assert fleet.observe(0, _reading(), now_s=102.0) is Outcome.ACCEPTED
