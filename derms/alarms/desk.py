"""All alarms there are: the one mutable object about them, owned by the event loop."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import datetime

from derms.alarms.grouping import grouped
from derms.alarms.machine import Condition, Point, Rule, stepped
from derms.errors import ConflictError, NotFoundError
from derms.model import AlarmChange, AlarmLine, AlarmRecord, AlarmState

RECALL_S = 30.0
"""After a restart an alarm of the run before is given so long until its condition is seen again [s]."""

Key = tuple[str, str]
"""Kind and subject."""


class AlarmDesk:
    """Looks at conditions, takes what operators say, and tells of every change.

    Args:
        rules: By kind; a condition of another kind is a mistake of the program.
        gather: Kinds of which many at once are one.
        on_change: Told of every record that something has happened to, with the line for the history; None where
            nothing has, and it is only to be stored again.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        gather: Set[str],
        on_change: Callable[[AlarmRecord, AlarmLine | None], None],
    ) -> None:
        self._rules = rules
        self._gather = gather
        self._on_change = on_change
        self._points: dict[Key, Point] = {}

    def recall(self, records: Iterable[AlarmRecord], now_s: float) -> None:
        """Take over the alarms of an earlier run; what was acknowledged or shelved stays so."""
        for record in records:
            if record.kind in self._rules:
                # As if its condition had been gone since some time to come: the off-delay begins then.
                since_s = now_s + RECALL_S if record.active else None
                self._points[record.kind, record.subject] = Point(record=record, since_s=since_s)

    def recall_all(self, records: Iterable[AlarmRecord], now_s: float) -> None:
        """Take over the alarms of the controller that raised them till now, in place of all that is here."""
        self._points.clear()
        self.recall(records, now_s)

    def records(self) -> list[AlarmRecord]:
        """Every alarm that is not normal, by kind and subject."""
        found = [self._points[key].record for key in sorted(self._points)]
        return [record for record in found if record is not None and record.state is not AlarmState.NORMAL]

    def find(self, alarm_id: str) -> AlarmRecord:
        """One alarm that is not normal.

        Raises:
            NotFoundError: There is none of that id.
        """
        kind, _, subject = alarm_id.partition(".")
        point = self._points.get((kind, subject))
        if point is None or point.record is None or point.record.state is AlarmState.NORMAL:
            raise NotFoundError(
                f"there is no alarm {alarm_id!r}", why="it was never raised, or is normal", next_step="list the alarms"
            )
        return point.record

    def apply(
        self,
        alarm_id: str,
        change: Callable[[AlarmRecord], AlarmRecord],
        stored: AlarmRecord,
        *,
        what: AlarmChange,
        by: str,
        now: datetime,
    ) -> AlarmRecord:
        """Let something be said of an alarm that is stored already.

        Args:
            alarm_id: Which one.
            change: What is said of it. Where the alarm has moved on so that it can no longer be said, nothing changes.
            stored: What the store was given.
            what: How it is called.
            by: Who says so.
            now: The wall clock, UTC.

        Returns:
            The alarm as it is now.
        """
        key = (stored.kind, stored.subject)
        point = self._points.get(key, Point())
        line: AlarmLine | None = None
        try:
            after = change(self.find(alarm_id))
            line = _line(after, what, now, by)
        except NotFoundError:
            # It became normal while this was stored; it goes on from there, and is forgotten in its own time.
            after = stored
        except ConflictError:
            after = self.find(alarm_id)
        self._settle(key, Point(record=after, since_s=point.since_s))
        self._on_change(after, line)
        return after

    def take(self, conditions: Iterable[Condition], now: datetime, now_s: float) -> None:
        """Look at everything again.

        Args:
            conditions: All that is wrong now.
            now: The wall clock, UTC.
            now_s: A clock that only goes forward [s].
        """
        found = self._by_key(conditions)
        for key in sorted(self._points.keys() | found.keys()):
            before = self._points.get(key, Point())
            after, changes = stepped(before, found.get(key), self._rules[key[0]], now, now_s)
            self._settle(key, after)
            if after.record is None or after.record == before.record:
                continue
            # Where only its words are other, which they may be at every look, nobody needs to be told.
            for change in changes:
                self._on_change(after.record, _line(after.record, change, now))

    def _by_key(self, conditions: Iterable[Condition]) -> dict[Key, Condition]:
        kinds: dict[str, list[Condition]] = defaultdict(list)
        for condition in conditions:
            kinds[condition.kind].append(condition)
        found: dict[Key, Condition] = {}
        for kind, several in kinds.items():
            gathered = grouped(several, self._standing(kind)) if kind in self._gather else several
            found |= {(kind, one.subject): one for one in gathered}
        return found

    def _standing(self, kind: str) -> set[str]:
        """The subjects of the alarms of one kind that are raised, or about to be."""
        return {
            subject
            for (of, subject), point in self._points.items()
            if of == kind and (point.since_s is not None or (point.record is not None and point.record.active))
        }

    def _settle(self, key: Key, point: Point) -> None:
        if point.idle:
            self._points.pop(key, None)
        else:
            self._points[key] = point


def _line(record: AlarmRecord, change: AlarmChange, now: datetime, by: str = "") -> AlarmLine:
    return AlarmLine(at=now, kind=record.kind, subject=record.subject, change=change, cause=record.cause, by=by)
