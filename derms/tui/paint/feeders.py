"""The tree of feeders with the limits at each node. Pure."""

from derms.model import FeederMode
from derms.plot import fitted
from derms.tui.lines import Glyphs, Row, cut
from derms.tui.paint.gauge import gauge, standing, used
from derms.tui.picture import Picture
from derms.tui.said import kw

_GAUGE = 16


def titles(width: int) -> Row:
    """The titles, for a table of so many cells."""
    name = _name_width(width)
    text = f"{'feeder':<{name}} {'load kW':>9} {'import limit':<{_GAUGE + 6}} {'max kW':>9} {'export':>9} {'mode':<7}"
    return [(f"{text} {'devices':>8} set by", "dim")]


def _name_width(width: int) -> int:
    return min(max(width - 60, 14), 36)


def branches(tree: list[tuple[str, int]], glyphs: Glyphs) -> list[str]:
    """What stands before each name: `├─`, `└─`."""
    tee, corner, line = ("|- ", "`- ", "|  ") if glyphs.ascii_only else ("├─ ", "└─ ", "│  ")
    found: list[str] = []
    open_: list[bool] = []
    for at, (_, depth) in enumerate(tree):
        more = False
        for _, later in tree[at + 1 :]:
            if later <= depth:
                more = later == depth
                break
        del open_[depth:]
        found.append(
            "".join(line if one else "   " for one in open_[1:]) + ("" if not depth else tee if more else corner)
        )
        open_.append(more)
    return found


def feeder_cells(picture: Picture, feeder_id: str, branch: str, width: int, glyphs: Glyphs, *, chosen: bool) -> Row:
    """One node."""
    feeder = picture.feeder(feeder_id)
    if feeder is None:
        return [(feeder_id, "dim")]
    value = max(feeder.load_kw, 0.0)
    _, tone = standing(value, feeder.import_limit_kw)
    way = "" if feeder.load_kw >= -0.05 else " out"
    export = "-" if feeder.export_limit_kw is None else kw(feeder.export_limit_kw)
    name = fitted(f"{branch}{feeder_id}", _name_width(width), ascii_only=glyphs.ascii_only)
    source = feeder.limit_source if feeder.import_limit_kw is not None else ""
    row: Row = [
        (name, "accent" if chosen else "title"), (" ", ""),
        (fitted(f"{kw(abs(feeder.load_kw))}{way}", 9, right=True), "load"), (" ", ""),
        *gauge(value, feeder.import_limit_kw, _GAUGE, glyphs), (f" {used(value, feeder.import_limit_kw):>4} ", tone),
        (f" {kw(feeder.import_limit_kw) if feeder.import_limit_kw is not None else '-':>9}", "limit"),
        (f" {export:>9}", ""), (" ", ""),
        (f"{feeder.mode.value:<7}", "good" if feeder.mode is FeederMode.AUTO else "warn"),
        (f" {feeder.devices_total:>8,}", "dim"), (f" {source}", "dim" if source in ("static", "") else "window"),
    ]  # fmt: skip
    return cut(row, width, ascii_only=glyphs.ascii_only)
