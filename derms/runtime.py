"""The process: its clocks, and running tasks until someone says stop."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """The wall clock, UTC [epoch ms]."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """A clock that only goes forward [s]."""
        return time.monotonic()


def keep_freed_memory() -> None:
    """Let the allocator keep what a tick frees for the next one, up to some tens of MB.

    glibc gives memory back at once until it has seen a large block freed; then every tick of a large fleet pays for
    hundreds of page faults, a third of its time. Elsewhere this does nothing.

    Source: mallopt(3), M_MMAP_THRESHOLD: the threshold follows the largest block freed, up to 32 MB.
    """
    _ = bytes(31 * 1024 * 1024)


def collect_seldom() -> None:
    """Look for garbage less often, and never again among what is there now.

    A controller makes tens of thousands of values a second that their reference counts free; to search all of a fleet
    for cycles among them took a tenth of its time. For the process of a controller, once it runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while modules are loaded, nor ever after among what they left: they stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set `stop` instead of ending the process in the middle of something."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


@contextlib.asynccontextmanager
async def running(tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run named tasks beside the body; cancel them when the body ends.

    A task that fails cancels the body and its siblings, and its error is raised from here: a part of the daemon
    that is gone must not be missed quietly.

    Args:
        tasks: Coroutine functions by name; each is expected to run until cancelled.
    """
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(_named(task), name=name) for name, task in tasks.items()]
        try:
            yield
        finally:
            for task in started:
                task.cancel()


async def _named(task: Callable[[], Awaitable[None]]) -> None:
    await task()


@contextlib.asynccontextmanager
async def begun(
    context: contextlib.AbstractAsyncContextManager[T], *, name: str, after: asyncio.Event
) -> AsyncIterator[asyncio.Task[T]]:
    """Enter a context beside the body, which waits for it when it needs it; it is left when the body ends.

    Args:
        context: It is entered in a task and left in another, so it may hold no task group open.
        name: The task's.
        after: It waits for this first.

    Yields:
        The task that enters; what fails there is raised to whoever waits for it.
    """

    async def enter() -> T:
        await after.wait()
        return await stack.enter_async_context(context)

    async with contextlib.AsyncExitStack() as stack:
        entering = asyncio.create_task(enter(), name=name)
        try:
            yield entering
        finally:
            entering.cancel()
            await asyncio.wait({entering})
            if not entering.cancelled():
                entering.exception()  # the body had an error of its own, or did not need it


async def wait_first(*events: asyncio.Event, timeout_s: float | None = None) -> bool:
    """Wait until one of the events is set.

    Returns:
        False when `timeout_s` passed first.
    """
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waiters, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for waiter in waiters:
            waiter.cancel()
