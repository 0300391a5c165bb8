"""All alarms together: storms, what survives a restart, and who is told when."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from derms.alarms.desk import AlarmDesk
from derms.alarms.grouping import ALONE, grouped
from derms.alarms.keeper import AlarmKeeper
from derms.alarms.machine import Condition, acknowledged, shelved
from derms.alarms.notices import Notices
from derms.alarms.rules import GROUPED, RULES, DaemonKind
from derms.control.alarm_kinds import AlarmKind
from derms.errors import NotFoundError
from derms.model import AlarmChange, AlarmLine, AlarmRecord
from tests.fakes_store import FakeStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


def rogue(*names: str) -> list[Condition]:
    return [Condition(kind=AlarmKind.DISOBEDIENT.value, subject=name, cause=f"{name} reads 9 kW") for name in names]


class Desk:
    """A desk, and all it told."""

    def __init__(self, cooldown_s: float = 300.0) -> None:
        self.told: list[tuple[AlarmRecord, AlarmLine | None]] = []
        self.sent: list[dict[str, Any]] = []
        self.notices = Notices(
            lambda body: self.sent.append(json.loads(body)), source="controller-1", cooldown_s=cooldown_s
        )
        self.desk = AlarmDesk(RULES, gather=GROUPED, on_change=self._changed)

    def _changed(self, record: AlarmRecord, line: AlarmLine | None) -> None:
        self.told.append((record, line))
        self.notices.changed(record, line)

    def look(self, second: float, conditions: Iterable[Condition] = ()) -> dict[str, str]:
        self.desk.take(conditions, at(second), second)
        self.notices.look(self.desk.records(), at(second), second)
        return {record.alarm_id: record.state.value for record in self.desk.records()}

    def acknowledge(self, alarm_id: str, second: float = 0.0) -> AlarmRecord:
        after = acknowledged(self.desk.find(alarm_id), "alice", at(second))
        return self.desk.apply(
            alarm_id, lambda one: acknowledged(one, "alice", at(second)), after, what=AlarmChange.ACKNOWLEDGED,
            by="alice", now=at(second),
        )  # fmt: skip

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(record.alarm_id, line.change.value) for record, line in self.told if line is not None]


def test_every_kind_of_the_engine_and_of_the_daemon_has_a_rule() -> None:
    assert set(RULES) == {*(kind.value for kind in AlarmKind), *(kind.value for kind in DaemonKind)}
    assert all(rule.consequence and rule.response for rule in RULES.values())


def test_a_storm_is_one_alarm_with_the_count_and_the_first_names_and_one_message() -> None:
    desk = Desk()
    names = [f"ev-{n:04}" for n in range(1000)]
    assert desk.look(0, rogue(*names)) == {"disobedient.*": "unacknowledged"}
    cause = desk.desk.find("disobedient.*").cause
    assert cause == "1000 at once: ev-0000, ev-0001, ev-0002 and 997 more; of ev-0000: ev-0000 reads 9 kW"
    for second in range(1, 30):
        desk.look(second, rogue(*names[second:]))
    assert desk.desk.find("disobedient.*").cause.startswith("971 at once: ev-0029")
    assert len(desk.sent) == len(desk.changes) == 1
    for second in range(30, 62):
        desk.look(second)
    assert desk.changes[1:] == [("disobedient.*", "returned")]


def test_a_few_have_an_alarm_each_and_keep_it_when_a_storm_comes() -> None:
    desk = Desk()
    few = [f"a{n}" for n in range(ALONE)]
    assert desk.look(0, rogue(*few)) == {f"disobedient.{name}": "unacknowledged" for name in few}
    after = desk.look(1, rogue(*few, "b", "c"))
    assert after.keys() == {f"disobedient.{name}" for name in [*few, "*"]}
    # one that trickles in later joins the many, also when there are few again
    assert desk.look(2, rogue("b", "d")).keys() == after.keys()
    assert desk.desk.find("disobedient.*").cause.startswith("2 at once: b, d;")


def test_one_at_a_time_is_a_storm_too() -> None:
    desk = Desk()
    names = [f"n{n:03}" for n in range(200)]
    for second, _ in enumerate(names):
        states = desk.look(second, rogue(*names[: second + 1]))
    assert len(states) == ALONE + 1
    assert len(desk.sent) == ALONE + 1


def test_grouping_forgets_nobody_and_changes_no_lone_condition() -> None:
    few = rogue("a", "b")
    assert grouped(few, set()) == few
    assert grouped([], {"*"}) == []
    many = rogue(*"abcdefgh")
    (together,) = grouped(many, set())
    assert together.subject == "*"
    assert {one.subject for one in grouped(many, {"a", "h"})} == {"a", "h", "*"}


def test_what_was_acknowledged_or_shelved_stays_so_over_a_restart() -> None:
    desk = Desk()
    stored = Condition(kind="store-away", subject="store", cause="away")
    for second in range(11):
        desk.look(second, [stored, *rogue("a", "b")])
    desk.acknowledge("store-away.store", 11)
    left = {one.alarm_id: one for one in desk.desk.records()}
    left["disobedient.b"] = shelved(left["disobedient.b"], at(1000), "alice", "known")

    after = Desk()
    after.desk.recall(left.values(), now_s=5.0)  # another run, another clock
    after.notices.recall(left.values())
    # The engine needs some ticks before it raises anything again: nothing returns before that.
    expected = {"disobedient.a": "unacknowledged", "disobedient.b": "shelved", "store-away.store": "acknowledged"}
    assert after.look(6) == expected
    assert after.look(20, [stored, *rogue("a")]) == expected
    assert after.sent == []  # it was told before
    for second in range(21, 80):
        states = after.look(second, [stored])
    assert states == expected | {"disobedient.a": "returned_unacknowledged"}
    # What was told outside is taken back there, also what is shelved here.
    told = [(one["change"], one["alarm"]["alarm_id"]) for one in after.sent]
    assert told == [("returned", "disobedient.a"), ("returned", "disobedient.b")]


def test_a_kind_of_another_release_is_not_recalled() -> None:
    desk = Desk()
    desk.look(0, rogue("a"))
    (record,) = desk.desk.records()
    after = Desk()
    after.desk.recall([replace(record, kind="of-old")], now_s=0.0)
    assert after.desk.records() == []


def test_what_is_said_of_an_alarm_that_has_moved_on_loses_nothing() -> None:
    desk = Desk()
    desk.look(0, rogue("a"))
    first = desk.acknowledge("disobedient.a")
    again = desk.desk.apply(
        "disobedient.a", lambda one: acknowledged(one, "bob", at(1)), first, what=AlarmChange.ACKNOWLEDGED, by="bob",
        now=at(1),
    )  # fmt: skip
    assert again == first  # alice was first
    # While a shelving was stored, it became normal: it is shelved all the same, and ends by itself.
    for second in range(1, 33):
        desk.look(second)
    with pytest.raises(NotFoundError):
        desk.desk.find("disobedient.a")
    stored = shelved(first, at(60), "alice", "x")
    desk.desk.apply("disobedient.a", lambda one: one, stored, what=AlarmChange.SHELVED, by="alice", now=at(33))
    assert desk.look(34) == {"disobedient.a": "shelved"}
    assert desk.look(100) == {}


def test_an_alarm_is_told_once_and_a_flapping_one_once_a_cooldown() -> None:
    desk = Desk(cooldown_s=60.0)
    broker = Condition(kind="loop-stalled", subject="loop", cause="stalled")  # off-delay 5 s, no on-delay
    for second in range(600):
        desk.look(second, [broker] if second % 20 < 10 else [])
    raised = [one for one in desk.sent if one["change"] == "raised"]
    returned = [one for one in desk.sent if one["change"] == "returned"]
    assert len(raised) == 10  # 600 s / 60 s, where it flapped 30 times
    assert len(returned) == len(raised)


def test_what_still_stands_when_its_cooldown_is_over_is_told_then() -> None:
    desk = Desk(cooldown_s=60.0)
    stalled = Condition(kind="loop-stalled", subject="loop", cause="stalled")
    desk.look(0, [stalled])
    for second in range(1, 10):
        desk.look(second)
    for second in range(10, 100):
        desk.look(second, [stalled])
    told = [(one["change"], one["at"]) for one in desk.sent]
    assert told == [
        ("raised", "2026-01-01T00:00:00Z"),
        ("returned", "2026-01-01T00:00:06Z"),  # gone at 1 s, for 5 s
        ("raised", "2026-01-01T00:01:00Z"),
    ]


def test_what_is_shelved_or_acknowledged_is_not_told() -> None:
    desk = Desk(cooldown_s=0.0)
    desk.look(0, rogue("a"))
    record = desk.desk.find("disobedient.a")
    desk.desk.apply(
        "disobedient.a", lambda one: shelved(one, at(500), "alice", "x"), shelved(record, at(500), "alice", "x"),
        what=AlarmChange.SHELVED, by="alice", now=at(0),
    )  # fmt: skip
    for second in range(1, 400):
        desk.look(second, rogue("a") if second > 200 else [])  # gone, and back
    assert [one["change"] for one in desk.sent] == ["raised", "returned"]
    desk.look(501, rogue("a"))
    assert [one["change"] for one in desk.sent] == ["raised", "returned", "raised"]  # what nobody knew of


async def test_the_keeper_writes_what_is_newest_and_keeps_order_while_the_store_is_away() -> None:
    store, dropped = FakeStore(), []
    keeper = AlarmKeeper(store, on_dropped=lambda: dropped.append(1), max_lines=3)
    desk = AlarmDesk(RULES, gather=GROUPED, on_change=keeper.put)
    store.away = True
    for second in range(0, 400, 40):  # five times there, five times gone for longer than 30 s
        desk.take(rogue("a") if second % 80 == 0 else [], at(second), second)
        desk.take(rogue("a") if second % 80 == 0 else [], at(second + 31), second + 31)
    assert len(dropped) == 10 - 3
    store.away = False
    await keeper.finish()
    assert [line.change.value for line in store.alarm_lines] == ["returned", "raised", "returned"]
    (record,) = store.alarms.values()
    assert (record.active, record.occurrences) == (False, 5)
