"""The columns of the device table: what stands in a cell, how wide, and what it is sorted by. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from derms.plot import Row, fitted, sparkline
from derms.tui.fleet import SPARK_CELLS, Fleet, error_kw, seconds_of, setpoint_kw, state_of
from derms.tui.lines import Glyphs
from derms.tui.said import coarse, flow, kw, percent

_ERROR_WARN_KW = 0.5
_SOC_CELLS = 6
_STATE_TONES = {
    "ok": "good", "local": "warn", "held": "warn", "blocked": "warn", "stale": "warn", "offline": "warn",
    "unavailable": "warn", "quarantined": "warn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell is made of."""

    fleet: Fleet
    at: int
    """The device's place."""
    now_s: float
    """The controller's clock [epoch s]."""
    glyphs: Glyphs
    fell: bool = False
    """Its setpoint fell a moment ago."""
    width: int = 0

    @property
    def row(self) -> dict[str, object]:
        """The device as the stream writes it."""
        return self.fleet.rows[self.at]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceColumn:
    """One column."""

    key: str
    """What it is sorted by: a column of the fleet."""
    title: str
    width: int
    from_width: int = 0
    """Shown when the table is at least so wide."""
    right: bool = False
    grows: bool = False
    cell: Callable[[Cell], Row]
    down_first: bool = False
    """Sorted by it, the largest come first."""


def _id(cell: Cell) -> Row:
    return [(fitted(str(cell.row["device_id"]), cell.width, ascii_only=cell.glyphs.ascii_only), "")]


def _origin(cell: Cell) -> Row:
    return [("PI", "physical")] if cell.row.get("origin") == "physical" else [("  ", "")]


_KIND = {"battery": "bat", "meter": "meter"}


def _type(cell: Cell) -> Row:
    kind = str(cell.row.get("type", ""))
    return [(fitted(_KIND.get(kind, kind), cell.width), kind if kind != "load" else "base")]


def _site(cell: Cell) -> Row:
    return [(fitted(str(cell.row.get("site_id") or ""), cell.width, ascii_only=cell.glyphs.ascii_only), "dim")]


def _feeder(cell: Cell) -> Row:
    return [(fitted(str(cell.row.get("feeder_id") or ""), cell.width, ascii_only=cell.glyphs.ascii_only), "dim")]


def soc_bar(soc: float | None, width: int, glyphs: Glyphs) -> Row:
    """A bar and its figure: `███▌░░  58%`."""
    if soc is None:
        return [(" " * width, "")]
    room = width - 5
    filled = min(max(round(soc * room), 0), room)
    tone = "bad" if soc < 0.1 else "warn" if soc < 0.2 else "soc"
    return [
        (glyphs.full * filled, tone),
        (glyphs.empty * (room - filled), "empty"),
        (f" {percent(soc):>4}", "" if soc >= 0.2 else tone),
    ]


def _soc(cell: Cell) -> Row:
    soc = cell.row.get("soc")
    return soc_bar(soc if isinstance(soc, float) else None, cell.width, cell.glyphs)


def _priority(cell: Cell) -> Row:
    return [(fitted(str(cell.row.get("priority", "")), cell.width, right=True), "dim")]


def _actual(cell: Cell) -> Row:
    value = cell.row.get("p_actual_kw")
    return [(fitted(flow(value if isinstance(value, float | int) else None), cell.width, right=True), "actual")]


def _setpoint(cell: Cell) -> Row:
    value = setpoint_kw(cell.row)
    mark = cell.glyphs.down if cell.fell else " "
    return [(mark, "warn"), (fitted(flow(value), cell.width - 1, right=True), "setpoint")]


def _error(cell: Cell) -> Row:
    value = error_kw(cell.row)
    far = value is not None and abs(value) >= _ERROR_WARN_KW
    text = kw(None if value is None else abs(value), digits=2)
    return [(fitted(text, cell.width, right=True), "warn" if far else "dim")]


def _lease(cell: Cell) -> Row:
    lease = cell.row.get("lease")
    if not isinstance(lease, dict):
        return [(fitted("-", cell.width, right=True), "dim")]
    left_s = seconds_of(lease["valid_until"]) - cell.now_s
    tone = "warn" if left_s < 5.0 else "" if lease.get("acknowledged") else "dim"
    return [(fitted(coarse(left_s), cell.width, right=True), tone)]


def state_row(row: dict[str, object], glyphs: Glyphs) -> Row:
    """`● ok`, `◐ stale`, `▲ fault`: glyph, word and tone say the same."""
    word = state_of(row)
    tone = _STATE_TONES.get(word, "stale" if word in ("never", "retired") else "bad")
    glyph = {
        "ok": glyphs.dot, "stale": glyphs.half, "lost": glyphs.ring, "never": glyphs.pick("·", "."),
        "fault": glyphs.warn, "held": glyphs.pick("■", "="), "blocked": glyphs.pick("■", "x"),
    }.get(word, glyphs.half)  # fmt: skip
    return [(f"{glyph} {word}", tone)]


def _state(cell: Cell) -> Row:
    (text, tone), *_ = state_row(dict(cell.row), cell.glyphs)
    return [(fitted(text, cell.width), tone)]


def _age(cell: Cell) -> Row:
    heard_s = cell.now_s - seconds_of(heard if isinstance(heard := cell.row.get("heard_at"), str) else None)
    late = cell.row.get("freshness") not in ("good", "never")
    return [(fitted(coarse(max(heard_s, 0.0)), cell.width, right=True), "warn" if late else "dim")]


def _spark(cell: Cell) -> Row:
    values = [None if value != value else value for value in cell.fleet.spark(cell.at)]
    most = max((abs(value) for value in values if value is not None), default=0.0)
    shown = [None if value is None else abs(value) for value in values]
    text = sparkline(shown, cell.width, low=0.0, high=max(most, 0.1), ascii_only=cell.glyphs.ascii_only)
    return [(text, "actual")]


COLUMNS = (
    DeviceColumn(key="id", title="device", width=14, grows=True, cell=_id),
    DeviceColumn(key="origin", title="", width=2, cell=_origin),
    DeviceColumn(key="type", title="type", width=5, cell=_type),
    DeviceColumn(key="feeder", title="feeder", width=12, from_width=116, cell=_feeder),
    DeviceColumn(key="site", title="site", width=12, from_width=102, cell=_site),
    DeviceColumn(key="soc", title="SOC", width=_SOC_CELLS + 5, cell=_soc),
    DeviceColumn(key="priority", title="pri", width=3, right=True, from_width=84, cell=_priority, down_first=True),
    DeviceColumn(key="actual", title="actual kW", width=9, right=True, cell=_actual, down_first=True),
    DeviceColumn(key="setpoint", title="setpoint", width=9, right=True, cell=_setpoint, down_first=True),
    DeviceColumn(key="error", title="error", width=6, right=True, cell=_error, down_first=True),
    DeviceColumn(key="until", title="lease", width=5, right=True, from_width=72, cell=_lease),
    DeviceColumn(key="state", title="state", width=9, cell=_state),
    DeviceColumn(key="heard", title="age", width=4, right=True, from_width=94, cell=_age),
    DeviceColumn(key="actual", title="trend", width=SPARK_CELLS, from_width=126, cell=_spark),
)
"""From left to right; sorted by the trend is sorted by what is drawn."""
_GAP = 1
_MOST_GROWN = 28


def layout(width: int) -> list[tuple[DeviceColumn, int]]:
    """The columns that a table of so many cells shows, and how wide each is."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    rest = width - sum(column.width for column in shown) - _GAP * (len(shown) - 1)
    return [
        (column, min(max(column.width + rest, 8), _MOST_GROWN) if column.grows else column.width) for column in shown
    ]


def header_row(columns: list[tuple[DeviceColumn, int]], sort: str, *, down: bool, glyphs: Glyphs) -> Row:
    """Titles, and an arrow at the one that it is sorted by."""
    row: Row = []
    marked = False
    for number, (column, width) in enumerate(columns):
        if number:
            row.append((" " * _GAP, ""))
        mine = column.key == sort and not marked
        marked |= mine
        arrow = (glyphs.down if down else glyphs.up) if mine else ""
        title = fitted(column.title, max(width - len(arrow), 0), ascii_only=glyphs.ascii_only).rstrip()
        row.append((fitted(title + arrow, width, right=column.right), "accent" if mine else "dim"))
    return row


def device_row(columns: list[tuple[DeviceColumn, int]], cell: Cell) -> Row:
    """One device."""
    row: Row = []
    for number, (column, width) in enumerate(columns):
        if number:
            row.append((" " * _GAP, ""))
        row += column.cell(Cell(cell.fleet, cell.at, cell.now_s, cell.glyphs, cell.fell, width))
    return row


def column_at(columns: list[tuple[DeviceColumn, int]], x: int) -> DeviceColumn | None:
    """The column that a cell of the header belongs to."""
    begin = 0
    for column, width in columns:
        if begin <= x < begin + width + _GAP:
            return column
        begin += width + _GAP
    return None
