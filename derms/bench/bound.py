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


def solver_version() -> str:
    """The version of HiGHS."""
    return str(_Silent().version())  # type: ignore[no-untyped-call]  # its stubs leave the constructor open


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
    """Solve ``max gain x``, ``0 <= x <= upper``, ``row_lower <= A x <= row_upper``, A by columns."""
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = gain.size, row_lower.size
    program.col_cost_, program.col_lower_, program.col_upper_ = -gain, np.zeros(gain.size), upper
    program.row_lower_, program.row_upper_ = row_lower, row_upper
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    matrix.start_, matrix.index_, matrix.value_ = start, row, value
    solver = _Silent()  # type: ignore[no-untyped-call]  # its stubs leave the constructor open
    solver.passModel(program)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"the linear program ended as {solver.getModelStatus()}; the week makes no sense")
    return -float(solver.getInfo().objective_function_value)
