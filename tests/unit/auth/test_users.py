"""Who may log in, and the setting that seeds them."""

from dataclasses import replace

import pytest

from derms.accounts import UserSource
from derms.auth import Authenticator, Credential
from derms.errors import AccessError, ConfigError, ConflictError, NotFoundError, UsageError
from derms.model import Author, Role
from tests.fakes_accounts import FakeAccounts
from tests.fakes_api import FakeClock, an_authenticator
from tests.unit.auth.test_passwords import predecessors_hash

BY = Author("root", "r1", "192.0.2.1")
WORD = "four words of nonsense"
ANN = Credential(username="ann", role=Role.OPERATOR, password=WORD)


async def may_log_in(auth: Authenticator, name: str, word: str) -> bool:
    try:
        await auth.login(name, word, by=BY)
    except AccessError:
        return False
    return True


async def test_users_of_the_setting_are_made_once_and_later_starts_change_nothing() -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        assert await may_log_in(auth, "ann", WORD)
    before = dict(accounts.users)
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        assert accounts.users == before
        assert before["ann"].source is UserSource.SETTINGS
    assert [line.action for line in accounts.lines].count("user.create") == 1


@pytest.mark.parametrize(
    "seed",
    [
        replace(ANN, password="another long password"),
        replace(ANN, role=Role.ADMIN),
        Credential(username="ann", role=Role.OPERATOR, password_hash=predecessors_hash("another long password")),
    ],
    ids=["password", "role", "hash"],
)
async def test_what_the_setting_says_anew_is_taken_over_and_ends_what_was_given(seed: Credential) -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        token = (await auth.login("ann", WORD, by=BY)).access.token
    async with an_authenticator(accounts, FakeClock(), seed) as auth:
        with pytest.raises(AccessError, match="refused"):
            auth.verify(token)
        assert accounts.users["ann"].role is seed.role
        word = WORD if seed.password == WORD else "another long password"
        assert await may_log_in(auth, "ann", word)
        assert await may_log_in(auth, "ann", WORD) is (word == WORD)


async def test_whom_the_setting_no_longer_names_may_not_log_in_until_it_does_again() -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN):
        pass
    async with an_authenticator(accounts, FakeClock()) as auth:
        assert not await may_log_in(auth, "ann", WORD)
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        assert await may_log_in(auth, "ann", WORD)


async def test_who_was_changed_through_the_api_is_no_longer_the_settings() -> None:
    accounts = FakeAccounts()
    async with an_authenticator(accounts, FakeClock(), ANN) as auth:
        await auth.users.set_password("ann", "a password that is not leaked", action="user.reset", by=BY)
    for seeds in ([ANN], [replace(ANN, role=Role.ADMIN)], []):
        async with an_authenticator(accounts, FakeClock(), *seeds) as auth:
            assert not await may_log_in(auth, "ann", WORD)
            assert await may_log_in(auth, "ann", "a password that is not leaked")
            assert accounts.users["ann"].role is Role.OPERATOR


async def test_a_weak_password_of_the_setting_works_but_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    weak = replace(ANN, password="hunter2")
    async with an_authenticator(FakeAccounts(), FakeClock(), weak) as auth:
        assert await may_log_in(auth, "ann", "hunter2")
    (record,) = [record for record in caplog.records if "weak" in record.message]
    assert vars(record)["username"] == "ann"
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "seeds",
    [
        [ANN, ANN],
        [replace(ANN, password="")],
        [replace(ANN, password=None)],
        [replace(ANN, password_hash=predecessors_hash(WORD))],
        [replace(ANN, password=None, password_hash="plain words")],
    ],
    ids=["twice", "empty", "neither", "both", "no hash"],
)
async def test_a_setting_that_cannot_be_meant_is_refused(seeds: list[Credential]) -> None:
    with pytest.raises(ConfigError) as caught:
        async with an_authenticator(FakeAccounts(), FakeClock(), *seeds):
            pass
    assert "plain words" not in str(caught.value)


async def test_a_new_user_may_log_in_and_a_taken_name_is_refused_whatever_its_capitals() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock()) as auth:
        user = await auth.users.add("bob@site-1", WORD, Role.VIEWER, by=BY)
        assert (user.source, user.generation) == (UserSource.API, 1)
        assert await may_log_in(auth, "bob@site-1", WORD)
        for name in ("bob@site-1", "BOB@site-1"):
            with pytest.raises(ConflictError):
                await auth.users.add(name, WORD, Role.VIEWER, by=BY)
        assert WORD not in repr(user)
        assert user.password_hash not in repr(user)


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a/b", "../etc", "x" * 65, "a\n", "é", "' OR 1=1 --", "a\x00"])
async def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    async with an_authenticator(FakeAccounts(), FakeClock()) as auth:
        with pytest.raises(UsageError, match="username is"):
            await auth.users.add(name, WORD, Role.VIEWER, by=BY)
        assert auth.users.all() == []


async def test_a_user_who_is_not_there_cannot_be_changed() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock()) as auth:
        with pytest.raises(NotFoundError):
            await auth.users.change("nobody", role=Role.ADMIN, disabled=None, by=BY)
        with pytest.raises(NotFoundError):
            await auth.users.set_password("nobody", WORD, action="user.reset", by=BY)
