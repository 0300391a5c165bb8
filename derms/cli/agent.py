"""`derms agent`: the program beside an inverter, a battery or a charger."""

from pathlib import Path
from typing import Annotated

import typer

from derms.cli.agent_setup import CONFIG, check, init
from derms.cli.enroll import enroll
from derms.cli.nouns import Noun

app = Noun(
    "What runs beside a device.",
    "derms agent init --type battery --p-max-kw 5",
    "derms agent check",
)


@app.command("run")
def run(
    config: Annotated[Path, typer.Option(help="The agent's configuration, a JSON file.")] = CONFIG,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
    ha_discovery: Annotated[bool, typer.Option("--ha-discovery", help="Tell Home Assistant of the device.")] = False,
) -> None:
    r"""Report a device's measurements and follow its setpoints, until SIGTERM or Ctrl-C.

    \b
    Examples:
      derms agent run --config /etc/derms/agent.json
      derms agent run --config agent.json --ha-discovery
    """
    import asyncio
    import dataclasses

    from agent.config import load_config
    from agent.process import run_agent
    from derms.log import configure_logging

    checked = load_config(config)
    if ha_discovery:
        checked = dataclasses.replace(checked, ha_discovery=True)
    configure_logging(level=log_level)
    asyncio.run(run_agent(checked, directory=config.parent))


app.command("init")(init)
app.command("check")(check)
app.command("enroll")(enroll)
