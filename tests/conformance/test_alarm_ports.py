"""What every store of alarms does, run on the fake and on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from derms.model import AlarmChange, AlarmLine, AlarmRecord, Author, Priority
from derms.ports import AlarmStore, HistoryWanted
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_store import T0, FakeStore

RAISED = AlarmRecord(
    kind="disobedient",
    subject="ev-1",
    priority=Priority.MEDIUM,
    cause="told 3 kW, it reads 9 kW",
    consequence="c",
    response="r",
    active=True,
    acknowledged=False,
    occurrences=2,
    raised_at=T0,
)
KNOWN = replace(RAISED, acknowledged=True, acknowledged_by="alice", acknowledged_at=T0 + timedelta(seconds=1.5))


class AnyStore(AlarmStore, Protocol):
    async def counts(self) -> dict[str, int]: ...


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    if request.param == "fake":
        yield FakeStore()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


def line(second: int, **changes: object) -> AlarmLine:
    usual = AlarmLine(
        at=T0 + timedelta(seconds=second), kind="disobedient", subject="ev-1", change=AlarmChange.RAISED, cause="c"
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # a table of fields


async def test_an_alarm_comes_back_as_it_was_kept_and_is_replaced(store: AnyStore) -> None:
    other = replace(
        RAISED, kind="store-away", subject="store", active=False, returned_at=T0, shelved_until=T0 + timedelta(days=1),
        shelved_by="bob", shelved_reason="known",
    )  # fmt: skip
    await store.keep_alarms([other, RAISED], [])
    assert await store.load_alarms() == [RAISED, other]
    await store.keep_alarms([KNOWN], [])
    assert await store.load_alarms() == [KNOWN, other]


async def test_one_that_is_normal_is_kept_no_longer(store: AnyStore) -> None:
    await store.keep_alarms([RAISED], [])
    await store.keep_alarms([replace(KNOWN, active=False, returned_at=T0)], [line(1)])
    assert await store.load_alarms() == []
    assert len(await store.alarm_history(HistoryWanted())) == 1


async def test_what_somebody_says_is_stored_with_a_line_in_the_audit_log(store: AnyStore) -> None:
    await store.change_alarm(RAISED, KNOWN, "alarm.acknowledge", by=Author("alice", "r1"))
    assert await store.load_alarms() == [KNOWN]
    gone = replace(KNOWN, active=False)
    await store.change_alarm(KNOWN, gone, "alarm.unshelve", by=Author("alice", "r2"))
    assert await store.load_alarms() == []
    assert (await store.counts())["audit_log"] == 2


async def test_the_history_is_read_from_its_end_in_pages(store: AnyStore) -> None:
    await store.keep_alarms([], [line(n, subject=f"ev-{n % 2}", by="alice" if n == 3 else "") for n in range(5)])
    whole = await store.alarm_history(HistoryWanted())
    assert [one.at for one in whole] == [T0 + timedelta(seconds=n) for n in (4, 3, 2, 1, 0)]
    assert [one.by for one in whole] == ["", "alice", "", "", ""]
    first = await store.alarm_history(HistoryWanted(limit=2))
    rest = await store.alarm_history(HistoryWanted(before=first[-1].number))
    assert first + rest == whole
    assert [one.subject for one in await store.alarm_history(HistoryWanted(subject="ev-1"))] == ["ev-1"] * 2
    assert await store.alarm_history(HistoryWanted(kind="store-away")) == []
