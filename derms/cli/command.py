"""What every command that asks a controller has in common.

A command is written as ``async def devices(run: Run, ...)``; `asking` makes of it what Typer takes, with the shared
options after its own. `watching` does it for commands that only read: they take `--watch` too.
"""

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from derms.cli.output import report
from derms.cli.run import Run as Run
from derms.cli.run import run_of
from derms.cli.shared import Shared, Watch
from derms.errors import ConflictError, DermsError

T = TypeVar("T")


def asking(command: Callable[..., Awaitable[T]]) -> Callable[..., T | None]:
    """Make a coroutine that takes a `Run` into a command.

    Args:
        command: Its first parameter is the run; the others are Typer's. One called `dry_run` is the run's.
    """
    return _command(command, watch=False)


def watching(command: Callable[..., Awaitable[T]]) -> Callable[..., T | None]:
    """As `asking`, for one that only reads: `--watch` does it again and again."""
    return _command(command, watch=True)


def _command(command: Callable[..., Awaitable[T]], *, watch: bool) -> Callable[..., T | None]:
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.annotation)
        for name, each in inspect.signature(Shared, eval_str=True).parameters.items()
    ]
    names = [each.name for each in shared]
    if watch:
        shared.insert(0, inspect.Parameter("watch", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Watch))

    @functools.wraps(command)
    def wrapped(**given: Any) -> T | None:
        import asyncio

        run = run_of(Shared(**{name: given.pop(name) for name in names}))
        every = given.pop("watch", None)
        if every is not None:
            from derms.cli.again import watched
            from derms.wording.values import parse_duration

            asyncio.run(watched(lambda again: command(again, **given), run, parse_duration(every)))
            return None
        run.dry = bool(given.get("dry_run"))
        return asyncio.run(_awaited(command(run, **given)))

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    wrapped.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    return wrapped


async def _awaited(result: Awaitable[T]) -> T:
    return await result


async def created(
    run: Run, create: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T]], name: str, *, if_not_exists: bool
) -> T:
    """Create something; with `if_not_exists` one of that name is left as it is, and taken.

    Raises:
        ConflictError: It is there, and that is not what was meant.
    """
    try:
        return await create()
    except ConflictError:
        if not if_not_exists:
            raise
        run.say(f"{name} was there already")
        return await find()


async def for_each(ids: Sequence[str], act: Callable[[str], Awaitable[None]]) -> int:
    """Do something to several things, one after the other; what fails for one is said, and the others go on.

    Args:
        ids: Which.
        act: To one of them.

    Returns:
        The exit code: of the first that failed.
    """
    code = 0
    for one_id in ids:
        try:
            await act(one_id)
        except DermsError as error:
            if len(ids) == 1:
                raise
            code = code or report(error)
    return code


def ids_of(words: Sequence[str], field_name: str) -> list[str]:
    """Ids as they were given; for `-` those on stdin: a line each, or a JSON document of this program.

    Args:
        words: The arguments.
        field_name: What the id is called in JSON.

    Raises:
        UsageError: There are none.
    """
    if list(words) != ["-"]:
        return list(dict.fromkeys(words))
    from derms.cli.stdin import ids_in

    return ids_in(sys.stdin.read(), field_name)
