"""When a lease that has not changed is sent again."""

from dataclasses import replace

import numpy as np

from derms.columns import Memory, Params, Picture
from derms.control.decide import decide
from tests.unit.control.fleets import Row, columns, feeder

FAST = Params(interval_s=1.0)


def _sent(rows: list[Row], limit_kw: float, params: Params = FAST) -> list[bool]:
    picture = Picture(dt_s=params.interval_s, nodes=feeder(limit_kw), constraints=(), devices=columns(rows))
    return [bool(sent) for sent in decide(picture, Memory.empty(len(rows)), params)[0].send]


def _follows(kw: float, left_s: float, default_power_kw: float = 0.0, stagger: float = 0.0) -> Row:
    return Row(p_actual_kw=kw, lease_kw=kw, may_kw=kw, may_low_kw=kw, lease_left_s=left_s, may_left_s=left_s + 10.0,
               acknowledged_s=20.0, told_s=np.inf, available_kw=kw, p_import_max_kw=7.0,
               default_power_kw=default_power_kw, stagger=stagger)  # fmt: skip


def test_a_lease_is_renewed_at_a_third_of_its_life_and_two_ticks() -> None:
    # 30 / 3 + 2 x 1
    assert _sent([_follows(7.0, 12.1), _follows(7.0, 12.0)], 50.0) == [False, True]


def test_a_device_whose_turn_is_early_renews_a_fifth_of_the_life_earlier() -> None:
    rows = [_follows(7.0, 17.9, stagger=0.0), _follows(7.0, 17.9, stagger=0.5), _follows(7.0, 17.9, stagger=0.99)]
    assert _sent(rows, 500.0) == [False, False, True]


def test_a_lease_that_lives_short_so_that_others_outlive_it_is_renewed_by_its_own_life() -> None:
    # default controls of 5 kW beside a lease of 7: together they would pass 10 kW, so the 7 live 15 s only
    other = _follows(0.0, 29.0, default_power_kw=5.0)
    assert _sent([_follows(7.0, 7.1), other], 10.0)[0] is False
    assert _sent([_follows(7.0, 7.0), other], 10.0)[0] is True
    assert _sent([_follows(7.0, 15.1), other], 10.0)[0] is True, "it would live for longer than it is to"


def test_a_lease_below_its_default_is_renewed_while_it_outlives_the_others_by_less_than_two_ticks() -> None:
    # those above their default live 15 s and are down 10 s later, which is ten slots of 2.5 s
    high = _follows(7.0, 14.0)
    assert [_sent([high, _follows(0.0, left_s, default_power_kw=5.0)], 10.0)[1] for left_s in (27.0, 26.9)] == [
        False,
        True,
    ]
    unseen = replace(_follows(0.0, 29.0, default_power_kw=5.0), acknowledged_s=-np.inf)
    assert _sent([high, unseen], 10.0)[1] is True
    # with the usual interval none lasts that long
    assert _sent([high, _follows(0.0, 29.9, default_power_kw=5.0)], 10.0, Params())[1] is True
