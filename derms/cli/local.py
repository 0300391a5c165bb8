"""What commands have in common that ask no controller: they look at this machine alone."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from derms.cli.contexts import Context
from derms.cli.run import Run
from derms.cli.shared import Shared
from derms.cli.terminal import here

_OPTIONS = ("output", "json", "utc", "no_color", "ascii", "no_input", "quiet", "debug")
"""Of the shared options those that have a meaning here."""
_PLACE = "this machine"


def local(command: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function, or a coroutine, that takes a `Run` into a command that needs neither context nor login.

    Args:
        command: Its first parameter is the run; the others are Typer's. The run's context names what is worked on in
            questions (`working_on`), and no controller.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(signature.parameters.values())[1:]]
    known = inspect.signature(Shared, eval_str=True).parameters
    shared = [known[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in _OPTIONS]

    @functools.wraps(command)
    def wrapped(**given: Any) -> Any:
        options = Shared(**{name: given.pop(name) for name in _OPTIONS})
        terminal = here(no_color=options.no_color, ascii_only=options.ascii, no_input=options.no_input)
        run = Run(shared=options, terminal=terminal, context=Context(name=_PLACE, url=""), origin="default")
        result = command(run, **given)
        return asyncio.run(result) if isinstance(result, Coroutine) else result

    wrapped.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    return wrapped


def working_on(run: Run, what: str, where: str) -> None:
    """Name what a question is about: `[database derms at db.example]`."""
    run.context = Context(name=what, url=where)
