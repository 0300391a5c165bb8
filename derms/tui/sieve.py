"""What is written to the terminal, made smaller and plainer on its way. Pure.

Textual writes colours and attributes anew for every piece of text. Here only what is another is written, which halves
the bytes over a slow line; colours are left out where none are wanted; and what is beyond ASCII becomes ASCII where the
terminal knows nothing else.
"""

import re

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_SILENT = re.compile(r"(?:\x1b\[[0-9;?]*[A-Za-ln-z])*")
"""Sequences that put nothing on the screen, and whose meaning no colour changes."""

_ASCII = str.maketrans({
    **dict.fromkeys("─━╌┄┈═╍┅┉▁▔▂▃⎯╴╶╸╺", "-"),
    **dict.fromkeys("│┃║╎┆┊▏▎▍▌▐▕╹╻╷╵", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋", "+"),
    **dict.fromkeys("█▉▊▋▇▆▅▄▀■◼", "#"),
    **dict.fromkeys("░▒▓", ":"),
    **dict.fromkeys("●⬤•", "*"),
    **dict.fromkeys("○◐◯◌", "o"),
    **dict.fromkeys("▶▸▷❯›»→", ">"),
    **dict.fromkeys("◀◂◁‹«←", "<"),
    **dict.fromkeys("▲△↑⏶", "^"),
    **dict.fromkeys("▼▽↓⏷", "v"),
    "·": ".", "…": "~", "×": "x", "–": "-", "—": "-", "✓": "v", "✔": "v", "✗": "x", "✕": "x", "⭘": "o",
    "\N{NO-BREAK SPACE}": " ", "“": '"', "”": '"', "’": "'", "‘": "'", "≤": "<", "≥": ">", "±": "+", "°": "o",
})  # fmt: skip


def ascii_of(text: str) -> str:
    """The text in ASCII, as many characters as before; what has no likeness is `?`."""
    return text if text.isascii() else text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


class Sieve:
    """Passes on what is written, with the fewest changes of colour.

    Args:
        ascii_only: Nothing beyond ASCII.
        colour: Colours may be written; bold, reversed and so on always are.
    """

    def __init__(self, *, ascii_only: bool = False, colour: bool = True) -> None:
        self._ascii = ascii_only
        self._colour = colour
        self._wanted: dict[str, str] = {}
        """What the text to come is to look like: by `38`, `48` or the attribute's number."""
        self._there: dict[str, str] = {}
        """What the terminal does now."""

    def passed(self, data: str) -> str:
        """What is to be written instead."""
        parts = _SGR.split(data)
        out: list[str] = []
        for at, part in enumerate(parts):
            if at % 2:
                self._want(part)
            elif part:
                if self._wanted != self._there and not _SILENT.fullmatch(part):
                    out.append(self._change())
                out.append(ascii_of(part) if self._ascii else part)
        return "".join(out)

    def reset(self) -> str:
        """Back to nothing, before somebody else writes."""
        self._wanted = {}
        return self._change() if self._there else ""

    def _want(self, parameters: str) -> None:
        numbers = parameters.split(";") if parameters else ["0"]
        at = 0
        wanted = dict(self._wanted)
        while at < len(numbers):
            number = numbers[at]
            if number in ("0", ""):
                wanted = {}
            elif number in ("38", "48"):
                size = 5 if numbers[at + 1 : at + 2] == ["2"] else 3
                if self._colour:
                    wanted[number] = ";".join(numbers[at : at + size])
                at += size - 1
            elif number.isdigit() and (30 <= int(number) <= 49 or 90 <= int(number) <= 107):
                if self._colour:
                    ground = "38" if int(number) <= 39 or 90 <= int(number) <= 97 else "48"
                    wanted[ground] = number
                    if number in ("39", "49"):
                        wanted.pop(ground, None)
            elif number == "22":
                wanted.pop("1", None)
                wanted.pop("2", None)
            elif number in ("23", "24", "25", "27", "28", "29"):
                wanted.pop(number[1], None)
            else:
                wanted[number] = number
            at += 1
        self._wanted = wanted

    def _change(self) -> str:
        gone = self._there.keys() - self._wanted.keys()
        if gone:
            codes = ["0", *self._wanted.values()] if self._wanted else [""]
        else:
            codes = [code for key, code in self._wanted.items() if self._there.get(key) != code]
        self._there = self._wanted
        return f"\x1b[{';'.join(codes)}m"
