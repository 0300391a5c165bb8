"""What may be sent without the lease: nothing that makes more possible than there was."""

import dataclasses

import numpy as np
import pytest

from derms.columns import REVERT_S, Decision, DeviceColumns
from derms.control.caretaking import only_safe
from derms.model import DeviceKind
from tests.unit.control.fleets import PARAMS, Row, columns, feeder, tick


def _decided(target_kw: float, row: Row) -> tuple[Decision, DeviceColumns]:
    decision, _ = tick([row], feeder(100.0))
    told = np.array([target_kw])
    return dataclasses.replace(decision, target_kw=told, send=np.array([True])), columns([row])


def _told(lease_kw: float, left_s: float = 5.0) -> Row:
    return Row(
        kind=DeviceKind.BATTERY, p_export_max_kw=7.0, lease_kw=lease_kw, lease_left_s=left_s, may_kw=lease_kw,
        may_left_s=left_s + REVERT_S,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lease_kw", "target_kw", "safe_kw"),
    [
        (3.0, 5.0, 3.0),  # a raise is a renewal
        (3.0, 2.0, 2.0),
        (3.0, -2.0, 0.0),  # not from import to export
        (0.0, 4.0, 0.0),
        (0.0, -4.0, 0.0),
        (-3.0, -5.0, -3.0),  # no more export either
        (-3.0, -1.0, -1.0),
        (-3.0, 4.0, 0.0),
    ],
)
def test_a_lease_is_renewed_or_moved_towards_nothing(lease_kw: float, target_kw: float, safe_kw: float) -> None:
    decision, devices = _decided(target_kw, _told(lease_kw))
    safe = only_safe(decision, devices, PARAMS, keeps=True)
    assert safe.send.tolist() == [True]
    assert safe.target_kw.tolist() == [safe_kw]


def test_a_lease_is_not_begun_and_one_that_is_over_not_renewed() -> None:
    for row in (Row(), _told(3.0, left_s=-1.0)):
        decision, devices = _decided(2.0, row)
        assert only_safe(decision, devices, PARAMS, keeps=True).send.tolist() == [False]


def test_a_lease_that_is_as_it_was_is_renewed_only_when_that_is_due() -> None:
    decision, devices = _decided(5.0, _told(3.0, left_s=PARAMS.lease_s))
    assert only_safe(decision, devices, PARAMS, keeps=True).send.tolist() == [False]


def test_who_stands_by_sends_nothing() -> None:
    decision, devices = _decided(1.0, _told(3.0))
    assert only_safe(decision, devices, PARAMS, keeps=False).send.tolist() == [False]
