"""The webhook against a real server that takes, fails, hangs, redirects and is not there."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from derms.webhook import ATTEMPTS, MAX_WAITING, Webhook

SECRET = "t0ken-in-the-path"


@dataclass
class Hook:
    """A server, what it answers in turn, and what it got."""

    answers: list[int | str] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    url: str = ""
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answer = self.answers.pop(0) if self.answers else 204
        if answer == "hang":
            await self.release.wait()
            return web.Response()
        if answer == "cut":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if answer == "redirect":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        self.got.append(body)
        return web.Response(status=int(answer))

    async def away(self, request: web.Request) -> web.Response:
        self.elsewhere.append(request.path)
        return web.Response()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post(f"/{SECRET}", hook.take)
    app.router.add_post("/elsewhere", hook.away)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    yield hook
    hook.release.set()
    await runner.cleanup()


class Sent:
    """A running webhook, its pauses and its results."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self.results: list[str] = []
        self.pauses: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.webhook = Webhook(url, on_result=self._result, pause=self._pause, timeout_s=timeout_s)

    def _result(self, result: str) -> None:
        self.results.append(result)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Sent"]:
        task = asyncio.create_task(self.webhook.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


async def test_messages_arrive_in_order(hook: Hook) -> None:
    async with Sent(hook.url).running() as sent:
        for n in range(5):
            sent.webhook.put(b'{"n":%d}' % n)
        await sent.until(lambda: len(sent.results) == 5)
    assert hook.got == [b'{"n":%d}' % n for n in range(5)]
    assert sent.results == ["delivered"] * 5


async def test_what_may_pass_is_tried_again_with_longer_pauses(hook: Hook) -> None:
    hook.answers = [500, 503, 429, 408, "cut", 200]
    async with Sent(hook.url).running() as sent:
        sent.webhook.put(b"{}")
        await sent.until(lambda: "delivered" in sent.results)
    assert sent.results == ["retried"] * 5 + ["delivered"]
    assert sent.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_one_that_hangs_is_not_waited_for_and_one_that_never_answers_is_given_up(hook: Hook) -> None:
    hook.answers = ["hang"] * ATTEMPTS
    async with Sent(hook.url, timeout_s=0.05).running() as sent:
        sent.webhook.put(b"1")
        sent.webhook.put(b"2")
        await sent.until(lambda: "delivered" in sent.results)
    assert sent.results == ["retried"] * (ATTEMPTS - 1) + ["given_up", "delivered"]
    assert sent.pauses[-1] == 60.0
    assert hook.got == [b"2"]


@pytest.mark.parametrize("answer", ["redirect", 400, 404, 410])
async def test_what_will_not_pass_is_given_up_at_once_and_no_redirect_is_followed(
    hook: Hook, answer: int | str
) -> None:
    hook.answers = [answer]
    async with Sent(hook.url).running() as sent:
        sent.webhook.put(b"{}")
        await sent.until(lambda: bool(sent.results))
    assert (sent.results, sent.pauses, hook.elsewhere) == (["given_up"], [], [])


async def test_when_too_many_wait_the_oldest_go(hook: Hook) -> None:
    sent = Sent(hook.url)
    for n in range(MAX_WAITING + 7):
        sent.webhook.put(b"%d" % n)
    assert sent.results == ["dropped"] * 7
    async with sent.running():
        await sent.until(lambda: len(sent.results) == MAX_WAITING + 7)
    assert hook.got[0] == b"7"


async def test_the_address_is_in_no_log_and_a_failure_is_logged_once(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [500, 500, 200, 404]
    with caplog.at_level(logging.DEBUG):
        async with Sent(hook.url).running() as sent:
            sent.webhook.put(b"1")
            await sent.until(lambda: "delivered" in sent.results)
            sent.webhook.put(b"2")
            await sent.until(lambda: "given_up" in sent.results)
        nobody = Sent(f"http://user:{SECRET}@127.0.0.1:1/{SECRET}")
        async with nobody.running():
            nobody.webhook.put(b"3")
            await nobody.until(lambda: "given_up" in nobody.results)
    ours = [one for one in caplog.records if one.name == "derms.webhook"]
    assert [one.levelname for one in ours] == ["ERROR", "INFO", "ERROR", "ERROR"]
    assert all(SECRET not in f"{one.getMessage()} {one.__dict__}" for one in caplog.records)


async def test_it_can_be_sent_from_a_thread_while_the_loop_of_this_one_is_elsewhere(hook: Hook) -> None:
    sent = Sent(hook.url)
    thread = threading.Thread(target=sent.webhook.post_now, args=(b'{"from":"a thread"}',))
    thread.start()
    await sent.until(lambda: bool(sent.results))
    thread.join()
    assert (hook.got, sent.results) == ([b'{"from":"a thread"}'], ["delivered"])
