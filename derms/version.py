"""Which release and which commit this is."""

import functools
import re
from pathlib import Path

from derms import __version__

_HERE = Path(__file__).resolve().parent
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 12


def described() -> str:
    """`0.1.0 (commit 0123456789ab)`; without the commit where it is not known."""
    return f"{__version__} (commit {commit()})" if commit() else __version__


@functools.cache
def commit() -> str:
    """The first twelve digits of the commit this was built of, or is run from; empty: not known."""
    for found in (_text(_HERE / "commit.txt"), _checked_out(_HERE.parent)):
        if _COMMIT.fullmatch(found):
            return found[:_SHOWN]
    return ""


def _checked_out(root: Path) -> str:
    """As git keeps it, read without git: that takes longer than everything else `--version` does."""
    place = root / ".git"
    if place.is_file():  # a work tree beside the repository
        place = root / _text(place).removeprefix("gitdir:").strip()
    shared = place / (_text(place / "commondir") or ".")
    head = _text(place / "HEAD")
    if not head.startswith("ref:"):
        return head
    ref = head.removeprefix("ref:").strip()
    for line in (_text(place / ref), _text(shared / ref)):
        if line:
            return line
    packed = (line.split(" ", 1) for line in _text(shared / "packed-refs").splitlines() if " " in line)
    return next((digits for digits, name in packed if name == ref), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
