"""Tones, and the colours they have in each theme. Pure.

A tone is a name for what something means; text and glyph say the same, so that colour is never all there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_CONTRAST = 4.5
"""Of text on what is behind it. Source: WCAG 2.2, success criterion 1.4.3."""
MIN_EDGE_CONTRAST = 3.0
"""Of lines and empty bars, which are no text. Source: WCAG 2.2, success criterion 1.4.11."""

EDGES = frozenset({"edge", "empty", "shade", "shade-planned"})
"""Tones that are never text."""
BOLD = frozenset({"title", "bad", "alarm", "key", "good", "warn", "physical", "tab", "now"})
REVERSED = frozenset({"physical", "tab", "alarm", "window-bar", "planned-bar", "over-bar"})
"""Shown the other way round: what is behind is in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one theme, each as `#rrggbb`."""

    name: str
    title: str
    dark: bool
    background: str
    bar: str
    """Behind the first and the last line."""
    cursor: str
    """Behind the row that is chosen."""
    text: str
    tones: Mapping[str, str] = field(default_factory=dict)

    def colour(self, tone: str) -> str:
        """The colour of a tone; text's for one that has none of its own."""
        return self.tones.get(tone.removesuffix("-bar"), self.text)


def contrast(one: str, other: str) -> float:
    """How well one colour stands out from another, 1..21.

    Source: WCAG 2.2, definition of contrast ratio.
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, 0..1. Source: WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255.0 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


NIGHT = Palette(
    name="night",
    title="Night",
    dark=True,
    background="#10141b",
    bar="#1b2330",
    cursor="#26344a",
    text="#d7dee8",
    tones={
        "dim": "#97a4b6", "title": "#ffffff", "key": "#ffc857", "edge": "#6b7a90", "empty": "#647286",
        "good": "#4fd58d", "warn": "#ffb648", "bad": "#ff8f87", "alarm": "#ff8f87", "stale": "#98a1ad",
        "info": "#6cb6ff", "accent": "#8fc7ff", "tab": "#8fc7ff", "physical": "#ffc857",
        "load": "#6cb6ff", "limit": "#ff8f87", "background": "#a4b0c0", "commanded": "#e0a0ff", "pv": "#ffd75e",
        "ev": "#62d6e8", "battery": "#7ddc8b", "base": "#b8c2cf", "actual": "#6cb6ff", "setpoint": "#e0a0ff",
        "soc": "#7ddc8b", "reserve": "#ffb648", "shade": "#6f6193", "shade-planned": "#626c8c",
        "window": "#c9a2f0", "planned": "#a99bd8", "over": "#97a4b6",
        "axis": "#95a2b4", "label": "#a4b0c0", "now": "#ffffff",
    },
)  # fmt: skip

DAY = Palette(
    name="day",
    title="Day",
    dark=False,
    background="#fbfaf6",
    bar="#e9e6dc",
    cursor="#dbe6f5",
    text="#1d2530",
    tones={
        "dim": "#545e6c", "title": "#000000", "key": "#7a4300", "edge": "#7d8794", "empty": "#7d8794",
        "good": "#0b6432", "warn": "#8a4a00", "bad": "#b3141e", "alarm": "#b3141e", "stale": "#5d6673",
        "info": "#0b519f", "accent": "#0b519f", "tab": "#0b519f", "physical": "#7a4300",
        "load": "#0b519f", "limit": "#b3141e", "background": "#545e6c", "commanded": "#7c1fa0", "pv": "#7d5200",
        "ev": "#005e70", "battery": "#17652f", "base": "#46505d", "actual": "#0b519f", "setpoint": "#7c1fa0",
        "soc": "#17652f", "reserve": "#8a4a00", "shade": "#9480b0", "shade-planned": "#7f8fae",
        "window": "#6a3d96", "planned": "#5b4a94", "over": "#545e6c",
        "axis": "#5d6673", "label": "#545e6c", "now": "#000000",
    },
)  # fmt: skip

CONTRAST = Palette(
    name="contrast",
    title="High contrast",
    dark=True,
    background="#000000",
    bar="#000000",
    cursor="#003a8c",
    text="#ffffff",
    tones={
        "dim": "#e6e6e6", "key": "#ffff00", "edge": "#ffffff", "empty": "#b0b0b0",
        "good": "#66ff99", "warn": "#ffd000", "bad": "#ffa8a0", "alarm": "#ffa8a0", "stale": "#d0d0d0",
        "info": "#8cf0ff", "accent": "#8cf0ff", "tab": "#ffff00", "physical": "#ffff00",
        "load": "#8cf0ff", "limit": "#ffa8a0", "background": "#e6e6e6", "commanded": "#ffb3ff", "pv": "#ffff00",
        "ev": "#8cf0ff", "battery": "#66ff99", "base": "#e6e6e6", "actual": "#8cf0ff", "setpoint": "#ffb3ff",
        "shade": "#a070b0", "shade-planned": "#8080b0",
        "soc": "#66ff99", "reserve": "#ffd000", "window": "#ffb3ff", "planned": "#ffb3ff",
    },
)  # fmt: skip

_ORANGE, _SKY, _GREEN, _YELLOW, _VERMILION, _PURPLE = (
    "#e69f00", "#56b4e9", "#0fb085", "#f0e442", "#ee7a2e", "#d98db6"
)  # fmt: skip
OKABE_ITO = Palette(
    name="okabe-ito",
    title="Colour-blind safe (Okabe-Ito)",
    dark=True,
    background="#000000",
    bar="#141414",
    cursor="#1f2a38",
    text="#f2f2f2",
    tones={
        "dim": "#b4b4b4", "title": "#ffffff", "key": _YELLOW, "edge": "#808080", "empty": "#757575",
        "good": _SKY, "warn": _ORANGE, "bad": _VERMILION, "alarm": _VERMILION, "stale": "#a6a6a6",
        "info": _SKY, "accent": _SKY, "tab": _SKY, "physical": _YELLOW,
        "load": _SKY, "limit": _VERMILION, "background": "#b4b4b4", "commanded": _PURPLE, "pv": _YELLOW,
        "ev": _SKY, "battery": _GREEN, "base": "#c8c8c8", "actual": _SKY, "setpoint": _PURPLE,
        "shade": "#8a5b75", "shade-planned": "#6f7585",
        "soc": _GREEN, "reserve": _ORANGE, "window": _PURPLE, "planned": _PURPLE,
        "axis": "#9a9a9a", "label": "#b4b4b4", "now": "#ffffff",
    },
)  # fmt: skip
"""After M. Okabe and K. Ito 2008, Color Universal Design; vermilion, green and purple a little lighter than there, for
the contrast of text on black, blue left out for the same reason."""

PALETTES = {palette.name: palette for palette in (DAY, NIGHT, CONTRAST, OKABE_ITO)}
AUTO = "auto"
"""Day or night, by the sun."""
THEMES = (AUTO, *PALETTES)
