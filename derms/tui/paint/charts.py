"""The screen of charts: how full batteries and cars are, who does not follow, and what was asked and done. Pure."""

import numpy as np

from derms.plot import Bar, bars, binned
from derms.tui.lines import Row, beside, heading, share, stacked
from derms.tui.paint.detail import Chosen, device_chart
from derms.tui.paint.overview import Scene, feeder_chart
from derms.tui.picture import Picture

_BINS = 10
_TONES = ("bad", "warn", *("soc",) * 8)


def charts(picture: Picture, chosen: Chosen | None, scene: Scene) -> list[Row]:
    """The whole screen."""
    width, height, glyphs = scene.width, scene.height, scene.glyphs
    upper = min(max(height // 2, 8), _BINS + 2 if height < 40 else 16)
    left, right = share(width, 2, gap=3)
    top = beside([(soc_panel(picture, scene, left, upper), left), (error_panel(picture, scene, right, upper), right)],
                 upper, gap=3)  # fmt: skip
    rest = height - upper
    feeder = [heading("Feeder", left, glyphs, note=scene.feeder_id), *feeder_chart(picture, scene, left, rest - 1)]
    if width >= 110 and chosen is not None:
        lower = beside(
            [
                (feeder, left),
                ([heading("Setpoint against actual", right, glyphs, note=chosen.device_id),
                  *device_chart(chosen, scene, right, rest - 1)], right),
            ],
            rest, gap=3,
        )  # fmt: skip
    elif chosen is not None:
        head = heading("Setpoint against actual", width, glyphs, note=f"{chosen.device_id}, chosen among the devices")
        lower = [head, *device_chart(chosen, scene, width, rest - 1)]
    else:
        lower = [heading("Feeder", width, glyphs, note=scene.feeder_id), *feeder_chart(picture, scene, width, rest - 1)]
    return stacked([*top, *lower], width, height, ascii_only=glyphs.ascii_only)


def soc_panel(picture: Picture, scene: Scene, width: int, height: int) -> list[Row]:
    """How many batteries and cars are how full."""
    soc = picture.fleet.column("soc")
    known = soc[np.isfinite(soc)]
    mean = f"mean {known.mean() * 100.0:.0f}%, {known.size:,} with a SOC" if known.size else "nobody tells a SOC"
    rows = [heading("State of charge", width, scene.glyphs, note=mean)]
    room = max(height - 2, 1)
    bins = _BINS if room >= _BINS else 5
    counted = binned(known.tolist(), bins=bins)
    what = [
        Bar(label=f"{each.low * 100:3.0f}-{each.high * 100:.0f}%", value=float(each.count),
            tone=_TONES[min(int(each.low * 10), 9)])
        for each in reversed(counted)
    ]  # fmt: skip
    return rows + bars(what, width, min(room, len(what)), digits=0, ascii_only=scene.glyphs.ascii_only)


def error_panel(picture: Picture, scene: Scene, width: int, height: int) -> list[Row]:
    """Who is farthest from their setpoint now, the worst first."""
    fleet = picture.fleet
    errors = fleet.column("error")
    known = np.flatnonzero(np.isfinite(errors))
    note = f"mean {errors[known].mean():.2f} kW of {known.size:,}" if known.size else "nobody follows a setpoint"
    rows = [heading("Tracking error, worst first", width, scene.glyphs, note=note)]
    room = max(height - 2, 1)
    worst = known[np.argsort(-errors[known], kind="stable")[:room]].tolist()
    what = [
        Bar(label=fleet.ids[at], value=float(errors[at]), tone="bad" if errors[at] >= 1.0 else
            "warn" if errors[at] >= 0.5 else "good")
        for at in worst
    ]  # fmt: skip
    return rows + bars(what, width, unit="kW", digits=2, ascii_only=scene.glyphs.ascii_only)
