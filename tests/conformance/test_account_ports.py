"""What every keeper of users, sessions and the audit log does, run on the fake and on a real PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from derms.accounts import AccountStore, AuditFilter, Note, Session, Turned, User, UserChange, UserSource
from derms.errors import ConflictError, NotFoundError
from derms.model import Author, Role
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_accounts import FakeAccounts
from tests.fakes_store import T0

BY = Author("root", "r1", "192.0.2.1")
LATER = T0 + timedelta(hours=1)


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccountStore]:
    if request.param == "fake":
        yield FakeAccounts()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


def user(username: str = "ann", **changes: Any) -> User:
    plain = User(username=username, role=Role.VIEWER, password_hash="a hash", created_at=T0, changed_at=T0)
    return replace(plain, **changes)


def session(session_id: str = "s", username: str = "ann", *, opened_s: float = 0, lasts_s: float = 3600) -> Session:
    opened_at = T0 + timedelta(seconds=opened_s)
    return Session(
        session_id=session_id,
        username=username,
        remote="192.0.2.1",
        opened_at=opened_at,
        expires_at=opened_at + timedelta(seconds=lasts_s),
    )


async def lines(store: AccountStore, **wanted: Any) -> list[tuple[str, str, str]]:
    found = await store.read_audit(AuditFilter(**{"limit": 1000, **wanted}))
    return [(line.actor, line.action, line.subject) for line in found]


async def test_users_come_back_as_they_were_added_with_a_line_that_holds_no_hash(store: AccountStore) -> None:
    full = user("bob", role=Role.ADMIN, source=UserSource.SETTINGS, seed="scrypt:a:b", disabled=True, generation=7)
    for one in (full, user()):
        await store.add_user(one, by=BY)
    assert await store.load_users() == [user(), full]
    with pytest.raises(ConflictError):
        await store.add_user(user(), by=BY)
    assert await lines(store) == [("root", "user.create", "ann"), ("root", "user.create", "bob")]
    assert "hash" not in repr(await store.read_audit(AuditFilter()))


async def test_a_change_raises_the_generation_and_ends_the_sessions(store: AccountStore) -> None:
    for name in ("ann", "bob"):
        await store.add_user(user(name), by=BY)
        await store.open_session(session(f"{name}s", name), keep=9, by=BY)
    changed = await store.change_user("ann", UserChange(role=Role.OPERATOR, at=LATER), action="user.change", by=BY)
    assert changed == user(role=Role.OPERATOR, generation=2, changed_at=LATER)
    assert (await store.load_users())[0] == changed
    assert await store.turn_session("anns", 1, now=T0) is Turned.GONE
    assert await store.turn_session("bobs", 1, now=T0) is Turned.TURNED
    (line,) = await store.read_audit(AuditFilter(action="user.change"))
    assert (line.before["role"], line.after["role"]) == ("viewer", "operator")
    assert (line.actor, line.subject, line.request_id, line.remote) == ("root", "ann", "r1", "192.0.2.1")


async def test_a_new_password_is_told_as_changed_and_takes_its_seed_along(store: AccountStore) -> None:
    await store.add_user(user(seed="scrypt:a:b", source=UserSource.SETTINGS), by=BY)
    change = UserChange(password_hash="another", at=LATER)
    changed = await store.change_user("ann", change, action="user.reset", by=BY)
    assert (changed.password_hash, changed.seed, changed.source) == ("another", None, UserSource.API)
    (line,) = await store.read_audit(AuditFilter(action="user.reset"))
    assert line.after["password"] == "changed"
    assert "another" not in repr(line)


async def test_the_last_admin_is_kept_unless_it_is_said_otherwise(store: AccountStore) -> None:
    await store.add_user(user("ann", role=Role.ADMIN), by=BY)
    await store.add_user(user("bob", role=Role.ADMIN, disabled=True), by=BY)
    disable, demote = UserChange(disabled=True, at=LATER), UserChange(role=Role.VIEWER, at=LATER)
    for change in (disable, demote):
        with pytest.raises(ConflictError):
            await store.change_user("ann", change, action="user.change", by=BY)
    await store.change_user("ann", UserChange(password_hash="x", at=LATER), action="user.reset", by=BY)
    await store.change_user("ann", disable, action="user.unlist", by=BY, keep_an_admin=False)
    with pytest.raises(NotFoundError):
        await store.change_user("carl", disable, action="user.change", by=BY)
    assert [action for _, action, _ in await lines(store)] == ["user.unlist", "user.reset", *["user.create"] * 2]


async def test_two_admins_who_disable_each_other_at_once_do_not_both_succeed(store: AccountStore) -> None:
    for name in ("ann", "bob"):
        await store.add_user(user(name, role=Role.ADMIN), by=BY)
    answers = await asyncio.gather(
        *(
            store.change_user(name, UserChange(disabled=True, at=LATER), action="user.change", by=BY)
            for name in ("ann", "bob")
        ),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "User"]


async def test_a_hash_is_replaced_only_while_it_is_the_old_one(store: AccountStore) -> None:
    await store.add_user(user(), by=BY)
    await store.rehash_user("ann", "another hash", "new")
    assert (await store.load_users())[0].password_hash == "a hash"
    await store.rehash_user("ann", "a hash", "new")
    assert (await store.load_users())[0] == user(password_hash="new")


async def test_a_refresh_token_turns_once_and_is_spent_then(store: AccountStore) -> None:
    await store.add_user(user(), by=BY)
    assert await store.open_session(session(), keep=9, by=Author("ann", "r2", "192.0.2.9")) == []
    assert (await lines(store))[0] == ("ann", "auth.login", "ann")
    assert [await store.turn_session("s", turn, now=T0) for turn in (1, 1, 2, 9)] == [
        Turned.TURNED, Turned.SPENT, Turned.TURNED, Turned.GONE,
    ]  # fmt: skip
    assert await store.turn_session("s", 3, now=LATER) is Turned.GONE
    assert await store.turn_session("s", 1, now=LATER) is Turned.GONE
    assert await store.turn_session("unknown", 1, now=T0) is Turned.GONE


async def test_of_many_who_turn_at_once_one_succeeds(store: AccountStore) -> None:
    await store.add_user(user(), by=BY)
    await store.open_session(session(), keep=9, by=BY)
    turned = await asyncio.gather(*(store.turn_session("s", 1, now=T0) for _ in range(5)))
    assert sorted(turned) == [Turned.SPENT] * 4 + [Turned.TURNED]


async def test_beyond_the_number_kept_the_oldest_sessions_of_that_user_end(store: AccountStore) -> None:
    for name in ("ann", "bob"):
        await store.add_user(user(name), by=BY)
    await store.open_session(session("bobs", "bob"), keep=2, by=BY)
    ended = [await store.open_session(session(f"s{n}", opened_s=n), keep=2, by=BY) for n in range(4)]
    assert ended == [[], [], ["s0"], ["s1"]]
    assert sorted(await store.load_ended(T0)) == ["s0", "s1"]
    assert [await store.turn_session(one, 1, now=T0) for one in ("s0", "s2", "s3", "bobs")] == [
        Turned.GONE, Turned.TURNED, Turned.TURNED, Turned.TURNED,
    ]  # fmt: skip


async def test_what_ended_is_remembered_until_it_no_longer_matters(store: AccountStore) -> None:
    await store.add_user(user(), by=BY)
    await store.open_session(session(), keep=9, by=BY)
    until = T0 + timedelta(minutes=5)
    for ended_id in ("s", "a token", "s"):
        await store.end_session(ended_id, until, subject="ann", action="auth.logout", by=BY)
    assert await store.load_ended(T0) == {"s": until, "a token": until}
    assert await store.load_ended(until) == {}
    assert await store.turn_session("s", 1, now=T0) is Turned.GONE
    await store.open_session(session("later", opened_s=300), keep=9, by=BY)
    assert await store.load_ended(datetime.min.replace(tzinfo=T0.tzinfo)) == {}  # forgotten altogether
    assert (await lines(store, action="auth.logout")) == [("root", "auth.logout", "ann")] * 3


async def test_a_session_of_nobody_is_refused_and_leaves_no_line(store: AccountStore) -> None:
    with pytest.raises(NotFoundError):
        await store.open_session(session(username="nobody"), keep=9, by=BY)
    assert await lines(store) == []


async def test_the_audit_log_is_filtered_by_every_field_newest_first(store: AccountStore) -> None:
    notes = [
        Note(actor=actor, action=action, subject=subject, remote="192.0.2.1", after={"times": number})
        for number, (actor, action, subject) in enumerate(
            [("ann", "a.x", "s1"), ("bob", "a.x", "s2"), ("ann", "a.y", "s2"), ("", "a.x", "it's; DROP TABLE users --")]
        )
    ]
    await store.note_all(notes[:2])
    await store.note_all(notes[2:])
    await store.note_all([])
    everything = await store.read_audit(AuditFilter())
    assert [line.after["times"] for line in everything] == [3, 2, 1, 0]

    async def numbers(**wanted: Any) -> list[int]:
        return [line.after["times"] for line in await store.read_audit(AuditFilter(**wanted))]

    assert await numbers(actor="ann") == [2, 0]
    assert await numbers(action="a.x") == [3, 1, 0]
    assert await numbers(subject="s2") == [2, 1]
    assert await numbers(subject=notes[3].subject) == [3]
    assert await numbers(subject="' OR '1'='1") == []
    assert await numbers(actor="ann", action="a.x") == [0]
    assert await numbers(limit=2) == [3, 2]
    assert await numbers(below=everything[1].audit_id) == [1, 0]
    newest = everything[0].at
    assert await numbers(since=newest, until=newest) == []
    assert 3 in await numbers(since=newest)
    assert 3 not in await numbers(until=newest)
