"""The devices as columns: a table of 100,000 is sorted and filtered with a few array operations. Pure.

Rows stay as the stream writes them, and are looked at only where they are shown. A column is made when somebody first
asks for it, and then follows the changes: what nobody sorts or filters by costs nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Row: TypeAlias = Mapping[str, Any]
"""A device as in `PictureOut.devices`."""
Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

SPARK_CELLS = 8
SPARK_S = 15.0
"""One cell of a sparkline [s]."""


FELL_S = 8.0
"""For how long it is told that a setpoint fell [s]."""
FELL_KW = 0.3
"""A setpoint that fell by less did not make room [kW]."""


def seconds_of(text: str | None) -> float:
    """An instant of the stream [epoch s]; NaN: there is none."""
    return float("nan") if text is None else datetime.fromisoformat(text).timestamp()


def setpoint_kw(row: Row) -> float | None:
    """What the device is told [kW], or else what it says it follows; None: neither."""
    lease = row.get("lease")
    return row.get("p_setpoint_kw") if lease is None else lease["p_setpoint_kw"]


def error_kw(row: Row) -> float | None:
    """What it draws less what it says it follows [kW]; None: one of them is not known.

    A panel's setpoint says how much it may make at most: making less is no error.
    """
    actual, followed = row.get("p_actual_kw"), row.get("p_setpoint_kw")
    if actual is None or followed is None:
        return None
    error: float = actual - followed
    return min(error, 0.0) if row.get("type") == "pv" else error


def state_of(row: Row) -> str:
    """What matters most about a device, in one word."""
    if (enrolment := row.get("enrolment", "active")) != "active":
        return str(enrolment)
    if row.get("status") == "fault":
        return "fault"
    if (override := row.get("override")) is not None:
        return "held" if override["kind"] == "hold" else "blocked"
    freshness = row.get("freshness", "never")
    if freshness != "good":
        return str(freshness)
    if row.get("online") is False:
        return "offline"
    status = row.get("status") or "ok"
    return str(status)


STATES = (
    "fault", "lost", "stale", "never", "offline", "unavailable", "blocked", "held", "local", "quarantined", "retired",
    "ok",
)  # fmt: skip
"""In the order in which somebody should look at them."""


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


_NUMBERS: dict[str, tuple[tuple[str, ...], Callable[[Row], float]]] = {
    "soc": (("soc",), lambda row: _number(row.get("soc"))),
    "priority": (("priority",), lambda row: _number(row.get("priority"))),
    "actual": (("p_actual_kw",), lambda row: _number(row.get("p_actual_kw"))),
    "setpoint": (("lease", "p_setpoint_kw"), lambda row: _number(setpoint_kw(row))),
    "followed": (("p_setpoint_kw",), lambda row: _number(row.get("p_setpoint_kw"))),
    "error": (("p_actual_kw", "p_setpoint_kw"), lambda row: abs(_number(error_kw(row)))),
    "until": (("lease",), lambda row: seconds_of(None if row.get("lease") is None else row["lease"]["valid_until"])),
    "heard": (("heard_at",), lambda row: seconds_of(row.get("heard_at"))),
    "max": (("p_import_max_kw", "p_export_max_kw"),
            lambda row: max(row.get("p_import_max_kw") or 0.0, row.get("p_export_max_kw") or 0.0)),
    "state": (("enrolment", "status", "override", "freshness", "online"),
              lambda row: float(STATES.index(word)) if (word := state_of(row)) in STATES else float(len(STATES))),
}  # fmt: skip
"""Numeric columns: the fields they are made of, and how; what is not known is NaN."""
_WORDS: dict[str, str] = {"type": "type", "origin": "origin", "feeder": "feeder_id", "site": "site_id"}
"""Columns of words: their field. Kept as numbers of words."""
COLUMNS = (*_NUMBERS, *_WORDS, "id")


class Column:
    """One column; as long as the fleet."""

    def __init__(self, size: int) -> None:
        self.values: Floats = np.full(size, np.nan)
        self.touched: list[int] = []
        self.stamp = 0
        """Rises when a value may be another."""


class Fleet:
    """All devices of a picture."""

    def __init__(self) -> None:
        """Know none."""
        self.ids: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.generation = 0
        """Rises when there are other devices than before."""
        self._index: dict[str, int] = {}
        self._columns: dict[str, Column] = {}
        self._by_field: dict[str, list[Column]] = {}
        self._words: dict[str, list[str]] = {}
        self._texts: list[str] = []
        self._texts_of = -1
        self._ranks: Ints = np.empty(0, dtype=np.int64)
        self._ranks_of = -1
        self.versions: list[int] = []
        """Of each device; rises when anything of it is another."""
        self.fell: dict[int, tuple[float, float]] = {}
        """Devices whose setpoint fell lately: when [epoch s], and by how much [kW]."""
        self._spark = np.empty((SPARK_CELLS, 0), dtype=np.float32)
        self._spark_next = 0
        self._spark_slot = -1

    def __len__(self) -> int:
        return len(self.ids)

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Begin anew with a whole picture."""
        self.rows = list(rows)
        self.ids = [row["device_id"] for row in self.rows]
        self._index = {device_id: at for at, device_id in enumerate(self.ids)}
        self.versions = [0] * len(self.ids)
        self.fell = {}
        self._forget()
        self._spark = np.full((SPARK_CELLS, len(self.ids)), np.nan, dtype=np.float32)
        self._spark_slot = -1

    def change(self, changes: Sequence[dict[str, Any]], *, now_s: float = 0.0) -> None:
        """Take in what is not as it was.

        Args:
            changes: A device's id and the fields that are others, each.
            now_s: The controller's clock [epoch s].
        """
        new = False
        for change in changes:
            at = self._index.get(change["device_id"])
            if at is None:
                self._index[change["device_id"]] = len(self.ids)
                self.ids.append(change["device_id"])
                self.rows.append(change)
                self.versions.append(0)
                new = True
                continue
            if "lease" in change:
                self._note_fall(at, change["lease"], now_s)
            self.rows[at].update(change)
            self.versions[at] += 1
            for name in change:
                for column in self._by_field.get(name, ()):
                    column.touched.append(at)
        if new:
            more = np.full((SPARK_CELLS, len(self.ids) - self._spark.shape[1]), np.nan, dtype=np.float32)
            self._spark = np.concatenate((self._spark, more), axis=1)
            self._forget()

    def row(self, device_id: str) -> dict[str, Any] | None:
        """One device as the stream writes it; None: there is none."""
        at = self._index.get(device_id)
        return None if at is None else self.rows[at]

    def at(self, device_id: str) -> int | None:
        """Where a device stands."""
        return self._index.get(device_id)

    def column(self, name: str) -> Floats:
        """A column, one value a device; words as their numbers in `words`."""
        return self._fresh(name).values

    def stamp(self, name: str) -> int:
        """Another number whenever a value of the column may be another."""
        return self._fresh(name).stamp

    def words(self, name: str) -> list[str]:
        """What the numbers of a column of words stand for."""
        self._fresh(name)
        return self._words[name]

    def texts(self) -> list[str]:
        """Of every device what a text is looked for in: id and site, in small letters."""
        if self._texts_of != self.generation:
            self._texts = [f"{row['device_id']} {row.get('site_id') or ''}".lower() for row in self.rows]
            self._texts_of = self.generation
        return self._texts

    def order(self, name: str, *, down: bool) -> Ints:
        """All devices in order of a column; what is not known comes last, equals stay by id."""
        ranks = self._by_id()
        if name == "id":
            return ranks[::-1] if down else ranks
        values = self.column(name)
        if name in _WORDS:
            words = self._words[name]
            place = np.empty(len(words))
            place[sorted(range(len(words)), key=lambda at: (words[at] == "", words[at]))] = np.arange(len(words))
            values = place[values.astype(np.int64)] if words else values
        sorted_ = ranks[np.argsort(-values[ranks] if down else values[ranks], kind="stable")]
        return sorted_.astype(np.int64, copy=False)

    def sample(self, now_s: float) -> None:
        """Keep what is drawn now for the sparklines; at most once in `SPARK_S`."""
        slot = int(now_s // SPARK_S)
        if slot == self._spark_slot:
            return
        self._spark_slot = slot
        self._spark[self._spark_next] = self.column("actual")
        self._spark_next = (self._spark_next + 1) % SPARK_CELLS

    def spark(self, at: int) -> list[float]:
        """What a device drew, the oldest first, shape (SPARK_CELLS,); NaN: not known [kW]."""
        line: list[float] = np.roll(self._spark[:, at], -self._spark_next).tolist()
        return line

    def making_room(self, now_s: float) -> tuple[int, float]:
        """How many devices were lowered in the last `FELL_S`, and by how much together [kW]."""
        self.fell = {at: fall for at, fall in self.fell.items() if now_s - fall[0] < FELL_S}
        return len(self.fell), sum(fall[1] for fall in self.fell.values())

    def _note_fall(self, at: int, lease: Mapping[str, Any] | None, now_s: float) -> None:
        before = self.rows[at].get("lease")
        if before is None or lease is None:
            return
        fall_kw = before["p_setpoint_kw"] - lease["p_setpoint_kw"]
        if fall_kw >= FELL_KW and self.rows[at].get("type") != "pv":
            self.fell[at] = (now_s, fall_kw)
        else:
            self.fell.pop(at, None)

    def _by_id(self) -> Ints:
        if self._ranks_of != self.generation:
            self._ranks = np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), dtype=np.int64)
            self._ranks_of = self.generation
        return self._ranks

    def _forget(self) -> None:
        self.generation += 1
        self._columns.clear()
        self._by_field.clear()
        self._words.clear()

    def _fresh(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = Column(len(self.rows))
            fields = (_WORDS[name],) if name in _WORDS else _NUMBERS[name][0]
            for each in fields:
                self._by_field.setdefault(each, []).append(column)
            self._words.setdefault(name, [])
            column.values[:] = self._made(name, self.rows)
        elif column.touched:
            touched = column.touched
            column.values[touched] = self._made(name, [self.rows[at] for at in touched])
            column.touched = []
            column.stamp += 1
        return column

    def _made(self, name: str, rows: Sequence[Row]) -> list[float]:
        if name in _NUMBERS:
            of = _NUMBERS[name][1]
            return [of(row) for row in rows]
        words, field = self._words[name], _WORDS[name]
        known = {word: number for number, word in enumerate(words)}
        found: list[float] = []
        for row in rows:
            word = row.get(field) or ""
            if word not in known:
                known[word] = len(words)
                words.append(word)
            found.append(known[word])
        return found
