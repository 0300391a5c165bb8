"""`--watch`: the same command again and again, until Ctrl-C.

On a terminal a picture takes the place of the one before, cut to the screen; elsewhere pictures follow one another:
JSON a line each, YAML as documents of a stream, CSV with its header once.
"""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

from derms.cli.formats import Format
from derms.cli.output import write_no_more
from derms.cli.run import Run
from derms.cli.terminal import Terminal, printable
from derms.errors import UnavailableError, UsageError
from derms.wording.instants import local

_LEAST_S = 0.1


async def watched(command: Callable[[Run], Awaitable[object]], run: Run, every_s: float) -> None:
    """Run a command over and over.

    Args:
        command: Writes to the run it is given.
        run: As it was asked for.
        every_s: From the beginning of one to the beginning of the next [s].

    Raises:
        DermsError: As the command says; that the controller does not answer is only said, once it has answered.
    """
    if every_s < _LEAST_S:
        raise UsageError(
            f"the interval is {every_s:g} s", why=f"it is {_LEAST_S:g} s or more", next_step="say a longer one"
        )
    loop = asyncio.get_running_loop()
    pictures, silent = 0, False
    while True:
        next_s = loop.time() + every_s
        # What people are told of each picture would fill their screen.
        shared = replace(run.shared, quiet=run.shared.quiet or (run.terminal.looks and pictures > 0))
        again = replace(run, shared=shared, terminal=_as_it_is_now(run), again=True, picture=[])
        try:
            await command(again)
        except UnavailableError as error:
            if not pictures:
                raise
            if not silent:
                silent = True
                run.say(f"{local(run.now, utc=run.shared.utc)}  {error.what}: {error.why}; asking again")
        else:
            if silent:
                silent = False
                run.say(f"{local(run.now, utc=run.shared.utc)}  it answers again")
            if not _shown(again, "".join(again.picture), every_s, first=pictures == 0):
                return
            pictures += 1
        await asyncio.sleep(max(next_s - loop.time(), 0.0))


def _as_it_is_now(run: Run) -> Terminal:
    """Windows are resized."""
    size = shutil.get_terminal_size()
    width = size.columns if run.terminal.looks else run.terminal.width
    return replace(run.terminal, width=width, columns=size.columns, lines=size.lines)


def _shown(run: Run, text: str, every_s: float, *, first: bool) -> bool:
    """Write a picture; false: nobody reads any more."""
    if run.terminal.looks:
        text = _screen(run, text, every_s)
    elif run.format is Format.CSV and not first:
        text = text.partition("\n")[2]
    elif run.format is Format.YAML:
        text = f"---\n{text}"
    elif run.format is Format.TABLE and not first:
        text = f"\n{text}"
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        write_no_more()
        return False
    return True


def _screen(run: Run, text: str, every_s: float) -> str:
    title = f"every {every_s:g} s  {run.context.name} {run.context.url}  {local(run.now, utc=run.shared.utc)}"
    lines = [printable(title, run.terminal)[: run.terminal.columns - 1], "", *text.splitlines()]
    room = max(run.terminal.lines - 1, 3)
    if len(lines) > room:
        lines[room - 1 :] = [f"({len(lines) - room + 1} lines more)"]
    if run.terminal.dumb:
        return "\n".join(lines) + "\n\n"
    # Over the picture before, so that nothing flickers; what is left of it is wiped away.
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
