"""Whether what a story expects came true; every miss is a sentence with the numbers in it."""

import numpy as np

from derms.model import DeviceKind
from tests.scenarios.observer import Sent
from tests.scenarios.physics import Floats
from tests.scenarios.stage import Stage
from tests.scenarios.story import Expect, named


def misses(stage: Stage) -> list[str]:
    """Everything that did not come as expected."""
    story, observer = stage.story, stage.observer
    found = [
        f"{s.node} above its {s.direction} limit for {s.seconds:.1f} s from {s.start_s:.1f} s, by {s.worst_kw:.2f} kW"
        for s in observer.stretches
        if s.seconds > story.allow.over_s + 1e-6
    ]
    if not story.allow.invalid:
        found += [
            f"a setpoint of {s.lease.p_setpoint_kw} kW to {s.lease.device_id} at {s.at_s:.1f} s is not lawful"
            for s in observer.unlawful
        ]
        found += [f"{s.lease.device_id} refused a setpoint at {s.at_s:.1f} s: {s.verdict}" for s in observer.refused]
    for expect in story.expect:
        found += _judge(stage, expect)
    return found


def _judge(stage: Stage, expect: Expect) -> list[str]:
    label = f"{expect.what} of {expect.at or 'all'} in {expect.from_s:g}..{expect.to_s:g} s"
    if expect.what == "flagged":
        seen = set().union(*(said.flagged for said in stage.said if _in(said.at_s, expect)))
        wanted = {stage.devices.ids[row] for row in named(stage.devices.ids, expect.at)} if expect.at else set()
        return [] if seen == wanted else [f"{label}: {sorted(seen)} instead of {sorted(wanted)}"]
    if expect.what == "reason":
        reasons = {sent.lease.reason for sent in _sent(stage, expect)}
        return [] if any(expect.says in said for said in reasons) else [f"{label}: never {expect.says!r}, {reasons}"]
    values = np.atleast_1d(_values(stage, expect))
    if values.size == 0:
        return [f"{label}: there is nothing to look at"]
    low, high = float(np.min(values)), float(np.max(values))
    good = low >= expect.least - 1e-6 and high <= expect.most + 1e-6
    return [] if good else [f"{label}: {low:.3f}..{high:.3f}, wanted {expect.least:g}..{expect.most:g}"]


def _in(at_s: float, expect: Expect) -> bool:
    return expect.from_s <= at_s <= expect.to_s


def _sent(stage: Stage, expect: Expect) -> list[Sent]:
    rows = set(_rows(stage, expect))
    return [sent for sent in stage.observer.sent if sent.row in rows and _in(sent.at_s, expect)]


def _rows(stage: Stage, expect: Expect) -> list[int]:
    return named(stage.devices.ids, expect.at) if expect.at else list(range(len(stage.devices.ids)))


def _values(stage: Stage, expect: Expect) -> Floats | float:
    """What is to lie between `least` and `most`: one number or many."""
    observer = stage.observer
    match expect.what:
        case "load":
            loads: Floats = np.array(observer.loads_kw)[_window(stage, expect), stage.forest.row[expect.at]]
            return loads[-1:] if expect.finally_ else loads
        case "power" | "charging" | "generation":
            return _powers(stage, expect)
        case "headroom" | "limit" | "shortfall" | "envelope":
            return _said(stage, expect)
        case "energy":
            at = observer.times_s.index(min(observer.times_s, key=lambda t: abs(t - min(expect.to_s, 1e9))))
            since = next(i for i, t in enumerate(observer.times_s) if t >= expect.from_s)
            powers = np.array(observer.powers_kw)[since : at + 1, _rows(stage, expect)]
            energy = np.maximum(powers, 0.0).sum(axis=0) * stage.story.step_s / 3600.0
            return energy if expect.each else float(energy.sum())
        case "soc":
            return stage.devices.soc[_rows(stage, expect)]
        case "served":
            return float(np.sum(np.max(_window_powers(stage, expect), axis=0) > 0.05))
        case "told":
            newest = {sent.row: sent.lease.p_setpoint_kw for sent in _sent(stage, expect)}
            values = np.array([newest.get(row, np.nan) for row in _rows(stage, expect)])
            assert np.isfinite(values).all(), "somebody was told nothing"
            return values if expect.each else float(values.sum())
        case "setpoints":
            return float(len(_sent(stage, expect)))
        case "delivered":
            return stage.got_kwh / stage.could_kwh
        case "excused":
            return observer.excused_s
        case "reversals":
            return observer.reversals_per_hour(stage.story.seconds)
        case "fully_met":
            return float(sum(_is_met(stage, row) for row in _rows(stage, expect)))
        case _:
            raise AssertionError(expect.what)


def _window(stage: Stage, expect: Expect) -> list[int]:
    return [index for index, at_s in enumerate(stage.observer.times_s) if _in(at_s, expect)]


def _window_powers(stage: Stage, expect: Expect) -> Floats:
    powers: Floats = np.array(stage.observer.powers_kw)[_window(stage, expect)][:, _rows(stage, expect)]
    return powers


def _powers(stage: Stage, expect: Expect) -> Floats:
    powers = _window_powers(stage, expect)
    if expect.what == "charging":
        powers = np.maximum(powers, 0.0)
    if expect.what == "generation":
        powers = np.maximum(-powers, 0.0)
    powers = powers[-1:] if expect.finally_ else powers
    return powers if expect.each else powers.sum(axis=1)


def _said(stage: Stage, expect: Expect) -> Floats:
    name = {"headroom": "headroom_kw", "limit": "import_limit_kw", "shortfall": "shortfall_kw",
            "envelope": "envelope_import_kw"}[expect.what]  # fmt: skip
    row = stage.forest.row[expect.at]
    values = np.array([getattr(said, name)[row] for said in stage.said if _in(said.at_s, expect)])
    values = values[np.isfinite(values)]
    chosen: Floats = values[-1:] if expect.finally_ else values
    return chosen


def _is_met(stage: Stage, row: int) -> bool:
    """Whether a session has what it asked for: its energy, or its target."""
    told = stage.devices.told[row]
    assert told.kind is DeviceKind.EV
    if told.energy_kwh is not None:
        return bool(stage.devices.taken_kwh[row] >= told.energy_kwh - 0.05)
    return bool(stage.devices.soc[row] >= told.target - 0.005)
