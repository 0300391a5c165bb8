"""`derms agent`: the program beside an inverter, a battery or a charger."""

from pathlib import Path
from typing import Annotated

import typer

from derms.cli.nouns import Noun

app = Noun(
    "What runs beside a device.",
    "derms agent run --config agent.json",
    "derms help agent",
)


@app.callback()
def agent() -> None:
    """What runs beside a device."""


@app.command("run")
def run(
    config: Annotated[Path, typer.Option(help="The agent's configuration, a JSON file.")],
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
) -> None:
    r"""Report a device's measurements and follow its setpoints, until SIGTERM or Ctrl-C.

    \b
    Examples:
      derms agent run --config /etc/derms/agent.json
      derms agent run --config agent.json --log-level debug
    """
    import asyncio

    from agent.config import load_config
    from agent.process import run_agent
    from derms.log import configure_logging

    checked = load_config(config)
    configure_logging(level=log_level)
    asyncio.run(run_agent(checked))
