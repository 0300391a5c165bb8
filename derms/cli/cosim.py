"""`derms cosim`: the engine for somebody else's model, over stdin and stdout."""

from typing import Annotated

import typer


def cosim(
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "warning",
) -> None:
    """Drive the engine with a model of yours: JSON lines in, JSON lines out, one tick a line.

    docs/cosimulation.md says what stands in them. Logs go to stderr. The end of input ends the session.
    """
    import os
    import sys

    from derms.cosim.run import run
    from derms.log import configure_logging
    from derms.runtime import keep_freed_memory

    configure_logging(level=log_level)
    keep_freed_memory()
    try:
        run(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The driver has had enough. The command library would end with 1, and Python complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
