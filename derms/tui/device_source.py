"""The device table: which devices, in which order; made anew only where something of that changed. Pure."""

import numpy as np

from derms.plot import Row
from derms.tui import query
from derms.tui.device_columns import Cell, DeviceColumn, column_at, device_row, header_row, layout
from derms.tui.fleet import Flags, Fleet, Ints, seconds_of
from derms.tui.lines import Glyphs, padded
from derms.tui.picture import Picture

SORTS = ("id", "type", "origin", "site", "soc", "priority", "actual", "setpoint", "error", "until", "state", "heard")
"""What the key to sort goes through."""


_REMEMBERED = 1000
_STEP_S = 10.0


class DeviceSource:
    """Filtered, sorted devices of a picture."""

    def __init__(self, picture: Picture, glyphs: Glyphs) -> None:
        self.picture = picture
        self.glyphs = glyphs
        self.sort = "id"
        self.down = False
        self.origin = ""
        self.kind = ""
        self.problem = ""
        """What is wrong with the filter that is being written."""
        self.now_s = 0.0
        """The controller's clock [epoch s]."""
        self._text = ""
        self._query = query.Query()
        self._rows: Ints = np.empty(0, dtype=np.int64)
        self._place: Ints = np.empty(0, dtype=np.int64)
        self._order_of: tuple[object, ...] = ()
        self._order: Ints = np.empty(0, dtype=np.int64)
        self._kept_of: tuple[object, ...] = ()
        self._kept: Flags | None = None
        self._columns: list[tuple[DeviceColumn, int]] = []
        self._width = -1
        self._made: dict[int, tuple[object, Row]] = {}
        """Rows as they were made last, by the device's place."""

    @property
    def text(self) -> str:
        """The filter as it was written."""
        return self._text

    def filter(self, text: str) -> None:
        """Filter by this; a term that cannot be meant yet is left out, and told."""
        self._text = text
        self._query, self.problem = query.begun(text)

    def refresh(self, now_s: float) -> None:
        """Look at the devices again."""
        self.now_s = now_s
        fleet = self.picture.fleet
        order, reordered = self._ordered(fleet)
        kept, refiltered = self._filtered(fleet, now_s)
        if not reordered and not refiltered:
            return
        self._rows = order if kept is None else order[kept[order]]
        self._place = np.full(len(fleet), -1, dtype=np.int64)
        self._place[self._rows] = np.arange(self._rows.size)

    def count(self) -> int:
        """How many devices are shown."""
        return int(self._rows.size)

    def key(self, at: int) -> str:
        """The id of the device in a row."""
        return self.picture.fleet.ids[int(self._rows[at])]

    def find(self, key: str) -> int | None:
        """The row of a device."""
        at = self.picture.fleet.at(key)
        if at is None or at >= self._place.size or self._place[at] < 0:
            return None
        return int(self._place[at])

    def row(self, at: int, width: int) -> Row:
        """One device."""
        place = int(self._rows[at])
        fleet = self.picture.fleet
        columns = self._laid_out(width)
        device, fell = fleet.rows[place], place in fleet.fell
        lease = device.get("lease")
        # What stands in a row changes with the device, and with ages in steps of `said.coarse`.
        made_of = (
            fleet.generation, fleet.versions[place], fell,
            _step(self.now_s, device.get("heard_at")), _step(self.now_s, lease["valid_until"] if lease else None),
        )  # fmt: skip
        known = self._made.get(place)
        if known is None or known[0] != made_of:
            if len(self._made) > _REMEMBERED:
                self._made.clear()
            row = padded(device_row(columns, Cell(fleet, place, self.now_s, self.glyphs, fell)), width)
            known = self._made[place] = (made_of, row)
        return known[1]

    def header(self, width: int) -> Row:
        """The titles, with an arrow."""
        return header_row(self._laid_out(width), self.sort, down=self.down, glyphs=self.glyphs)

    def column_at(self, x: int) -> DeviceColumn | None:
        """The column whose title is there."""
        return column_at(self._columns, x)

    def rows(self) -> list[dict[str, object]]:
        """The devices that are shown, in order, as the stream writes them."""
        return [self.picture.fleet.rows[at] for at in self._rows.tolist()]

    def _laid_out(self, width: int) -> list[tuple[DeviceColumn, int]]:
        if width != self._width:
            self._width, self._columns = width, layout(width)
            self._made.clear()
        return self._columns

    def _ordered(self, fleet: Fleet) -> tuple[Ints, bool]:
        stamp = 0 if self.sort == "id" else fleet.stamp(self.sort)
        now = (fleet, fleet.generation, self.sort, self.down, stamp)
        if now == self._order_of:
            return self._order, False
        self._order_of, self._order = now, fleet.order(self.sort, down=self.down)
        return self._order, True

    def _filtered(self, fleet: Fleet, now_s: float) -> tuple[Flags | None, bool]:
        terms = list(self._query.terms)
        if self.origin:
            terms.append(query.Term("origin", ":", (self.origin,)))
        if self.kind:
            terms.append(query.Term("type", ":", (self.kind,)))
        asked = query.Query(tuple(terms))
        stamps = tuple(fleet.stamp(name) for name in sorted(asked.columns))
        now = (fleet, fleet.generation, asked, stamps, now_s if asked.by_clock else 0.0)
        if now == self._kept_of:
            return self._kept, False
        self._kept_of = now
        self._kept = query.keep(asked, fleet, now_s=now_s, below=self.picture.below) if terms else None
        return self._kept, True


def _step(now_s: float, instant: str | None) -> int:
    """In which stretch of `coarse` an instant lies."""
    return 0 if instant is None else int((now_s - seconds_of(instant)) // _STEP_S)
