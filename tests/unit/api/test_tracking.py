"""How well devices follow: the ring against plain sums, and over a real server against the stored rows."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.model import DeviceKind, Role
from derms.view.ring import ErrorRing
from tests.asking import Asker
from tests.fakes_api import NOW_MS
from tests.live import LiveController

PATH = "/api/metrics/tracking-error"


def sums(ring: ErrorRing, since_s: int, until_s: int) -> dict[int, tuple[int, float, float]]:
    found = ring.sums(since_s * 1000, until_s * 1000)
    return {
        int(row): (int(count), float(error), float(size))
        for row, count, error, size in zip(found.rows, found.samples, found.error_kw, found.abs_kw, strict=True)
        if count
    }


def test_samples_are_summed_by_their_own_instant_and_the_end_is_not_inside() -> None:
    ring = ErrorRing()
    for at_s, error in ((100, 1.0), (109, -3.0), (110, 10.0), (120, 100.0)):
        ring.add(5, error, at_ms=at_s * 1000, seq=at_s, now_ms=125_000)
    assert sums(ring, 100, 120) == {5: (3, 8.0, 14.0)}
    assert sums(ring, 110, 130) == {5: (2, 110.0, 110.0)}


def test_a_sample_counts_once_however_often_and_late_it_comes() -> None:
    ring = ErrorRing()
    for at_s, seq in ((100, 1), (101, 2), (101, 2), (100, 1), (100, -1), (100, 7), (99, 0), (100, 7)):
        ring.add(0, 1.0, at_ms=at_s * 1000, seq=seq, now_ms=105_000)
    # (100, 1), (101, 2), (100, -1), (100, 7), (99, 0)
    assert sums(ring, 90, 110) == {0: (5, 5.0, 5.0)}


def test_what_is_older_than_the_ring_or_too_far_ahead_is_passed_over() -> None:
    ring = ErrorRing()
    for at_s in (10_000, 8_600, 10_030, 10_060):
        ring.add(0, 1.0, at_ms=at_s * 1000, seq=-1, now_ms=10_000_000)
    assert sums(ring, 0, 20_000) == {0: (2, 2.0, 2.0)}


def test_a_slice_is_emptied_when_its_time_comes_round_again_and_when_the_clock_was_set_back() -> None:
    ring = ErrorRing()
    for at_s in (10_000, 10_000 + 1_250, 10_000):  # the ring has 125 slices of 10 s
        ring.add(0, 1.0, at_ms=at_s * 1000, seq=at_s, now_ms=at_s * 1000 + 5)
    assert sums(ring, 10_000, 10_010) == {}  # the same sample once more, so it does not count
    ring.add(0, 2.0, at_ms=10_000_001, seq=1, now_ms=10_000_005)
    assert sums(ring, 10_000, 10_010) == {0: (1, 2.0, 2.0)}
    assert sums(ring, 11_250, 11_260) == {}


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    seed=st.integers(0, 9),
)
def test_sums_agree_with_exact_ones_to_the_last_digits(values: list[float], seed: int) -> None:
    ring, rng = ErrorRing(), random.Random(seed)
    for number, value in enumerate(values):
        ring.add(0, value, at_ms=100_000 + rng.randrange(600_000), seq=number, now_ms=700_000)
    count, error, size = sums(ring, 100, 710)[0]
    assert count == len(values)
    assert error == pytest.approx(math.fsum(values), abs=1e-9, rel=1e-15)
    assert size == pytest.approx(math.fsum(map(abs, values)), abs=1e-9, rel=1e-15)


def test_a_sum_that_is_beyond_all_measure_stays_at_its_end() -> None:
    ring = ErrorRing()
    for seq in range(200):
        ring.add(0, -2e6, at_ms=100_000, seq=seq, now_ms=100_000)
    assert sums(ring, 100, 110) == {0: (200, -(2.0**27), 2.0**27)}


def test_columns_grow_with_the_devices_and_keep_what_was_there() -> None:
    ring = ErrorRing()
    for row in range(200):
        ring.add(row, float(row), at_ms=100_000, seq=1, now_ms=100_000)
    assert sums(ring, 100, 110) == {row: (1, float(row), float(row)) for row in range(200)}


@pytest.fixture
def heard(live: LiveController) -> None:
    """From 10 s after the start on: `ev-1` is 0.5 kW above and then 1 below, `ev-2` 2 above, `pv-1` never told."""
    live.register("ev-1")
    live.register("ev-2", feeder_id="feeder-2")
    live.register("pv-1", DeviceKind.PV)
    clock: Any = live.clock
    live.hear("ev-1", 99.0, p_setpoint_kw=0.0, seq=0)
    for step, error in enumerate((0.5, -1.0)):
        clock.now = NOW_MS + 10_000 + 15_000 * step
        live.hear("ev-1", 3.0 + error, p_setpoint_kw=3.0, seq=step + 1)
        live.hear("ev-2", 4.0, p_setpoint_kw=2.0, seq=step + 1)
        live.hear("pv-1", -4.0, seq=step + 1)


@pytest.mark.usefixtures("heard")
async def test_the_error_is_of_the_window_and_of_whom_it_is_asked_for(ask: Asker) -> None:
    status, body = await ask("GET", PATH, role=Role.VIEWER)
    assert status == 200, body
    # now is 00:00:25; of the window of ten minutes only the time since the start is known
    assert (body["since"], body["until"], body["window_s"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", 30)
    _, body = await ask("GET", PATH, query={"window_s": "15", "sort": "-mean_kw"})
    assert (body["since"], body["window_s"]) == ("2026-01-01T00:00:10Z", 20)
    assert [tuple(one.values()) for one in body["devices"]] == [
        ("ev-2", "feeder-2", 2.0, 2.0, 2),
        ("ev-1", "feeder-1", -0.25, 0.75, 2),
    ]
    assert (body["mean_kw"], body["mean_abs_kw"], body["samples"]) == (0.875, 1.375, 4)
    _, body = await ask("GET", PATH, query={"window_s": "15", "feeder_id": "feeder-2"})
    assert ([one["device_id"] for one in body["devices"]], body["mean_kw"]) == (["ev-2"], 2.0)
    _, body = await ask("GET", PATH, query={"device_id": "pv-1"})
    assert (body["devices"], body["mean_kw"], body["samples"]) == ([], None, 0)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("sort", ["device_id", "-device_id", "mean_kw", "-mean_abs_kw", "samples"])
async def test_pages_join_to_the_whole(sort: str, ask: Asker) -> None:
    _, whole = await ask("GET", PATH, query={"sort": sort})
    _, first = await ask("GET", PATH, query={"sort": sort, "limit": "1"})
    _, second = await ask("GET", PATH, query={"sort": sort, "limit": "1", "cursor": first["next_cursor"]})
    assert first["devices"] + second["devices"] == whole["devices"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"window_s": "9"}, 422),
        ({"window_s": "1201"}, 422),
        ({"window_s": "ten"}, 422),
        ({"sort": "feeder_id"}, 422),
        ({"feeder_id": "nope"}, 404),
        ({"device_id": "nobody"}, 404),
    ],
)
async def test_what_cannot_be_meant_is_refused(query: dict[str, str], status: int, ask: Asker) -> None:
    assert (await ask("GET", PATH, query=query))[0] == status
