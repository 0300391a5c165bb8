"""Logging in, staying in, leaving; who a token belongs to."""

import asyncio
import logging
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from derms.auth import Authenticator, Credential, Grant, KeyRing, Passwords
from derms.auth.sessions import MAX_SESSIONS
from derms.auth.users import Users
from derms.errors import AccessError, ConfigError, StoreError, ThrottledError, UnavailableError
from derms.model import Author, Role
from tests.fakes_accounts import FakeAccounts
from tests.fakes_api import NOW_MS, SECRET, FakeClock, an_authenticator
from tests.unit.auth.test_passwords import predecessors_hash

WORD = "four words of nonsense"
ANN = Credential(username="ann", role=Role.OPERATOR, password=WORD)
ROOT = Credential(username="root", role=Role.ADMIN, password="another four words there")
HERE = Author("", "r1", "192.0.2.1")
ADMIN = Author("root", "r2", "192.0.2.2")


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(AccessError) as caught:
        yield
    assert why in str(caught.value)


async def test_the_right_password_gives_tokens_of_the_users_role() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN) as auth:
        grant = await auth.login("ann", WORD, by=HERE)
        assert auth.verify(grant.access.token).role is Role.OPERATOR
        assert grant.refresh is not None
        assert (grant.refresh.expires_at - grant.access.expires_at).total_seconds() == 3600 - 900
        assert WORD not in repr(vars(auth))
        assert grant.access.token not in repr(grant)
        assert grant.refresh.token not in repr(grant)


@pytest.mark.parametrize(
    ("name", "word"),
    [("ann", "wrong"), ("ann", ""), ("bob", WORD), ("", ""), ("Ann", WORD), ("ann", "\ud800"), ("off", WORD)],
)
async def test_a_wrong_name_a_wrong_password_and_a_disabled_user_get_the_same_answer(name: str, word: str) -> None:
    off = Credential(username="off", role=Role.VIEWER, password=WORD)
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN, off) as auth:
        await auth.users.change("off", role=None, disabled=True, by=ADMIN)
        with pytest.raises(AccessError) as caught:
            await auth.login(name, word, by=HERE)
    assert type(caught.value) is AccessError
    assert str(caught.value) == "login refused; name or password is wrong; check both and try again"


class CountingPasswords(Passwords):
    """Tells how much work was done."""

    def __init__(self, *, memory_kib: int = 8, passes: int = 1) -> None:
        super().__init__(memory_kib=memory_kib, passes=passes)
        self.compared: list[str] = []

    def matches(self, password: str, stored: str | None) -> bool:
        self.compared.append((stored or self._nobodys).rsplit("$", 2)[0])
        return super().matches(password, stored)


async def test_an_unknown_user_costs_the_same_work_as_a_wrong_password() -> None:
    passwords = CountingPasswords()
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN, passwords=passwords) as auth:
        for name in ("ann", "nobody"):
            with refused("login refused"):
                await auth.login(name, "wrong", by=HERE)
    known, unknown = passwords.compared
    assert known == unknown == "$argon2id$v=19$m=8,t=1,p=1"


async def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    """Coarse: the medians of interleaved tries, with enough work in each to see it missing."""
    clock = FakeClock()
    passwords = Passwords(memory_kib=4096, passes=1)
    took: dict[str, list[float]] = {"ann": [], "nobody": []}
    async with an_authenticator(FakeAccounts(), clock, ANN, passwords=passwords) as auth:
        for _ in range(25):
            for name in random.sample(sorted(took), 2):
                clock.now += 1_000_000  # nobody is held
                began = time.perf_counter()
                with refused("login refused"):
                    await auth.login(name, "wrong", by=HERE)
                took[name].append(time.perf_counter() - began)
    known, unknown = (statistics.median(took[name]) for name in ("ann", "nobody"))
    assert 0.5 < known / unknown < 2.0


async def test_too_many_logins_at_once_are_turned_away_and_later_ones_are_not() -> None:
    users = [Credential(username=f"user-{number}", role=Role.VIEWER, password=WORD) for number in range(12)]
    async with an_authenticator(FakeAccounts(), FakeClock(), *users) as auth:
        answers = await asyncio.gather(
            *(auth.login(user.username, "x", by=HERE) for user in users), return_exceptions=True
        )
        assert [type(answer) for answer in answers].count(UnavailableError) == 4  # 12 - 8
        # Those who were turned away have not failed: 8 of 20 free failures of the address are used.
        assert isinstance(await auth.login("user-0", WORD, by=HERE), Grant)


async def test_after_five_wrong_passwords_the_right_one_must_wait_too() -> None:
    clock, outcomes = FakeClock(), list[str]()
    async with an_authenticator(FakeAccounts(), clock, ANN, on_login=outcomes.append) as auth:
        for _ in range(5):
            with refused("login refused"):
                await auth.login("ann", "wrong", by=HERE)
        with pytest.raises(ThrottledError) as caught:
            await auth.login("ann", WORD, by=HERE)
        assert caught.value.retry_after_s == 1
        clock.now += 1000
        await auth.login("ann", WORD, by=HERE)
    assert outcomes == ["refused"] * 5 + ["held", "granted"]


async def test_a_hash_of_the_predecessor_is_replaced_at_login_and_outlasts_a_restart() -> None:
    accounts = FakeAccounts()
    old = Credential(username="ann", role=Role.VIEWER, password_hash=predecessors_hash(WORD))
    async with an_authenticator(accounts, FakeClock(), old) as auth:
        with refused("login refused"):
            await auth.login("ann", "wrong", by=HERE)
        assert accounts.users["ann"].password_hash.startswith("scrypt:")
        grant = await auth.login("ann", WORD, by=HERE)
        assert accounts.users["ann"].password_hash.startswith("$argon2id$")
        assert auth.verify(grant.access.token).username == "ann"  # a better hash ends nothing
        await auth.login("ann", WORD, by=HERE)
    async with an_authenticator(accounts, FakeClock(), old) as auth:
        assert accounts.users["ann"].password_hash.startswith("$argon2id$")
        await auth.login("ann", WORD, by=HERE)


async def test_a_hash_of_less_work_is_replaced_at_login() -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN):
        assert "m=8,t=1" in accounts.users["ann"].password_hash
    async with an_authenticator(accounts, FakeClock(), ANN, passwords=Passwords(memory_kib=16, passes=2)) as auth:
        await auth.login("ann", WORD, by=HERE)
    assert "m=16,t=2" in accounts.users["ann"].password_hash


async def test_each_refresh_token_is_good_once_and_the_login_lasts_no_longer_by_it() -> None:
    clock = FakeClock()
    async with an_authenticator(FakeAccounts(), clock, ANN) as auth:
        grant = await auth.login("ann", WORD, by=HERE)
        first_end = grant.refresh and grant.refresh.expires_at
        for _ in range(3):
            clock.now += 600_000
            assert grant.refresh is not None
            grant = await auth.refresh(grant.refresh.token, by=HERE)
            assert auth.verify(grant.access.token).username == "ann"
        assert grant.refresh is not None
        assert grant.refresh.expires_at == first_end
        clock.now = NOW_MS + 3_610_000
        with refused("its time has passed"):
            await auth.refresh(grant.refresh.token, by=HERE)
        with refused("its time has passed"):
            auth.verify(grant.access.token)


async def test_a_refresh_token_that_comes_twice_ends_the_whole_login(caplog: pytest.LogCaptureFixture) -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        stolen = (await auth.login("ann", WORD, by=HERE)).refresh
        assert stolen is not None
        thiefs = await auth.refresh(stolen.token, by=Author("", "r9", "203.0.113.9"))
        assert thiefs.refresh is not None
        with refused("used before"):
            await auth.refresh(stolen.token, by=HERE)
        with refused("ended before its time"):
            auth.verify(thiefs.access.token)
        with refused("ended before its time"):
            await auth.refresh(thiefs.refresh.token, by=HERE)
    assert [line.action for line in accounts.lines][-1] == "auth.reuse"
    assert "a refresh token came twice" in caplog.text
    assert stolen.token not in caplog.text


async def test_of_two_who_refresh_at_once_one_gets_tokens() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN) as auth:
        grant = await auth.login("ann", WORD, by=HERE)
        assert grant.refresh is not None
        answers = await asyncio.gather(
            *(auth.refresh(grant.refresh.token, by=HERE) for _ in range(2)), return_exceptions=True
        )
    assert sorted(type(answer).__name__ for answer in answers) == ["AccessError", "Grant"]


@pytest.mark.parametrize("which", ["access", "made by the key's holder", "garbage"])
async def test_only_a_refresh_token_can_be_refreshed(which: str) -> None:
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN) as auth:
        access = (await auth.login("ann", WORD, by=HERE)).access.token
        token = {"access": access, "made by the key's holder": auth.issue("x", Role.ADMIN).token}.get(which, "a.b.c")
        with refused("the token is refused"):
            await auth.refresh(token, by=HERE)


async def test_what_was_logged_out_stays_out_over_a_restart_and_other_logins_stay_in() -> None:
    accounts, clock = FakeAccounts(), FakeClock()
    async with an_authenticator(accounts, clock, ANN) as auth:
        left, kept = [await auth.login("ann", WORD, by=HERE) for _ in range(2)]
        made = auth.issue("script", Role.VIEWER)
        for token in (left.access.token, made.token):
            principal = auth.verify(token)
            await auth.logout(principal, by=HERE)
            with refused("ended before its time"):
                auth.verify(token)
            with refused("ended before its time"):
                auth.ensure_good(principal)
    async with an_authenticator(accounts, clock, ANN) as auth:
        for token in (left.access.token, made.token):
            with refused("ended before its time"):
                auth.verify(token)
        assert left.refresh is not None
        with refused("ended before its time"):
            await auth.refresh(left.refresh.token, by=HERE)
        assert auth.verify(kept.access.token).username == "ann"
        clock.now += 3_611_000
        await auth.tidy()
        await auth.login("ann", WORD, by=HERE)
        assert accounts.ended == {}


async def test_a_change_of_the_user_ends_all_they_were_given_and_nobody_elses() -> None:
    clock = FakeClock()
    async with an_authenticator(FakeAccounts(), clock, ANN, ROOT) as auth:
        other = await auth.login("root", "another four words there", by=HERE)

        async def disable(users: Users) -> None:
            await users.change("ann", role=None, disabled=True, by=ADMIN)
            await users.change("ann", role=None, disabled=False, by=ADMIN)

        async def demote(users: Users) -> None:
            await users.change("ann", role=Role.VIEWER, disabled=None, by=ADMIN)

        async def reset(users: Users) -> None:
            await users.set_password("ann", WORD, action="user.reset", by=ADMIN)

        for change in (disable, demote, reset):
            clock.now += 60_000
            grant, made = await auth.login("ann", WORD, by=HERE), auth.issue("ann", Role.ADMIN)
            assert auth.verify(made.token).role is Role.ADMIN
            clock.now += 1
            await change(auth.users)
            for token in (grant.access.token, made.token):
                with refused("its user was changed since"):
                    auth.verify(token)
            assert grant.refresh is not None
            with refused("its user was changed since"):
                await auth.refresh(grant.refresh.token, by=HERE)
        assert auth.verify(other.access.token).role is Role.ADMIN


async def test_a_change_that_changes_nothing_ends_nothing() -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        grant = await auth.login("ann", WORD, by=HERE)
        await auth.users.change("ann", role=Role.OPERATOR, disabled=False, by=ADMIN)
        assert auth.verify(grant.access.token).username == "ann"
    assert "user.change" not in [line.action for line in accounts.lines]


async def test_a_user_changed_while_their_password_is_hashed_does_not_get_in() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN) as auth:
        login = asyncio.create_task(auth.login("ann", WORD, by=HERE))
        await asyncio.sleep(0)
        await auth.users.change("ann", role=None, disabled=True, by=ADMIN)
        with refused("login refused"):
            await login


async def test_own_password_is_changed_with_the_current_one_and_ends_every_login() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock(), ANN) as auth:
        first, second = [await auth.login("ann", WORD, by=HERE) for _ in range(2)]
        me = auth.verify(first.access.token)
        with refused("login refused"):
            await auth.change_password(me, "wrong", "another long password", by=HERE)
        await auth.change_password(me, WORD, "another long password", by=HERE)
        for grant in (first, second):
            with refused("its user was changed since"):
                auth.verify(grant.access.token)
        await auth.login("ann", "another long password", by=HERE)


async def test_a_user_has_twenty_logins_and_the_oldest_ends_for_the_next() -> None:
    clock = FakeClock()
    async with an_authenticator(FakeAccounts(), clock, ANN) as auth:
        grants = []
        for _ in range(MAX_SESSIONS + 1):
            clock.now += 1
            grants.append(await auth.login("ann", WORD, by=HERE))
        with refused("ended before its time"):
            auth.verify(grants[0].access.token)
        assert all(auth.verify(grant.access.token) for grant in grants[1:])


async def test_while_the_store_is_away_a_login_lasts_for_one_access_token_and_is_told_later() -> None:
    accounts, clock = FakeAccounts(), FakeClock()
    async with an_authenticator(accounts, clock, ANN) as auth:
        accounts.away = True
        grant = await auth.login("ann", WORD, by=HERE)
        assert grant.refresh is None
        principal = auth.verify(grant.access.token)
        with pytest.raises(StoreError):
            await auth.logout(principal, by=HERE)
        with refused("ended before its time"):  # for this run at least
            auth.verify(grant.access.token)
        await auth.tidy()
        accounts.away = False
        await auth.tidy()
    assert [line.action for line in accounts.lines] == ["user.create", "auth.login"]


async def test_refused_logins_are_counted_together_and_unknown_names_are_not_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    accounts, clock = FakeAccounts(), FakeClock()
    async with an_authenticator(accounts, clock, ANN) as auth:
        for number in range(200):
            clock.now += 1_000_000
            with refused("login refused"):
                await auth.login(f"my-password-{number}", "x", by=Author("", "r", f"10.0.0.{number}"))
            with refused("login refused"):
                await auth.login("ann", "x", by=HERE)
        accounts.away = True
        await auth.tidy()
        accounts.away = False
        await auth.tidy()
    noted = [line for line in accounts.lines if line.action == "auth.refused"]
    assert len(noted) <= 21
    assert sum(line.after["times"] for line in noted) == 400
    assert {line.subject for line in noted} == {"ann", "(unknown)", "(others)"}
    assert {line.after["times"] for line in noted if line.subject == "ann"} == {200}
    assert "my-password" not in caplog.text
    assert [record.levelno for record in caplog.records if "refused" in record.message] == [logging.WARNING] * 2


def test_a_role_may_what_those_below_it_may() -> None:
    auth = an_authenticator(FakeAccounts(), FakeClock())
    table = {(role, needed): auth.verify(auth.issue("u", role).token).may(needed) for role in Role for needed in Role}
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    assert table == {(role, needed): rank[role] >= rank[needed] for role in Role for needed in Role}


def test_a_token_of_the_keys_holder_is_good_for_its_hour_and_the_cache_is_bounded() -> None:
    clock = FakeClock()
    auth = an_authenticator(FakeAccounts(), clock)
    tokens = [auth.issue("u", Role.VIEWER).token for _ in range(1100)]
    for token in tokens:
        auth.verify(token)
    assert len(auth._verified) == 1024
    clock.now += 3_610_000
    for _ in range(2):  # from the cache, and then without it
        with refused("is over"):
            auth.verify(tokens[-1])
        auth._verified.clear()


async def test_a_login_of_a_user_whom_the_store_no_longer_has_is_refused() -> None:
    clock = FakeClock()
    async with an_authenticator(FakeAccounts(), clock, ANN) as auth:
        token = (await auth.login("ann", WORD, by=HERE)).access.token
    async with an_authenticator(FakeAccounts(), clock) as auth:
        with refused("its user is gone"):
            auth.verify(token)


async def test_what_another_process_changed_or_ended_counts_within_a_minute() -> None:
    accounts, clock = FakeAccounts(), FakeClock()
    async with (
        an_authenticator(accounts, clock, ANN, ROOT) as here,
        an_authenticator(accounts, clock, ANN, ROOT) as there,
    ):
        left, disabled = await here.login("ann", WORD, by=HERE), await here.login("root", ROOT.password or "", by=HERE)
        await there.logout(there.verify(left.access.token), by=HERE)
        await there.users.add("second", "another four words", Role.ADMIN, by=ADMIN)
        await there.users.change("root", role=None, disabled=True, by=ADMIN)
        assert here.verify(left.access.token).username == "ann"
        await here.tidy()
        with refused("ended before its time"):
            here.verify(left.access.token)
        with refused("its user was changed since"):
            here.verify(disabled.access.token)
        assert isinstance(await here.login("second", "another four words", by=HERE), Grant)


async def test_when_the_store_cannot_be_read_nothing_starts() -> None:
    accounts = FakeAccounts()
    accounts.away = True
    with pytest.raises(StoreError):
        async with an_authenticator(accounts, FakeClock(), ANN):
            pass


def test_a_weak_key_is_refused_before_anything_is_made() -> None:
    with pytest.raises(ConfigError):
        Authenticator(KeyRing("x" * 40), store=FakeAccounts(), clock=FakeClock(), access_ttl_s=900, session_ttl_s=3600)
    assert KeyRing(SECRET)
