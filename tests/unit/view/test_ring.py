"""The ring of tracking errors against one that is as simple as can be: a list, one sample after the other."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.view import recent
from derms.view.ring import LONGEST_S, SLICE_MS, ErrorRing

SLICES = 125
AHEAD = 4
Sample = tuple[int, float, int, int]
"""Row, error [kW], instant [ms], sequence number."""
Sums = dict[int, tuple[int, float, float]]


class Plain:
    """The same in plain Python, which remembers the last so many samples of each device."""

    def __init__(self, remembers: int) -> None:
        self._remembers = remembers
        self._known: dict[int, list[tuple[int, int]]] = {}
        self._held: dict[int, list[tuple[int, int]]] = {}
        """Row and units of what counts, by slice of time; of those that share a line only one is there."""

    def add(self, sample: Sample, now_ms: int) -> None:
        row, error_kw, at_ms, seq = sample
        known = self._known.setdefault(row, [])
        if (at_ms, seq) in known[-self._remembers :]:
            return
        known.append((at_ms, seq))
        number, now = at_ms // SLICE_MS, now_ms // SLICE_MS
        if number not in self._held:
            in_its_place = [one for one in self._held if one % SLICES == number % SLICES]
            newer = any(number < one <= now + AHEAD for one in in_its_place)
            if newer or not now - SLICES < number <= now + AHEAD:
                return
            for one in in_its_place:
                del self._held[one]
        self._held.setdefault(number, []).append((row, round(error_kw * 2**36)))

    def sums(self, since_ms: int, until_ms: int) -> Sums:
        found: dict[int, list[int]] = {}
        for number, some in self._held.items():
            if since_ms // SLICE_MS <= number < until_ms // SLICE_MS:
                for row, units in some:
                    found.setdefault(row, []).append(units)
        return {
            row: (len(units), sum(units) / 2**36, sum(map(abs, units)) / 2**36) for row, units in sorted(found.items())
        }


def sums(ring: ErrorRing, since_ms: int, until_ms: int) -> Sums:
    found = ring.sums(since_ms, until_ms)
    of_row = zip(found.rows, found.samples, found.error_kw, found.abs_kw, strict=True)
    return {int(row): (int(count), float(error), float(size)) for row, count, error, size in sorted(of_row) if count}


instants = st.integers(-(LONGEST_S + 60) * 1000, 45_000) | st.sampled_from([0, -1, -10_000, -1_250_000])
errors = st.floats(-2e6, 2e6) | st.floats(-3.0, 3.0) | st.sampled_from([0.0, -0.0, 2048.0, -2048.0, 2.0**-37, -1e-12])
numbers = st.sampled_from([-1, 0, 1, 2, 2**31, 2**40, 2**63 - 1])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), st.integers(0, 4), errors, instants, numbers),
        st.tuples(st.just("again"), st.integers(0, 200)),
        st.tuples(st.just("clock"), st.integers(-2_000_000, 2_000_000) | st.integers(0, 12_000)),
        st.tuples(st.just("read"), st.integers(1, 130)),
    ),
    max_size=33,
)


@given(steps=steps)
def test_it_says_what_a_plain_list_says_whatever_comes_in_whichever_order(steps: list[Any]) -> None:
    ring, plain, now_ms = ErrorRing(), Plain(10**9), 10_000_000
    came: list[Sample] = []
    for step in [*steps, ("read", 130)]:
        match step:
            case "sample", int(row), float(error_kw), int(before_ms), int(seq):
                came.append((row, error_kw, now_ms + before_ms, seq))
            case "again", int(which) if came:
                came.append(came[which % len(came)])
            case "clock", int(by_ms):
                now_ms = max(now_ms + by_ms, 2_000_000)
                continue
            case "read", int(slices):
                until_ms = (now_ms // SLICE_MS + AHEAD + 1) * SLICE_MS
                assert sums(ring, until_ms - slices * SLICE_MS, until_ms) == plain.sums(
                    until_ms - slices * SLICE_MS, until_ms
                )
                continue
            case _:
                continue
        row, error_kw, at_ms, seq = came[-1]
        ring.add(row, error_kw, at_ms=at_ms, seq=seq, now_ms=now_ms)
        plain.add(came[-1], now_ms)


def crowd(rng: random.Random) -> Callable[[int], Sample]:
    """Many devices that report often and late; two of three are above and below their setpoint within ten seconds."""

    def sample(now_ms: int) -> Sample:
        row = rng.randrange(300)
        late_ms = rng.choice((0, 0, 0, rng.randrange(1_200_000)))
        return row, rng.uniform(-1.0 if row % 3 else 0.0, 1.0) * 10.0 ** rng.randrange(5), now_ms - late_ms, now_ms

    return sample


def test_a_crowd_is_summed_up_to_the_last_digit_however_it_is_cut_into_batches() -> None:
    rng = random.Random(7)
    ring, plain, sample, now_ms = ErrorRing(), Plain(10**9), crowd(rng), 10_000_000
    for _ in range(20_000):
        now_ms += rng.choice((0, 0, 1, 9))
        one = sample(now_ms)
        for _ in range(1 + (rng.random() < 0.1)):
            ring.add(one[0], one[1], at_ms=one[2], seq=one[3], now_ms=now_ms)
            plain.add(one, now_ms)
    for slices in (1, 2, 7, 60, 120):
        until_ms = (now_ms // SLICE_MS + 1) * SLICE_MS
        expected = plain.sums(until_ms - slices * SLICE_MS, until_ms)
        assert sums(ring, until_ms - slices * SLICE_MS, until_ms) == expected
        assert len(expected) == 300


@given(seed=st.integers(0, 10_000), read_every=st.integers(10, 160))
def test_more_than_32_others_may_make_a_sample_count_twice_and_fewer_never(seed: int, read_every: int) -> None:
    rng, ring = random.Random(seed), ErrorRing()
    forgets, remembers = Plain(33), Plain(10**9)
    came: list[Sample] = []
    for step in range(160):
        new = (rng.randrange(2), 1.0, 100_000 + rng.randrange(40_000), rng.randrange(3))
        came.append(rng.choice(came[-70:]) if came and rng.random() < 0.4 else new)
        row, error_kw, at_ms, seq = came[-1]
        ring.add(row, error_kw, at_ms=at_ms, seq=seq, now_ms=120_000)
        forgets.add(came[-1], 120_000)
        remembers.add(came[-1], 120_000)
        if step % read_every == 0:
            found = sums(ring, 100_000, 140_000)
            for row, (least, *_) in remembers.sums(100_000, 140_000).items():
                assert least <= found[row][0] <= forgets.sums(100_000, 140_000)[row][0]


@pytest.mark.parametrize("read", [False, True])
def test_a_sample_is_known_after_32_others(read: bool) -> None:
    ring = ErrorRing()
    for seq in (*range(33), 0):
        ring.add(0, 1.0, at_ms=100_000, seq=seq, now_ms=100_000)
        if read:
            ring.sums(0, 1)
    assert sums(ring, 100_000, 110_000) == {0: (33, 33.0, 33.0)}


def test_of_many_that_come_at_once_the_last_are_known() -> None:
    ring = ErrorRing()
    for seq in range(100):
        ring.add(0, 1.0, at_ms=100_000, seq=seq, now_ms=100_000)
    assert sums(ring, 100_000, 110_000) == {0: (100, 100.0, 100.0)}
    for seq in range(67, 100):
        ring.add(0, 1.0, at_ms=100_000, seq=seq, now_ms=100_000)
    assert sums(ring, 100_000, 110_000) == {0: (100, 100.0, 100.0)}


def test_a_late_sample_does_not_take_the_place_of_one_that_is_ahead_of_its_time() -> None:
    ring, now_ms = ErrorRing(), 10_000_000
    for seq, at_ms in enumerate((now_ms + 30_000, now_ms + 30_000 - 1_250_000)):  # 125 slices apart
        ring.add(0, 1.0, at_ms=at_ms, seq=seq, now_ms=now_ms)
        assert sums(ring, 0, 20_000_000) == {0: (1, 1.0, 1.0)}
    assert sums(ring, now_ms + 30_000, now_ms + 40_000) == {0: (1, 1.0, 1.0)}


@pytest.mark.parametrize("error_kw", [(1.0, -2.0), (5_000.0, 1.0), (-1e6, -1e6)])
def test_nothing_is_left_of_a_slice_whose_time_has_come_round_again(error_kw: tuple[float, float]) -> None:
    ring = ErrorRing()
    for lap in range(3):
        at_ms = 1_000_000 + lap * 1_250_000
        for seq in range(2):
            ring.add(0, error_kw[seq], at_ms=at_ms, seq=seq, now_ms=at_ms)
        assert sums(ring, 0, 10_000_000) == {0: (2, sum(error_kw), sum(map(abs, error_kw)))}


def test_a_device_that_floods_is_counted_beyond_255_in_ten_seconds() -> None:
    ring = ErrorRing()
    for seq in range(5_000):
        ring.add(3, (1.0, -2.0)[seq % 2], at_ms=100_000 + seq, seq=seq, now_ms=100_000)
    assert sums(ring, 100_000, 110_000) == {3: (5_000, -2_500.0, 7_500.0)}


def test_what_is_remembered_of_a_sample_is_its_own_within_24_days_and_two_thousand_million_numbers() -> None:
    # No multiple of a number (mod 2**64) comes nearer to 0 than its multiples by the denominators of the convergents
    # of its continued fraction (Lagrange).
    spread = recent._SPREAD % 2**64
    above, below, last, this, nearest = spread, 2**64, 1, 0, 2**64
    while below:
        above, below, last, this = below, above % below, this, above // below * this + last
        if 0 < this < 2**31:
            nearest = min(nearest, this * spread % 2**64, -this * spread % 2**64)
    assert nearest >= 2**31
