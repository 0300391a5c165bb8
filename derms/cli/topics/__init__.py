"""What `derms help TOPIC` explains; the same texts stand in docs/cli.md and in the man page."""

import functools
from pathlib import Path
from typing import NamedTuple

_ORDER = (
    "values",
    "output",
    "events",
    "contexts",
    "login",
    "environment",
    "files",
    "watch",
    "completion",
    "exit-codes",
)


class Topic(NamedTuple):
    """One text."""

    title: str
    text: str
    """Markdown, from its heading on."""


@functools.cache
def topics() -> dict[str, Topic]:
    """All topics by name, in the order they are read in."""
    found = {}
    for name in _ORDER:
        text = (Path(__file__).parent / f"{name}.md").read_text(encoding="utf-8")
        found[name] = Topic(title=text.partition("\n")[0].removeprefix("# "), text=text)
    return found
