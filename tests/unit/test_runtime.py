"""What runs beside a body, and ends with it."""

import asyncio
import contextlib
import gc

import pytest

from derms.errors import BrokerError
from derms.runtime import begun, loading


class Server:
    """A context that notes what happened to it."""

    def __init__(self, *, answers: asyncio.Event | None = None, fails: bool = False) -> None:
        self.answers, self.fails = answers, fails
        self.seen: list[str] = []

    async def __aenter__(self) -> str:
        self.seen.append("begun")
        try:
            if self.answers is not None:
                await self.answers.wait()
        except asyncio.CancelledError:
            self.seen.append("given up")
            raise
        if self.fails:
            raise BrokerError("it does not start")
        return "the server"

    async def __aexit__(self, *_: object) -> None:
        self.seen.append("ended")


def _at_once() -> asyncio.Event:
    now = asyncio.Event()
    now.set()
    return now


async def test_what_was_begun_is_had_when_it_is_needed_and_ended_with_the_body() -> None:
    server = Server()
    async with begun(server, name="server", after=_at_once()) as entering:
        assert await entering == "the server"
        assert server.seen == ["begun"]
    assert server.seen == ["begun", "ended"]


async def test_nothing_begins_before_it_may() -> None:
    server, may = Server(), asyncio.Event()
    async with begun(server, name="server", after=may) as entering:
        await asyncio.sleep(0)
        assert server.seen == []
        may.set()
        await entering
    assert server.seen == ["begun", "ended"]


async def test_what_is_still_beginning_when_the_body_fails_is_given_up_before_the_error_is_told() -> None:
    server = Server(answers=asyncio.Event())

    async def body() -> None:
        async with begun(server, name="server", after=_at_once()):
            await asyncio.sleep(0)
            raise ValueError("of the body")

    with pytest.raises(ValueError, match="of the body"):
        await body()
    assert server.seen == ["begun", "given up"]


async def test_what_fails_meanwhile_is_told_to_who_needs_it_and_to_nobody_else() -> None:
    server = Server(fails=True)
    with pytest.raises(BrokerError):
        async with begun(server, name="server", after=_at_once()) as entering:
            await entering
    async with begun(server, name="server", after=_at_once()):
        await asyncio.sleep(0)
    assert server.seen == ["begun", "begun"]


def test_garbage_is_looked_for_again_after_loading_whatever_came_of_it() -> None:
    was_on = []
    with contextlib.suppress(ImportError), loading():
        was_on.append(gc.isenabled())
        raise ImportError
    assert was_on == [False]
    assert gc.isenabled()
    gc.unfreeze()
