"""Chargers that always want more than there is, in steps of five minutes through `derms cosim`."""

from typing import Any

import numpy as np

from derms.bench.seconds import Rotation, longest
from derms.bench.sessions import STEP_S
from derms.bench.through_cosim import in_process, run_through
from derms.bench.weeks import Week
from derms.columns import Floats
from derms.model import Policy

_AMP_KW = 0.230


def crowded(
    seed: int, *, weighted: bool, chargers: int = 20, places: int = 8, in_amps: bool = False, hours: int = 24
) -> Rotation:
    """Chargers with room for some of them at their smallest power, whose cars ask for more than could ever be had.

    Args:
        seed: Of the priorities.
        weighted: Priorities of 1 to 10; else equal ones.
        chargers: How many.
        places: For how many there is room at 6 A.
        in_amps: They know whole amps only; else any power from 6 A up.
        hours: For how long.
    """
    rng = np.random.default_rng([seed, 23])

    def same(value: float) -> Floats:
        return np.full(chargers, value)

    week = Week(
        arrival_s=same(0.0),
        departure_s=same(hours * 3600.0),
        energy_kwh=same(1e4),
        p_max_kw=same(32 * _AMP_KW),
        p_min_kw=same(6 * _AMP_KW),
        p_step_kw=same(_AMP_KW if in_amps else 0.0),
        priority=rng.integers(1, 11, chargers).astype(np.float64) if weighted else same(5.0),
    )
    limit_kw = places * 6 * _AMP_KW
    inner, told = in_process(), []

    def ask(line: dict[str, Any]) -> dict[str, Any]:
        answer = inner(line)
        if "setpoints" in answer:
            told.append([setpoint["p_setpoint_kw"] for _, setpoint in sorted(answer["setpoints"].items())])
        return answer

    run = run_through(week, limit_kw, Policy.DEFICIT, ask)
    power = np.array(told)
    owed = run.delivered_kwh / week.priority
    return Rotation(
        seed=seed,
        weighted=weighted,
        used=float(run.delivered_kwh.sum() / (limit_kw * hours)),
        never_served=int(np.sum(run.delivered_kwh <= 0.0)),
        longest_wait_s=round(STEP_S * max(longest(power[:, row] <= 0.0) for row in range(chargers))),
        jain=float(np.sum(owed) ** 2 / (owed.size * np.sum(owed**2))),
        stops=float(np.sum((power[:-1] > 0.0) & (power[1:] <= 0.0))) / (chargers * hours),
    )
