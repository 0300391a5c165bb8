"""`derms bench control`: every measurement of the engine, one section after the other."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derms import __version__
from derms.bench.bound import solver_version
from derms.bench.effort import Effort
from derms.bench.figures import Section
from derms.bench.suite_cost import cost
from derms.bench.suite_seconds import dr, quiet, seconds, starvation
from derms.bench.suite_weeks import Weeks, energy, fairness, real, sessions

_Measure = Callable[[Effort, Weeks, Callable[[str], None]], Section]

SECTIONS: Mapping[str, _Measure] = {
    "energy": lambda effort, weeks, say: energy(weeks),
    "sessions": lambda effort, weeks, say: sessions(weeks),
    "fairness": lambda effort, weeks, say: fairness(weeks),
    "real": lambda effort, weeks, say: real(weeks),
    "starvation": lambda effort, weeks, say: starvation(effort, say),
    "seconds": lambda effort, weeks, say: seconds(effort, say),
    "dr": lambda effort, weeks, say: dr(effort, say),
    "silence": lambda effort, weeks, say: quiet(effort, say),
    "cost": lambda effort, weeks, say: cost(effort, say),
}
"""In the order in which they stand on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and on what."""

    machine: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    @property
    def missed(self) -> list[str]:
        """Figures that do not reach their targets."""
        return [figure.what for section in self.sections for figure in section.figures if figure.passed is False]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values; each figure says whether it passed."""
        sections = []
        for section in self.sections:
            plain = asdict(section)
            for figure, values in zip(section.figures, plain["figures"], strict=True):
                values["passed"] = figure.passed
                values["rivals"] = dict(figure.rivals)
            sections.append(plain)
        return {"machine": dict(self.machine), "sections": sections}


def measure(
    effort: Effort,
    keys: Sequence[str],
    say: Callable[[str], None],
    done: Callable[[Section], None] = lambda section: None,
) -> Report:
    """Measure some sections.

    Args:
        effort: How much.
        keys: Which, of `SECTIONS`; none: all.
        say: Told what is being done.
        done: Given each section as soon as it is there.
    """
    weeks = Weeks(effort=effort, say=say)
    sections = []
    for key, section_of in SECTIONS.items():
        if not keys or key in keys:
            sections.append(section_of(effort, weeks, say))
            done(sections[-1])
    return Report(machine=machine(), sections=tuple(sections))


def machine() -> tuple[tuple[str, str], ...]:
    """What it was measured on; no name, no path, no date."""
    return (
        ("derms", __version__),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("system", f"{platform.system()} on {platform.machine()}"),
        ("Python", platform.python_version()),
        ("numpy", np.__version__),
        ("HiGHS", solver_version()),
    )


def _processor() -> str:
    """What Linux calls it; elsewhere the architecture says what can be said."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
