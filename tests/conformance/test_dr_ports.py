"""What every store of DR events does, run on the fake and on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from derms.errors import ConflictError, NotFoundError
from derms.model import Author, DrEvent, EventState
from derms.ports import EventReader, EventStore, EventsWanted, Once
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_store import T0, FakeStore, event

ALICE = Author("alice", "r1")
ONCE = Once(key="k", fingerprint="f", answer=b'{"a":"\xc3\xa9"}')


class AnyStore(EventStore, EventReader, Protocol):
    async def counts(self) -> dict[str, int]: ...


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    if request.param == "fake":
        yield FakeStore()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


async def test_an_event_comes_back_as_it_was_added(store: AnyStore) -> None:
    whole = replace(event(), name="Peak", export_limit_kw=0.0, shed_kw=2.5, feeder_ids=("feeder-2", "feeder-1"))
    await store.add_event(whole, by=ALICE)
    assert await store.find_event("dr-1") == whole
    with pytest.raises(NotFoundError):
        await store.find_event("dr-2")


async def test_a_key_is_used_once_by_each_user(store: AnyStore) -> None:
    await store.add_event(event("a"), by=ALICE, once=ONCE)
    with pytest.raises(ConflictError):
        await store.add_event(event("b"), by=ALICE, once=replace(ONCE, fingerprint="g"))
    await store.add_event(event("c"), by=Author("bob", "r"), once=replace(ONCE, answer=b"{}"))
    assert await store.answered("alice", "k") == ONCE
    assert await store.answered("carol", "k") is None
    assert sorted(one.event_id for one in await store.unfinished_events(T0)) == ["a", "c"]
    assert (await store.counts())["audit_log"] == 2


async def test_a_change_is_made_of_what_is_stored_and_what_it_refuses_changes_nothing(store: AnyStore) -> None:
    await store.add_event(event(), by=ALICE)
    seen: list[DrEvent] = []

    def change(one: DrEvent) -> DrEvent:
        seen.append(one)
        return replace(one, import_limit_kw=None, export_limit_kw=1.5, end=one.end + timedelta(hours=1), name="N")

    after = await store.change_event("dr-1", "event.amend", change, by=ALICE)
    assert seen == [event()]
    assert (
        await store.find_event("dr-1")
        == after
        == replace(event(), import_limit_kw=None, export_limit_kw=1.5, end=T0 + timedelta(hours=3), name="N")
    )

    def refuse(_: DrEvent) -> DrEvent:
        raise ConflictError("it is over")

    with pytest.raises(ConflictError):
        await store.change_event("dr-1", "event.amend", refuse, by=ALICE)
    with pytest.raises(NotFoundError):
        await store.change_event("dr-2", "event.amend", change, by=ALICE)
    assert await store.find_event("dr-1") == after
    assert (await store.counts())["audit_log"] == 2


async def test_an_event_is_removed_unless_the_check_refuses(store: AnyStore) -> None:
    await store.add_event(event(), by=ALICE)

    def refuse(_: DrEvent) -> None:
        raise ConflictError("it began")

    with pytest.raises(ConflictError):
        await store.remove_event("dr-1", refuse, by=ALICE)
    await store.remove_event("dr-1", lambda one: None, by=ALICE)
    with pytest.raises(NotFoundError):
        await store.remove_event("dr-1", lambda one: None, by=ALICE)
    assert (await store.counts())["audit_log"] == 2


@pytest.mark.parametrize(
    ("states", "ids"),
    # at 2 h: over [0, 2), active [1, 3), scheduled [3, 4), cancelled [0, 9)
    [
        ((EventState.SCHEDULED,), ["scheduled"]),
        ((EventState.ACTIVE,), ["active"]),
        ((EventState.OVER,), ["over"]),
        ((EventState.CANCELLED,), ["cancelled"]),
        (tuple(EventState), ["cancelled", "over", "active", "scheduled"]),
    ],
)
async def test_events_are_listed_by_where_they_stand(
    store: AnyStore, states: tuple[EventState, ...], ids: list[str]
) -> None:
    for one in [
        event("over", start_h=0, end_h=2),
        event("active", start_h=1, end_h=3),
        event("scheduled", start_h=3, end_h=4),
        event("cancelled", start_h=0, end_h=9, cancelled=True),
    ]:
        await store.add_event(one, by=ALICE)
    found = await store.list_events(EventsWanted(states=states, now=T0 + timedelta(hours=2)))
    assert [one.event_id for one in found] == ids


@pytest.mark.parametrize("sort", ["start", "-start", "end", "created_at", "-created_at"])
async def test_a_list_is_the_same_in_pages_as_in_one(store: AnyStore, sort: str) -> None:
    for n in range(7):  # two of each start
        one = replace(event(f"e{n}", start_h=n // 2, end_h=20 - n), created_at=T0 + timedelta(minutes=n % 3))
        await store.add_event(replace(one, feeder_ids=("f", "g") if n else ("g",)), by=ALICE)
    name = sort.removeprefix("-")
    wanted = EventsWanted(states=tuple(EventState), now=T0, feeder_id="f", sort=name, down=sort != name)
    whole = [one.event_id for one in await store.list_events(wanted)]
    assert len(whole) == 6
    paged: list[str] = []
    after: tuple[datetime, str] | None = None
    while page := await store.list_events(replace(wanted, after=after, limit=2)):
        paged += [one.event_id for one in page]
        after = getattr(page[-1], name), page[-1].event_id
    assert paged == whole
