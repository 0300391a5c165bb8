"""What can be done, and by which keys: one list for keys, foot line, help and palette. Pure."""

from dataclasses import dataclass

from derms.model import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that can be done."""

    keys: tuple[str, ...]
    """As Textual names them; the first one is shown."""
    action: str
    """The method `action_...` of the view or the application."""
    title: str
    """In the foot line and the palette."""
    help: str = ""
    """In the help; empty: the title."""
    needs: Role | None = None
    """The least role that may; None: everybody."""
    top: bool = False
    """It stands in the foot line."""


_SHOWN = {
    "question_mark": "?", "slash": "/", "colon": ":", "ctrl+p": "^p", "ctrl+c": "^c", "ctrl+d": "^d", "ctrl+u": "^u",
    "ctrl+r": "^r", "ctrl+l": "^l", "ctrl+f": "^f", "ctrl+b": "^b", "escape": "esc", "enter": "enter",
    "left_square_bracket": "[",
    "right_square_bracket": "]", "pagedown": "pgdn", "pageup": "pgup", "plus": "+", "minus": "-",
    "less_than_sign": "<", "equals_sign": "=", "greater_than_sign": ">", "shift+tab": "shift-tab",
}  # fmt: skip


def key_name(key: str) -> str:
    """A key as people write it."""
    return _SHOWN.get(key, key)


def key_names(command: Command) -> str:
    """All keys of a command."""
    return " ".join(dict.fromkeys(key_name(key) for key in command.keys))
