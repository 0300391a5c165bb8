"""What kinds of names a shell may complete, said where a parameter is declared. Pure."""

from collections.abc import Callable
from enum import StrEnum

import typer


class Kind(StrEnum):
    """What is named."""

    ALARM = "alarm"
    CONTEXT = "context"
    DEVICE = "device"
    EVENT = "event"
    FEEDER = "feeder"
    PROGRAM = "program"
    TOPIC = "topic"
    USER = "user"


_KINDS: dict[Callable[..., list[str]], Kind] = {}


def names_of(kind: Kind) -> Callable[[str], list[str]]:
    """What a parameter is declared with; `derms.cli.completing` finds the names, not this."""

    def complete(incomplete: str) -> list[str]:
        return []

    _KINDS[complete] = kind
    return complete


def kind_of(parameter: typer.models.ParameterInfo) -> Kind | None:
    """What kind of names a parameter takes; None: none that are known."""
    return None if parameter.autocompletion is None else _KINDS.get(parameter.autocompletion)
