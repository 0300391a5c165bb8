"""`derms cosim`: the engine for somebody else's model, over stdin and stdout."""

from typing import Annotated

import typer


def cosim(
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "warning",
) -> None:
    r"""Drive the control engine from a model of yours, over stdin and stdout: JSON lines, one tick a line.

    docs/cosimulation.md says what stands in them. Logs go to stderr. The end of input ends the session.

    \b
    Examples:
      my-model | derms cosim | my-model
      derms cosim < steps.jsonl > decisions.jsonl
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
