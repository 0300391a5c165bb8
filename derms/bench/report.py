"""What a benchmark reports, and on what it was measured."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from derms import __version__
from derms.bench.figures import Section


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
                if not isfinite(figure.value):  # JSON has no word for it
                    values["value"] = None
                values["rivals"] = dict(figure.rivals)
            sections.append(plain)
        return {"machine": dict(self.machine), "sections": sections}


def machine() -> tuple[tuple[str, str], ...]:
    """What it was measured on; no name, no path, no date."""
    return (
        ("derms", __version__),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("system", f"{platform.system()} on {platform.machine()}"),
        ("Python", platform.python_version()),
        ("numpy", np.__version__),
        *((("HiGHS", version("highspy")),) if find_spec("highspy") else ()),
    )


def _processor() -> str:
    """What Linux calls it; elsewhere the architecture says what can be said."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
