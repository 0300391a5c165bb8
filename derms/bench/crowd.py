"""Crowds of devices for timing: one feeder, many transformers, seeded columns that nothing moves.

A third of the transformers bind, and so does the feeder: it has room for less than half of what is wanted.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import BATTERY, EV, PV, DeviceColumns, Floats, Ints, NodeColumns, Params, Picture
from derms.control.layout import Layout
from derms.control.wants import Wants
from derms.model import Policy

_VOLT_KW = 0.23
"""One ampere on one phase [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One tree full of devices, and what an allocation over it needs; row 0 is the feeder."""

    layout: Layout
    wants: Wants
    discharge_kw: Floats
    pictures: tuple[Picture, ...]
    """The same fleet as different ticks see it, a few percent of noise apart."""


def crowd(devices: int, *, transformers: int, lumps: bool, policy: Policy, seed: int) -> Crowd:
    """Seat a fleet of seven cars, two batteries and one PV array in ten.

    Args:
        devices: How many.
        transformers: How many there are below the one feeder.
        lumps: Cars are off, or from 6 A in whole amperes; else any power.
        policy: The policy of the pictures.
        seed: Of everything drawn.
    """
    rng = np.random.default_rng(seed)
    parent = np.concatenate(([-1], np.zeros(transformers, dtype=np.int64)))
    node = rng.integers(1, transformers + 1, devices)
    kind = rng.choice([EV, EV, EV, EV, EV, EV, EV, BATTERY, BATTERY, PV], devices)
    columns = _columns(rng, node, kind, lumps=lumps)
    layout = Layout.of(parent, node)
    wanted = layout.sums(np.where(kind == PV, 0.0, columns.p_import_max_kw))
    share = np.where(rng.random(parent.size) < 1.0 / 3.0, rng.uniform(0.2, 0.45, parent.size), 2.0)
    share[0] = 0.45
    room = wanted * share
    pictures = tuple(_picture(rng, columns, layout, room, policy) for _ in range(4))
    return Crowd(
        layout=layout,
        wants=_wants(rng, columns, layout, room),
        discharge_kw=np.where(kind == BATTERY, columns.p_export_max_kw, 0.0),
        pictures=pictures,
    )


def _columns(rng: np.random.Generator, node: Ints, kind: Ints, *, lumps: bool) -> DeviceColumns:
    """Every device healthy, most of them following a lease."""
    size = node.size
    nothing = np.zeros(size)
    car, array = kind == EV, kind == PV
    rating = np.where(array, 0.0, rng.choice([16.0, 32.0, 48.0], size) * _VOLT_KW)
    lease = np.where(array, -6.0, np.where(rng.random(size) < 0.6, rating * 0.5, 0.0))
    return DeviceColumns(
        node=node,
        kind=kind,
        controllable=np.ones(size, dtype=bool),
        status=np.zeros(size, dtype=np.int64),
        spoke=np.ones(size, dtype=bool),
        stagger=np.linspace(0.0, 1.0, size),
        age_s=rng.uniform(0.0, 3.0, size),
        p_actual_kw=np.where(array, -4.0, lease),
        soc=np.where(array, np.nan, rng.uniform(0.1, 0.75, size)),
        available_kw=np.full(size, np.nan),
        ready_in_s=np.where(car & (rng.random(size) < 0.7), rng.uniform(600.0, 36000.0, size), np.nan),
        energy_needed_kwh=np.where(car & (rng.random(size) < 0.5), rng.uniform(1.0, 30.0, size), np.nan),
        p_import_max_kw=rating,
        p_export_max_kw=np.where(array, 6.0, np.where(car, 0.0, rating)),
        p_min_kw=np.where(car & lumps, 6.0 * _VOLT_KW, 0.0),
        p_step_kw=np.where(car & lumps, _VOLT_KW, 0.0),
        capacity_kwh=np.where(car, 60.0, 12.0),
        min_soc_reserve=nothing + 0.15,
        target_soc=nothing + 0.8,
        priority=rng.integers(1, 11, size).astype(np.float64),
        default_power_kw=nothing,
        override=np.zeros(size, dtype=np.int64),
        override_kw=np.full(size, np.nan),
        lease_kw=lease,
        lease_left_s=rng.uniform(10.0, 30.0, size),
        told_s=rng.uniform(0.0, 60.0, size),
        may_kw=lease,
        may_low_kw=lease,
        may_left_s=rng.uniform(10.0, 30.0, size),
        acknowledged_s=rng.uniform(0.0, 60.0, size),
    )


def _picture(
    rng: np.random.Generator, columns: DeviceColumns, layout: Layout, room_kw: Floats, policy: Policy
) -> Picture:
    """One tick's view: what devices draw, and the head meter, with their noise."""
    drawn = columns.p_actual_kw * rng.uniform(0.96, 1.0, columns.node.size)
    size = room_kw.size
    return Picture(
        dt_s=5.0,
        nodes=NodeColumns(
            parent=layout.tree.parent,
            mode=np.zeros(size, dtype=np.int64),
            import_limit_kw=room_kw,
            export_limit_kw=np.full(size, np.inf),
            margin_kw=np.zeros(size),
            assumed_unmetered_kw=np.zeros(size),
            metered_kw=np.where(np.arange(size) == 0, layout.sums(drawn)[0] * rng.normal(1.0, 0.01), np.nan),
            metered_age_s=np.where(np.arange(size) == 0, 1.0, np.inf),
        ),
        constraints=(),
        devices=replace(columns, p_actual_kw=drawn),
        policy=policy,
    )


def _wants(rng: np.random.Generator, columns: DeviceColumns, layout: Layout, room_kw: Floats) -> Wants:
    """What the devices want of the room, a tenth of them below their reserve."""
    size = columns.node.size
    cap = np.where(columns.kind == PV, 0.0, columns.p_import_max_kw)
    left = np.where(cap > 0.0, rng.uniform(0.5, 30.0, size), 0.0)
    got = np.where(cap > 0.0, rng.uniform(0.0, 10.0, size), 0.0)
    return Wants(
        is_ev=columns.kind == EV,
        cap_kw=cap,
        minimum_kw=columns.p_min_kw,
        step_kw=columns.p_step_kw,
        priority=columns.priority,
        gap=rng.uniform(0.0, 0.6, size),
        below_reserve=rng.random(size) < 0.1,
        left_kwh=left,
        asked_kwh=left + got,
        got_kwh=got,
        time_left_s=np.where(np.isfinite(columns.ready_in_s), columns.ready_in_s, 4 * 3600.0),
        departs=np.isfinite(columns.ready_in_s),
        bucket_kwh=rng.normal(0.0, 0.5, size),
        waited_s=np.where(columns.lease_kw > 0.0, 0.0, rng.uniform(0.0, 1800.0, size)),
        running_s=np.where(columns.lease_kw > 0.0, rng.uniform(0.0, 1800.0, size), 0.0),
        drawing_kw=np.maximum(columns.lease_kw, 0.0),
        node=columns.node,
        room_kw=room_kw,
        tree=layout.tree,
        seats=layout.seats,
        dt_s=5.0,
        params=Params(),
    )
