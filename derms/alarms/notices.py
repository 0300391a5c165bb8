"""Which alarms somebody outside is to be told of, and when.

An alarm is told when it is raised, unless it is acknowledged or shelved, and when it has returned, if it was told. Of
one alarm nothing new is told within its cool-down; if it still stands when that is over, it is told then.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import msgspec

from derms.model import AlarmChange, AlarmLine, AlarmRecord, AlarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What was told of one alarm."""

    raised_at: datetime
    """Which occurrence."""
    at_s: float
    """When [s]."""
    standing: bool
    """It was not told that it has returned."""


class Notices:
    """Decides, and hands the message over.

    Args:
        send: Takes a message; never waits.
        source: The controller's name.
        cooldown_s: Between two occurrences of one alarm that are told [s].
    """

    def __init__(self, send: Callable[[bytes], None], *, source: str, cooldown_s: float) -> None:
        self._send = send
        self._source = source
        self._cooldown_s = cooldown_s
        self._told: dict[str, _Told] = {}

    def recall(self, records: Iterable[AlarmRecord]) -> None:
        """Take alarms of an earlier run as told: it told them."""
        for record in records:
            if record.active:
                self._told[record.alarm_id] = _Told(raised_at=record.raised_at, at_s=float("-inf"), standing=True)

    def changed(self, record: AlarmRecord, line: AlarmLine | None) -> None:
        """Tell of a return to normal."""
        if line is None or line.change is not AlarmChange.RETURNED:
            return
        told = self._told.get(record.alarm_id)
        if told is not None and told.standing and told.raised_at == record.raised_at:
            self._told[record.alarm_id] = _Told(raised_at=told.raised_at, at_s=told.at_s, standing=False)
            self._send(message(AlarmChange.RETURNED, record, self._source, line.at))

    def look(self, records: Iterable[AlarmRecord], now: datetime, now_s: float) -> None:
        """Tell of what was raised and is not told yet.

        Args:
            records: All alarms that are not normal.
            now: The wall clock, UTC.
            now_s: A clock that only goes forward [s].
        """
        for record in records:
            if record.state is not AlarmState.UNACKNOWLEDGED:
                continue
            told = self._told.get(record.alarm_id)
            if told is not None and (told.raised_at == record.raised_at or now_s - told.at_s < self._cooldown_s):
                continue
            self._told[record.alarm_id] = _Told(raised_at=record.raised_at, at_s=now_s, standing=True)
            self._send(message(AlarmChange.RAISED, record, self._source, now))
        cool = [key for key, told in self._told.items() if not told.standing and now_s - told.at_s > self._cooldown_s]
        for key in cool:
            del self._told[key]


def message(change: AlarmChange, record: AlarmRecord, source: str, at: datetime) -> bytes:
    """What a webhook is sent: JSON, as `docs/alarms.md` says."""
    alarm = {"alarm_id": record.alarm_id, "state": record.state.value, **asdict(record)}
    return msgspec.json.encode({"version": 1, "source": source, "change": change.value, "at": at, "alarm": alarm})
