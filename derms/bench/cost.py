"""What a tick costs: the allocation, the policy and the whole `decide`, beside a bare sort of as many numbers.

Every run times all of them one after the other, so that what else the machine does falls on all alike; the ratio to the
sort says what a figure would be on another machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from derms.bench.crowd import crowd
from derms.columns import Memory, Params
from derms.control.allocate import allocate
from derms.control.decide import decide
from derms.control.policies import PLUGS
from derms.model import Policy
from derms.runtime import keep_freed_memory

SIZES = (1_000, 10_000, 100_000)
_WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one step took over all runs."""

    p50_ms: float
    p99_ms: float
    cpu_p99_ms: float
    """The same without the time in which other programs had the processor [ms]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One size of fleet."""

    devices: int
    transformers: int
    lumps: bool
    """Cars are off, or from 6 A in whole amperes; else any power."""
    policy: Policy
    runs: int
    sort: Timing
    """`numpy.sort` of as many numbers: the base line."""
    plug: Timing
    """The policy: wants to rounds."""
    allocation: Timing
    """Rounds to targets, on the tree."""
    tick: Timing
    """The whole `decide`."""

    @property
    def sorts(self) -> float:
        """How many sorts one allocation takes (medians)."""
        return self.allocation.p50_ms / self.sort.p50_ms


def measure_cost(
    devices: int,
    *,
    transformers: int = 1_000,
    lumps: bool = False,
    policy: Policy = Policy.DEFICIT,
    runs: int | None = None,
    seed: int = 0,
) -> Cost:
    """Time one size of fleet below one feeder.

    Args:
        devices: How many.
        transformers: How many there are below the feeder; a third of them bind, and the feeder does.
        lumps: Cars are off, or from 6 A in whole amperes; else any power.
        policy: Which one.
        runs: How often; None: enough for a 99th percentile in a few seconds.
        seed: Of the fleet.
    """
    keep_freed_memory()
    runs = max(100, min(1_000, 4_000_000 // max(devices, 1))) if runs is None else runs
    case = crowd(devices, transformers=transformers, lumps=lumps, policy=policy, seed=seed)
    params, plug = Params(), PLUGS[policy]
    wish = plug(case.wants)
    numbers = np.random.default_rng(seed).random(devices)
    memory = Memory.empty(devices, transformers + 1)

    def tick(run: int) -> None:
        nonlocal memory
        _, memory = decide(case.pictures[run % len(case.pictures)], memory, params, case.layout)

    sort, plugged, allocation, whole = _timed(
        (
            lambda _: np.sort(numbers),
            lambda _: plug(case.wants),
            lambda _: allocate(case.wants, wish, case.discharge_kw, case.layout.seats),
            tick,
        ),
        runs,
    )
    return Cost(
        devices=devices,
        transformers=transformers,
        lumps=lumps,
        policy=policy,
        runs=runs,
        sort=sort,
        plug=plugged,
        allocation=allocation,
        tick=whole,
    )


def growth(small: Cost, large: Cost) -> float:
    """How much faster than n log n the allocation grows between two sizes: 1 is as fast, less is slower (medians)."""
    work = large.devices * np.log(large.devices) / (small.devices * np.log(small.devices))
    return float(large.allocation.p50_ms / small.allocation.p50_ms / work)


def _timed(steps: Sequence[Callable[[int], object]], runs: int) -> list[Timing]:
    """Run all steps in turn, `runs` times over."""
    wall = np.zeros((len(steps), runs))
    cpu = np.zeros_like(wall)
    for run in range(-_WARM_UP, runs):
        for row, step in enumerate(steps):
            began, began_cpu = time.perf_counter(), time.thread_time()
            step(run)
            took_cpu, took = time.thread_time() - began_cpu, time.perf_counter() - began
            if run >= 0:
                wall[row, run], cpu[row, run] = 1e3 * took, 1e3 * took_cpu
    return [
        Timing(
            p50_ms=float(np.percentile(wall[row], 50)),
            p99_ms=float(np.percentile(wall[row], 99)),
            cpu_p99_ms=float(np.percentile(cpu[row], 99)),
        )
        for row in range(len(steps))
    ]
