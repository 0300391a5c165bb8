"""What the control center costs: on a pseudo-terminal, with fleets of three sizes that do not exist."""

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.errors import UnavailableError

_SIZES = (1_000, 10_000, 100_000)
_COLUMNS, _LINES = 120, 40
_MARK = b"ev-000000"
"""The first device: when it is on the terminal, something useful is."""
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a fleet of one size took."""

    devices: int
    first_s: float
    """From the start of the program to the first device on the terminal [s]."""
    found: dict[str, Any]


def tui(effort: Effort, say: Callable[[str], None]) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.
    """
    seconds = 5 if effort.runs is not None else 15
    shown = []
    for devices in _SIZES:
        say(f"tui: {devices:,} devices")
        shown.append(_measured(devices, seconds))
    return Section(
        key="tui",
        title="The control center",
        setting=(
            f"`derms tui` on a pseudo-terminal of {_COLUMNS}x{_LINES}, with the device table and a controller that is "
            f"made up, in the same process; one picture a second, {seconds} of each kind: nothing is another, a tenth "
            "of the devices report another power, all of them do. Refresh: filter, order and rows of the table after a "
            "picture. First paint: from the start of Python to the first device on the terminal. Both are the "
            "processor's time, whatever else the machine did; the table has the wall clock's too. Processor: of one "
            "core, the picture's taking in and Textual's own work included."
        ),
        figures=tuple(figure for each in shown for figure in _figures(each)),
        tables=(
            Table(
                title="By what changes a second: refresh p50 / p99 / cpu p99 [ms], bytes a second, processor [%]",
                header=("devices", "nothing", "a tenth", "all", "memory [MB]"),
                rows=tuple(_row(each) for each in shown),
            ),
        ),
    )


def _figures(shown: _Shown) -> list[Figure]:
    devices, found = f"{shown.devices:,} devices", shown.found
    refresh_ms = float(np.percentile(found["tenth"]["frames_cpu_ms"], 99))
    figures = [
        Figure(what=f"{devices}: refresh, p99", value=refresh_ms, unit="ms", target=15.0, at_least=False),
        Figure(what=f"{devices}: the table opens", value=found["open_ms"], unit="ms", target=1000.0, at_least=False),
    ]  # fmt: skip
    if shown.devices == _SIZES[0]:
        figures += [
            Figure(what=f"{devices}: first paint", value=found["first_cpu_s"] * 1000.0, unit="ms", target=1000.0,
                   at_least=False, rivals=(("by the wall clock", shown.first_s * 1000.0),)),
            Figure(what=f"{devices}: to the terminal, a tenth changes", value=found["tenth"]["bytes_s"] / 1000.0,
                   unit="kB/s", target=3.0, at_least=False),
            Figure(what=f"{devices}: to the terminal, nothing changes", value=found["still"]["bytes_s"] / 1000.0,
                   unit="kB/s", target=0.2, at_least=False),
            Figure(what=f"{devices}: processor, nothing changes", value=found["still"]["cpu"] * 100.0, unit="%",
                   target=3.0, at_least=False),
        ]  # fmt: skip
    return figures


def _row(shown: _Shown) -> tuple[str, ...]:
    cells = []
    for name in ("still", "tenth", "all"):
        phase = shown.found[name]
        p50, p99 = np.percentile(phase["frames_ms"], (50, 99))
        cpu = np.percentile(phase["frames_cpu_ms"], 99)
        cells.append(f"{p50:.1f} / {p99:.1f} / {cpu:.1f}, {phase['bytes_s']:,.0f}, {phase['cpu'] * 100.0:.1f}")
    return (f"{shown.devices:,}", *cells, f"{shown.found['rss_mb']:.0f}")


def _measured(devices: int, seconds: int) -> _Shown:
    """Run it on a terminal of its own, and read what it writes there as a terminal would."""
    master, slave = pty.openpty()
    reading, writing = os.pipe()
    begun = time.perf_counter()
    with contextlib.ExitStack() as exits:
        exits.callback(os.close, master)
        exits.callback(os.close, reading)
        process = subprocess.Popen(
            [sys.executable, "-m", "derms.bench.tui_stage", str(devices), str(seconds), str(writing)],
            stdin=slave, stdout=slave, stderr=slave, pass_fds=(writing,), start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(_COLUMNS),
                 "LINES": str(_LINES), "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.close(slave)
        os.close(writing)
        exits.callback(_ended, process)
        first_s, report = _followed(master, reading, begun)
    return _Shown(devices, first_s, json.loads(report))


def _followed(master: int, reading: int, begun: float) -> tuple[float, bytes]:
    first_s, seen, report = 0.0, b"", b""
    while time.perf_counter() - begun < _PATIENCE_S:
        ready, _, _ = select.select([master, reading], [], [], 1.0)
        if master in ready:
            with contextlib.suppress(OSError):
                data = os.read(master, 1 << 16)
                if not first_s:
                    seen = (seen + data)[-200_000:]
                    first_s = time.perf_counter() - begun if _MARK in seen else 0.0
        if reading in ready:
            part = os.read(reading, 1 << 16)
            report += part
            if not part:
                break
    if not report or not first_s:
        raise UnavailableError(
            "the control center ended early", why="it wrote no figures", next_step="run `derms tui`, and see"
        )
    return first_s, report


def _ended(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
