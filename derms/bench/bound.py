"""What nobody can beat: the best plan for a week that is known beforehand, as a linear program. The only door to HiGHS.

Between one arrival or departure and the next, who is present stays the same, so one variable a session and interval is
exact: the energy it gets there. Each is bounded by the charger's power, each interval by the limit, each session by
what it asks.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from derms.bench.weeks import Week
from derms.columns import Floats, Ints

_PIECES, _ROUNDS = 20, 3
"""In so many straight pieces, and so often, Jain's index is raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """The variables."""

    session: Ints
    """Of each variable."""
    interval: Ints
    most_kwh: Floats
    """Of each variable, by the charger's power."""
    room_kwh: Floats
    """Of each interval."""


class _Silent(highspy.Highs):
    """HiGHS without its banner, which would stand among the results on stdout."""

    def enableCallbacks(self) -> None:  # it is called when the solver is made, before any option is set
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]  # its stubs leave it open


def most_energy_kwh(week: Week, limit_kw: float) -> float:
    """The most energy that could be delivered [kWh]."""
    return most_weighted_kwh(week, limit_kw, np.ones_like(week.energy_kwh))


def most_weighted_kwh(week: Week, limit_kw: float, weight: Floats) -> float:
    """The largest weighted sum of energies that could be delivered.

    Args:
        week: The sessions.
        limit_kw: What they may draw together [kW].
        weight: Of each session, shape (n,), > 0.
    """
    grid = _grid(week, limit_kw)
    sessions, intervals, size = week.energy_kwh.size, grid.room_kwh.size, grid.session.size
    return _most(
        gain=weight[grid.session],
        upper=grid.most_kwh,
        row_lower=np.full(sessions + intervals, -np.inf),
        row_upper=np.concatenate((week.energy_kwh, grid.room_kwh)),
        start=np.arange(size + 1) * 2,
        row=np.stack((grid.session, sessions + grid.interval), axis=1).ravel(),
        value=np.ones(2 * size),
    )


def most_sessions(week: Week, limit_kw: float) -> float:
    """A bound on how many sessions could be fully met: a session half met counts as half a one."""
    grid = _grid(week, limit_kw)
    sessions, intervals, size = week.energy_kwh.size, grid.room_kwh.size, grid.session.size
    return _most(
        gain=np.concatenate((np.zeros(size), np.ones(sessions))),
        upper=np.concatenate((grid.most_kwh, np.ones(sessions))),
        row_lower=np.concatenate((np.zeros(sessions), np.full(intervals, -np.inf))),
        row_upper=np.concatenate((np.full(sessions, np.inf), grid.room_kwh)),
        start=np.concatenate((np.arange(size + 1) * 2, 2 * size + 1 + np.arange(sessions))),
        row=np.concatenate((np.stack((grid.session, sessions + grid.interval), axis=1).ravel(), np.arange(sessions))),
        value=np.concatenate((np.ones(2 * size), -week.energy_kwh)),
    )


def fairest(week: Week, limit_kw: float, worst: float, energy_share: float = 0.995) -> tuple[float, float]:
    """The fairest that could be with nearly all energy delivered: two bounds, each reached by a plan of its own.

    Jain's index is raised by ``max sum s - mu / 2 sum s^2`` with ``mu = sum s / sum s^2`` of the plan before, in
    straight pieces; it is found to about 0.001. Source: Dinkelbach, On Nonlinear Fractional Programming, 1967.

    Args:
        week: The sessions.
        limit_kw: What they may draw together [kW].
        worst: The part of the sessions with the smallest shares, 0..1.
        energy_share: Of the most energy, at the least, 0..1.

    Returns:
        The highest Jain's index of the shares delivered, and the highest mean share of the worst part.
    """
    grid, least_kwh = _grid(week, limit_kw), energy_share * most_energy_kwh(week, limit_kw)
    size, count, intervals = grid.session.size, week.energy_kwh.size, grid.room_kwh.size
    flows, sessions = np.arange(size), np.arange(count)
    all_energy = (np.full(size, count + intervals), flows, np.ones(size))
    shared = [(count + grid.interval, flows, np.ones(size)), all_energy]
    piece, own = np.tile(np.arange(_PIECES), count), np.repeat(sessions, _PIECES)
    pieces = size + np.arange(own.size)
    matrix = _columns(
        [(grid.session, flows, np.ones(size)), *shared, (own, pieces, -week.energy_kwh[own])], size + own.size
    )
    jain, slope = 0.0, 1.0
    for _ in range(_ROUNDS):
        plan = _solved(
            gain=np.concatenate((np.zeros(size), 1.0 - slope * (piece + 0.5) / _PIECES)),
            upper=np.concatenate((grid.most_kwh, np.full(own.size, 1.0 / _PIECES))),
            row_lower=np.concatenate((np.zeros(count), np.full(intervals, -np.inf), [least_kwh])),
            row_upper=np.concatenate((np.zeros(count), grid.room_kwh, [np.inf])),
            matrix=matrix,
        )
        share = np.bincount(grid.session, weights=plan[:size], minlength=count) / week.energy_kwh
        jain = max(jain, float(np.sum(share) ** 2 / (count * np.sum(share**2))))
        slope = float(np.sum(share) / np.sum(share**2))
    few = max(int(np.ceil(worst * count)), 1)
    # The sum of the smallest `few` shares: few x level less what falls short of the level.
    rows = count + intervals + 1
    plan = _solved(
        gain=np.concatenate((np.zeros(size), [float(few)], -np.ones(count))),
        upper=np.concatenate((grid.most_kwh, np.ones(1 + count))),
        row_lower=np.concatenate((np.full(count + intervals, -np.inf), [least_kwh], np.zeros(count))),
        row_upper=np.concatenate((week.energy_kwh, grid.room_kwh, np.full(1 + count, np.inf))),
        matrix=_columns(
            [
                (grid.session, flows, np.ones(size)), *shared,
                (rows + grid.session, flows, 1.0 / week.energy_kwh[grid.session]),
                (rows + sessions, np.full(count, size), -np.ones(count)),
                (rows + sessions, size + 1 + sessions, np.ones(count)),
            ],
            size + 1 + count,
        ),
    )  # fmt: skip
    share = np.bincount(grid.session, weights=plan[:size], minlength=count) / week.energy_kwh
    return jain, float(np.mean(np.sort(share)[:few]))


def _columns(parts: list[tuple[Ints, Ints, Floats]], width: int) -> tuple[Ints, Ints, Floats]:
    """Rows, columns and values -> a matrix by columns: where each begins, rows, values."""
    row, column, value = (np.concatenate([part[k] for part in parts]) for k in range(3))
    order = np.argsort(column, kind="stable")
    return np.searchsorted(column[order], np.arange(width + 1)), row[order], value[order]


def _grid(week: Week, limit_kw: float) -> _Grid:
    moments = np.unique(np.concatenate((week.arrival_s, week.departure_s)))
    hours = np.diff(moments) / 3600.0
    first, last = np.searchsorted(moments, week.arrival_s), np.searchsorted(moments, week.departure_s)
    count = last - first
    session = np.repeat(np.arange(count.size), count)
    before = np.cumsum(count) - count
    interval = np.arange(session.size) - np.repeat(before - first, count)
    return _Grid(
        session=session,
        interval=interval,
        most_kwh=week.p_max_kw[session] * hours[interval],
        room_kwh=limit_kw * hours,
    )


def _most(
    *, gain: Floats, upper: Floats, row_lower: Floats, row_upper: Floats, start: Ints, row: Ints, value: Floats
) -> float:
    """The highest ``gain x``; see `_solved`."""
    found = _solved(gain=gain, upper=upper, row_lower=row_lower, row_upper=row_upper, matrix=(start, row, value))
    return float(gain @ found)


def _solved(
    *, gain: Floats, upper: Floats, row_lower: Floats, row_upper: Floats, matrix: tuple[Ints, Ints, Floats]
) -> Floats:
    """Solve ``max gain x``, ``0 <= x <= upper``, ``row_lower <= A x <= row_upper``, A by columns."""
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = gain.size, row_lower.size
    program.col_cost_, program.col_lower_, program.col_upper_ = -gain, np.zeros(gain.size), upper
    program.row_lower_, program.row_upper_ = row_lower, row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_, program.a_matrix_.index_, program.a_matrix_.value_ = matrix
    solver = _Silent()  # type: ignore[no-untyped-call]  # its stubs leave the constructor open
    solver.passModel(program)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"the linear program ended as {solver.getModelStatus()}; the week makes no sense")
    return np.array(solver.getSolution().col_value)
