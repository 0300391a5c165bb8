"""Dots in cells: eight of braille, or one character of ASCII. Pure.

Dots are counted from the left and from above, as rows are printed.
"""

_LEFT = (0x01, 0x02, 0x04, 0x40)
_RIGHT = (0x08, 0x10, 0x20, 0x80)
_BRAILLE = 0x2800
DOTS_ACROSS, DOTS_DOWN = 2, 4
"""Of a cell in braille."""


def _spans(bits: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sum(bits[low : high + 1]) for high in range(4)) for low in range(4))


_MASKS = (_spans(_LEFT), _spans(_RIGHT))
"""By side, first and last dot of a cell: its bits."""


class Raster:
    """A grid of cells that can be drawn upon.

    Args:
        width: In cells.
        height: In cells.
        ascii_only: A cell is one dot.
    """

    def __init__(self, width: int, height: int, *, ascii_only: bool) -> None:
        self.width, self.height = width, height
        self.across, self.down = (1, 1) if ascii_only else (DOTS_ACROSS, DOTS_DOWN)
        """Dots a cell."""
        self.columns, self.rows = width * self.across, height * self.down
        """In dots."""
        self._ascii = ascii_only
        self._bits = [[0] * width for _ in range(height)]
        self._marks = [[" "] * width for _ in range(height)]
        self._tones = [[""] * width for _ in range(height)]

    def stroke(self, column: int, first: int, last: int, mark: str, tone: str) -> None:
        """Dots from one row to another, in either order, in one column; both within the grid."""
        if first > last:
            first, last = last, first
        at = column // self.across
        if self._ascii:
            for row in range(first, last + 1):
                self._marks[row][at], self._tones[row][at] = mark, tone
            return
        masks = _MASKS[column & 1]
        top, bottom = first >> 2, last >> 2
        for row in range(top, bottom + 1):
            self._bits[row][at] |= masks[first & 3 if row == top else 0][last & 3 if row == bottom else 3]
            self._tones[row][at] = tone

    def ground(self, at: int, row: int, mark: str, tone: str) -> None:
        """What a cell shows as long as it has no dot; before the first stroke."""
        self._marks[row][at], self._tones[row][at] = mark, tone

    def characters(self, row: int) -> list[str]:
        """What a row of cells looks like."""
        if self._ascii:
            return self._marks[row]
        return [
            chr(_BRAILLE + bits) if bits else mark for bits, mark in zip(self._bits[row], self._marks[row], strict=True)
        ]

    def tones(self, row: int) -> list[str]:
        """The tones of a row of cells."""
        return self._tones[row]
