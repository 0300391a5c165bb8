"""How somebody left the screens of one context, so that they find them so again."""

import contextlib
import os
import secrets
from pathlib import Path

import msgspec

from derms.tui.palette import AUTO, THEMES


class UiState(msgspec.Struct, kw_only=True):
    """What is kept; never a secret, and nothing that the controller knows better."""

    view: str = "overview"
    theme: str = AUTO
    feeder: str = ""
    """The feeder that is looked at; empty: the first one."""
    sort: str = "id"
    down: bool = False
    filter: str = ""
    origin: str = ""
    """The chip: `physical`, `simulated`; empty: all."""
    kind: str = ""
    """The chip: a type of device; empty: all."""
    minutes: int = 30
    """How far back charts go."""


def read_state(path: Path | None) -> UiState:
    """What was kept; what cannot be read is as if nothing was: it is a convenience, and must not stop anybody."""
    if path is None:
        return UiState()
    try:
        state = msgspec.json.decode(path.read_bytes(), type=UiState)
    except (OSError, msgspec.DecodeError):
        return UiState()
    if state.theme not in THEMES:
        state.theme = AUTO
    return state


def write_state(path: Path | None, state: UiState) -> None:
    """Keep it, at once or not at all; where that cannot be it is let be."""
    if path is None:
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(state) + b"\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def reset_state(path: Path | None) -> None:
    """Keep nothing."""
    if path is not None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
