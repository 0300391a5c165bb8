"""How much processor time the processes below this one have used, by what they are. Linux; elsewhere it finds none.

Source: proc(5), /proc/pid/stat: fields 4 (parent), 14 to 17 (time of the process, and of its children that ended).
"""

import contextlib
import os
from pathlib import Path

_TICKS_S = 1.0 / os.sysconf("SC_CLK_TCK")


def used_below_s(name: str) -> float:
    """Processor time of all living processes of that name below this one, and of their children that ended [s]."""
    found: dict[int, tuple[int, str, float]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            said, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            found[int(entry.name)] = (int(fields[1]), said, sum(int(one) for one in fields[11:15]) * _TICKS_S)
    below = {os.getpid()}
    while more := {pid for pid, (parent, _, _) in found.items() if parent in below} - below:
        below |= more
    return sum(used_s for pid, (_, said, used_s) in found.items() if pid in below and said == name)
