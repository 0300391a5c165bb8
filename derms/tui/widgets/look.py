"""How tones look: as colours of a palette, or as attributes where there are no colours."""

from dataclasses import dataclass, field

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from derms.plot import Row, cells
from derms.plot.text import safe
from derms.tui.palette import BOLD, EDGES, REVERSED, Palette

_WEAK = frozenset({"dim", "stale", "edge", "empty", "axis", "label"})


@dataclass(slots=True)
class Look:
    """What every widget paints with; another one for another theme."""

    palette: Palette
    colour: bool = True
    ascii_only: bool = False
    _styles: dict[tuple[str, str, bool], Style] = field(default_factory=dict)

    def style(self, tone: str, ground: str = "", *, frozen: bool = False) -> Style:
        """The style of a tone.

        Args:
            tone: What it means.
            ground: What is behind it: `bar`, `cursor`, or nothing.
            frozen: It is old: everything is grey.
        """
        key = (tone, ground, frozen)
        if (style := self._styles.get(key)) is None:
            style = self._styles[key] = self._made(tone, ground, frozen)
        return style

    def strip(self, row: Row, width: int, ground: str = "", *, frozen: bool = False) -> Strip:
        """A row in exactly so many cells."""
        segments: list[Segment] = []
        room = width
        for text, tone in row:
            shown = text if text.isascii() and text.isprintable() else safe(text, ascii_only=self.ascii_only)
            segments.append(Segment(shown, self.style(tone, ground, frozen=frozen)))
            room -= cells(shown)
        if room > 0:
            segments.append(Segment(" " * room, self.style("", ground, frozen=frozen)))
        strip = Strip(segments, width - min(room, 0))
        return strip.crop(0, width) if room < 0 else strip

    def _made(self, tone: str, ground: str, frozen: bool) -> Style:
        if not self.colour:
            return Style(
                bold=(tone in BOLD and not frozen) or None,
                dim=(frozen or tone in _WEAK) or None,
                reverse=(ground == "cursor") != (tone in REVERSED) or None,
            )
        palette = self.palette
        behind = {"bar": palette.bar, "cursor": palette.cursor}.get(ground, palette.background)
        front = palette.colour(tone if not frozen or tone in EDGES else "stale")
        if tone in REVERSED and not frozen:
            front, behind = behind, front
        return Style(color=front, bgcolor=behind, bold=(tone in BOLD and not frozen) or None)
