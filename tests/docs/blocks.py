"""Commands as they stand on a page: each block of them, with what stands above it on how it is tried.

`<!-- run -->`: as one script. `<!-- run: each line in a terminal of its own -->`: a line that stays goes on beside the
others. `<!-- needs: ... -->`: not run here, as that is missing. A block without any of them is a mistake.
"""

import re
from dataclasses import dataclass
from pathlib import Path

RUN = "run"
TERMINALS = "run: each line in a terminal of its own"
NEEDS = frozenset({"systemd", "root on Debian", "docker", "kubernetes cluster", "hardware", "another machine"})

_FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- (.+?) -->\Z")
_HEADING = re.compile(r"^#{2,6} (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`(derms [a-z][^`\n]*)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands between two fences."""

    page: str
    line: int
    heading: str
    marker: str
    """Empty: there is none."""
    text: str

    @property
    def known(self) -> bool:
        """Whether its marker is one."""
        return self.marker in (RUN, TERMINALS) or self.marker.removeprefix("needs: ") in NEEDS

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of `sh` on a page, in their order."""
    whole, found = page.read_text(encoding="utf-8"), []
    for fence in _FENCE.finditer(whole):
        if fence["kind"] not in ("sh", "bash", "shell", "console"):
            continue
        before = whole[: fence.start()]
        marker = _MARKER.search(before.rstrip("\n").rpartition("\n")[2]) if before.endswith("-->\n") else None
        headings = _HEADING.findall(_FENCE.sub("", before))
        found.append(
            Block(
                page=page.name, line=before.count("\n") + 1, heading=headings[-1] if headings else "",
                marker="" if marker is None else marker[1], text=fence["text"],
            )
        )  # fmt: skip
    return found


def inline(page: Path) -> list[str]:
    """The commands of derms that stand within sentences, each once."""
    # A line that is folded within a command goes on.
    prose = re.sub(r"\n(?!\n|[|#>-])", " ", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return sorted(set(_INLINE.findall(prose)))


def put(text: str, place: dict[str, str]) -> str:
    """Commands with names of a place that is there, for those that stand for the reader's.

    Args:
        text: The commands.
        place: What is put for what; the longest first.
    """
    for name in sorted(place, key=len, reverse=True):
        text = text.replace(name, place[name])
    return text
