"""What the command line costs whoever waits for it, and what of that is Python's own start."""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from derms.bench.api_load import speaking, until_heard
from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.served import INTERVAL_S, load_of, served
from derms.client import ApiClient
from derms.errors import UnavailableError

DEVICES = 1_000
_HELP_MS, _LIST_MS = 200.0, 500.0
_RUNS, _QUICK_RUNS = 40, 8
_PYTHON = "python -c pass"
_WAIT_S = 60.0
_LIMIT_KW = 20.0 * DEVICES
"""More than they can draw: a controller at its ease."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one command took, of each run."""

    ms: list[float] = field(default_factory=list)
    """From start to end."""
    cpu_ms: list[float] = field(default_factory=list)
    """Of a processor, which a busy machine does not stretch."""


_ALONE: Mapping[str, list[str]] = {
    _PYTHON: ["-c", "pass"],
    "import derms.cli": ["-c", "import derms.cli"],
    "derms --version": ["-m", "derms", "--version"],
    "derms --help": ["-m", "derms", "--help"],
    "derms device list --help": ["-m", "derms", "device", "list", "--help"],
}
_ASKING: Mapping[str, list[str]] = {
    _PYTHON: ["-c", "pass"],
    "derms device list": ["-m", "derms", "device", "list"],
    "derms device list -o json": ["-m", "derms", "device", "list", "-o", "json"],
    "derms status": ["-m", "derms", "status"],
}


def cli(effort: Effort, say: Callable[[str], None]) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.

    Raises:
        UnavailableError: There is no Mosquitto, or a command failed.
    """
    runs = _RUNS if effort.runs is None else _QUICK_RUNS
    say("cli: commands that ask nobody")
    with tempfile.TemporaryDirectory(prefix="derms-bench-") as home:
        alone = timed(_ALONE, _environment(home), runs)
        say(f"cli: a controller with {DEVICES} devices")
        asking = asyncio.run(_against_controller(home, runs))
    return Section(
        key="cli",
        title="The command line",
        setting=(
            "From starting a process to its end, its output piped, files cached; every command once in each of "
            f"{runs} rounds. The lower table: against a controller on the same machine with {DEVICES:,} devices, which "
            f"all speak every {INTERVAL_S:g} s. Figures are medians; for scale: Python's own start, in the same rounds."
        ),
        figures=(
            _figure("derms --version", alone, _HELP_MS),
            _figure("derms --help", alone, _HELP_MS),
            _figure("derms device list", asking, _LIST_MS),
        ),
        tables=(_table("Milliseconds, asking nobody", alone), _table("Milliseconds, asking a controller", asking)),
    )


async def _against_controller(home: str, runs: int) -> dict[str, Took]:
    async with served(DEVICES, limit_kw=_LIMIT_KW) as (running, fleet):
        load = load_of(running, fleet)
        async with speaking(load), ApiClient(load.api_url, token=load.token) as client:
            await until_heard(client, load)
            environment = _environment(home) | {"DERMS_URL": load.api_url, "DERMS_TOKEN": load.token}
            rows = await asyncio.to_thread(_ran, _ASKING["derms device list"], environment)
            if (lines := rows.count(b"\n")) != DEVICES + 1:
                raise UnavailableError(f"`derms device list` wrote {lines} lines", why="one a device was due")
            return await asyncio.to_thread(timed, _ASKING, environment, runs)


def timed(commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], runs: int) -> dict[str, Took]:
    """Milliseconds by command; in turns, so that whatever else the machine does meets all of them alike."""
    for words in commands.values():
        _ran(words, environment)  # bytecode and files are read once before it counts
    took = {name: Took() for name in commands}
    for _ in range(runs):
        for name, words in commands.items():
            started_s, used_s = time.perf_counter(), _used_s()
            _ran(words, environment)
            took[name].ms.append((time.perf_counter() - started_s) * 1000.0)
            took[name].cpu_ms.append((_used_s() - used_s) * 1000.0)
    return took


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ran(words: Sequence[str], environment: Mapping[str, str]) -> bytes:
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, timeout=_WAIT_S, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise UnavailableError(f"`{' '.join(words)}` ended with {done.returncode}", why=last[-1])
    return done.stdout


def _environment(home: str) -> dict[str, str]:
    """A user without settings of their own."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
    }
    return kept | {"HOME": home, "LANG": "C.UTF-8"}


def _figure(name: str, took: Mapping[str, Took], target: float) -> Figure:
    return Figure(
        what=f"`{name}`, median",
        value=float(np.median(took[name].ms)),
        unit="ms",
        target=target,
        at_least=False,
        rivals=((f"`{_PYTHON}`", float(np.median(took[_PYTHON].ms))),),
    )


def _table(title: str, took: Mapping[str, Took]) -> Table:
    return Table(
        title=title,
        header=("command", "least", "median", "p95", "cpu, median"),
        rows=tuple(
            (f"`{name}`", *(f"{value:.0f}" for value in (*np.percentile(one.ms, (0, 50, 95)), np.median(one.cpu_ms))))
            for name, one in took.items()
        ),
    )
