"""`derms bench control`: every measurement of the engine, one section after the other."""

from collections.abc import Callable, Mapping, Sequence

from derms.bench.effort import Effort
from derms.bench.figures import Section
from derms.bench.report import Report, machine
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
