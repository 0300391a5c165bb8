"""What is written to the terminal, made smaller and plainer on its way. Pure.

Textual writes a line from the left edge of its widget to the last cell that changed, and colours anew for every piece
of text. Here it is known what stands on the terminal, and only cells that are others are written, with the fewest
changes of colour: a tenth of the bytes, which a slow line feels. Colours are left out where none are wanted, and what
is beyond ASCII becomes ASCII where the terminal knows nothing else.
"""

import re

_TOKEN = re.compile(r"\x1b\[([0-9;]*)([Hm])|(\x1b\[[0-9;?<>=!]*[ -/]*[@-~]|\x1b\].*?(?:\a|\x1b\\)|\x1b.)|\n", re.DOTALL)
"""Where the cursor goes, what text looks like, any other sequence, or the end of a line."""
_WIPES = re.compile(r"\x1b\[(?:\?1049|\?47|[0-9;]*[JKLMPSTX@r])")
"""What changes the screen in other ways."""
_LONG_AGO: tuple[str, str] = ("", "?")
_NEAR = 6
"""To go on over so few cells that are the same costs no more than to jump over them."""

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
    """Passes on what is written, as far as the terminal does not show it already.

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
        """What the terminal would make text look like now."""
        self._style = ""
        self._at: tuple[int, int] | None = None
        """Where the text to come is to stand: row and column, from 0; None: wherever the cursor is."""
        self._cursor: tuple[int, int] | None = None
        """Where the terminal's cursor is."""
        self._rows: dict[int, list[tuple[str, str]]] = {}
        """What stands on the terminal: character and style of each cell."""

    def forget(self) -> None:
        """It is not known any more what stands on the terminal."""
        self._rows.clear()
        self._cursor = None

    def passed(self, data: str) -> str:
        """What is to be written instead."""
        out: list[str] = []
        begin = 0
        for token in _TOKEN.finditer(data):
            if token.start() > begin:
                self._text(data[begin : token.start()], out)
            begin = token.end()
            parameters, kind, other = token.groups()
            if kind == "m":
                self._want(parameters)
            elif kind == "H":
                row, _, column = parameters.partition(";")
                self._at = (int(row or 1) - 1, int(column or 1) - 1)
            elif other is not None:
                if _WIPES.match(other):
                    self.forget()
                out.append(other)
            else:
                self._at = None if self._at is None else (self._at[0] + 1, 0)
        if begin < len(data):
            self._text(data[begin:], out)
        return "".join(out)

    def reset(self) -> str:
        """Back to nothing, before somebody else writes."""
        self._want("")
        return self._change() if self._there else ""

    def _text(self, text: str, out: list[str]) -> None:
        shown = ascii_of(text) if self._ascii else text
        if self._at is None or not _single(shown):
            self._blindly(shown, out)
            return
        row, column = self._at
        cells = self._rows.setdefault(row, [])
        end = column + len(shown)
        if len(cells) < end:
            cells += [_LONG_AGO] * (end - len(cells))
        style = self._style
        begun, last = -1, -1
        for at, character in enumerate(shown, column):
            if cells[at] != (character, style):
                cells[at] = (character, style)
                if begun >= 0 and at - last > _NEAR:
                    self._emit(row, begun, shown[begun - column : last + 1 - column], out)
                    begun = -1
                begun = at if begun < 0 else begun
                last = at
        if begun >= 0:
            self._emit(row, begun, shown[begun - column : last + 1 - column], out)
        self._at = (row, end)

    def _blindly(self, text: str, out: list[str]) -> None:
        """Write what takes nobody knows how many cells."""
        if self._at is not None:
            row, column = self._at
            out.append(f"\x1b[{row + 1};{column + 1}H")
            del self._rows.setdefault(row, [])[column:]
        if self._wanted != self._there:
            out.append(self._change())
        out.append(text)
        self._at = self._cursor = None

    def _emit(self, row: int, column: int, text: str, out: list[str]) -> None:
        if self._cursor != (row, column):
            out.append(f"\x1b[{row + 1};{column + 1}H")
        if self._wanted != self._there:
            out.append(self._change())
        out.append(text)
        # At the right edge a terminal's cursor may wait or wrap: the next text says where it goes.
        self._cursor = (row, column + len(text))

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
        self._style = ";".join(sorted(wanted.values()))

    def _change(self) -> str:
        gone = self._there.keys() - self._wanted.keys()
        if gone:
            codes = ["0", *self._wanted.values()] if self._wanted else [""]
        else:
            codes = [code for key, code in self._wanted.items() if self._there.get(key) != code]
        self._there = self._wanted
        return f"\x1b[{';'.join(codes)}m"


def _single(text: str) -> bool:
    """Whether every character takes one cell."""
    return text.isascii() or all(
        ord(one) < 0x300 or 0x370 <= ord(one) < 0x1100 or 0x2000 < ord(one) < 0x2E80 for one in text
    )
