"""The words of a command as they were typed, made into what Typer understands. Pure.

Two things it does not know: an option whose value may be left out (`--watch`), and shared options that stand before
the command (`derms --json device list`).
"""

import re
from collections.abc import Callable, Sequence

WATCH_S = "2s"
_WATCH = ("-w", "--watch")
_INTERVAL = re.compile(r"(\d+(\.\d+)?(ms|s|min|m|h)?)+")
_OWN = ("-h", "--help", "--version")
"""Of the root itself."""


def typed(words: Sequence[str], takes_value: Callable[[str], bool | None]) -> list[str]:
    """Put shared options behind the command, and give `--watch` its value.

    Args:
        words: Behind `derms`.
        takes_value: Of a shared option, whether it takes one; None: it is none.
    """
    words = list(words)
    front: list[str] = []
    while words and words[0].startswith("-") and words[0] not in (*_OWN, "--"):
        takes = takes_value(words[0].partition("=")[0])
        if takes is None:
            return [*front, *words]
        front.append(words.pop(0))
        if takes and "=" not in front[-1] and words:
            front.append(words.pop(0))
    cut = words.index("--") if "--" in words else len(words)
    ours, theirs = [*words[:cut], *front], words[cut:]
    told = []
    for at, word in enumerate(ours):
        told.append(word)
        following = ours[at + 1] if at + 1 < len(ours) else ""
        if word in _WATCH and not _INTERVAL.fullmatch(following):
            told.append(WATCH_S)
    return [*told, *theirs]
