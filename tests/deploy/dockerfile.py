"""A Dockerfile, read: its stages, and what each says."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction."""

    word: str
    rest: str


@dataclass(slots=True)
class Stage:
    """From one FROM to the next."""

    name: str
    parent: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What follows each instruction of that name."""
        return [step.rest for step in self.steps if step.word == word]


def read(path: Path) -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first stage, and the stages by name, in their order."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    defaults: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        rest = " ".join(rest.split())
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            stage = stages.setdefault(name, Stage(name, parent))
        elif stage is None:
            assert word == "ARG", line
            name, _, value = rest.partition("=")
            defaults[name] = value
        else:
            stage.steps.append(Step(word, rest))
    return defaults, stages


def inherited(stages: dict[str, Stage], name: str) -> list[Step]:
    """The instructions of a stage and of those that it stands on, the oldest first."""
    stage = stages.get(name)
    return [] if stage is None else [*inherited(stages, stage.parent), *stage.steps]


def copied(stage: Stage) -> list[str]:
    """What a stage copies from the checkout."""
    words = [shlex.split(rest) for rest in stage.all("COPY") if not rest.startswith("--from=")]
    return [source for parts in words for source in parts[:-1]]
