"""What holds whatever a driver says."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cosim.driver import Session, answers, ev, setpoints

AMP = 0.23
WRONG = ("{", '{"now": "never"}', '{"now": 1e6, "gone": ["nobody"]}', '{"now": 1e6, "devices": {"a": {"so": 1}}}')


def _powers(tree: Any) -> list[float]:
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in _powers(value)]
    if isinstance(tree, list):
        return [number for value in tree for number in _powers(value)]
    return [tree] if isinstance(tree, float) else []


@settings(max_examples=40, deadline=None)
@given(
    limits=st.tuples(st.floats(2.0, 40.0), st.floats(0.0, 20.0)),
    drop=st.floats(0.0, 1.0),
    cars=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 8), st.floats(0.0, 10.0), st.sampled_from(["site", "row"])),
        min_size=1,
        max_size=9,
    ),
    amps=st.booleans(),
    policy=st.sampled_from(["deficit", "least_laxity", "fair", "sessions", "equal", "priority", "proportional"]),
)
def test_in_lockstep_setpoints_fit_every_limit_and_every_charger(
    limits: tuple[float, float], drop: float, cars: list[tuple[int, int, float, str]], amps: bool, policy: str
) -> None:
    nodes = {"site": {"import_limit_kw": limits[0]}, "row": {"parent": "site", "import_limit_kw": limits[1]}}
    session = Session(nodes, policy=policy)
    charger = ev(p_max_kw=32 * AMP, p_min_kw=6 * AMP, p_step_kw=AMP) if amps else ev()
    left = {f"car-{number}": kwh for number, (_, _, kwh, _) in enumerate(cars)}
    drew: dict[str, float] = {}
    for step in range(12):
        if step == 6:
            limits = (limits[0] * drop, limits[1])
        devices, gone = {}, []
        for number, (comes, stays, _, node) in enumerate(cars):
            key = f"car-{number}"
            if comes <= step < comes + stays:
                devices[key] = {"p_actual_kw": drew.get(key, 0.0), "energy_needed_kwh": left[key], "ready_by": 4000.0}
            if step == comes:
                devices[key] |= charger | {"node": node}
            if step == comes + stays:
                gone.append(key)
        answer = session.tick(devices, gone=gone, nodes={"site": {"import_limit_kw": limits[0]}})
        told = setpoints(answer)
        assert told.keys() == devices.keys()
        assert sum(told.values()) <= limits[0] + 1e-6
        assert sum(kw for key, kw in told.items() if cars[int(key[4:])][3] == "row") <= limits[1] + 1e-6
        assert all(math.isfinite(number) for number in _powers(answer))
        for key, kw in told.items():
            assert kw == 0.0 or not amps or (kw / AMP > 5.999 and abs(kw / AMP - round(kw / AMP)) < 1e-6)
            drew[key] = min(kw, left[key] * 12)
            left[key] -= drew[key] / 12


@settings(max_examples=20, deadline=None)
@given(places=st.lists(st.tuples(st.integers(1, 6), st.sampled_from(WRONG)), max_size=5), powers=st.lists(
    st.floats(0.0, 7.0), min_size=6, max_size=6))  # fmt: skip
def test_wrong_lines_between_change_no_answer(places: list[tuple[int, str]], powers: list[float]) -> None:
    lines: list[Any] = [{"nodes": {"f": {"import_limit_kw": 9}}, "devices": {"a": ev(), "b": ev()}}]
    lines += [
        {"now": 300 * step, "devices": {"a": {"p_actual_kw": kw}, "b": {"p_actual_kw": 3.0}}}
        for step, kw in enumerate(powers)
    ]
    disturbed = list(lines)
    for place, wrong in places:
        disturbed.insert(place, wrong)
    said = answers(*disturbed)
    assert [answer for answer in said if "error" not in answer] == answers(*lines)
    assert sum("error" in answer for answer in said) == len(places)
