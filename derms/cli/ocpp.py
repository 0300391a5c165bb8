"""`derms ocpp`: the endpoint that charging stations connect to."""

from pathlib import Path
from typing import Annotated

import typer

from derms.cli.nouns import Noun

app = Noun(
    "The endpoint of charging stations.",
    "derms ocpp serve --config ocpp.toml",
    "derms ocpp serve --config ocpp.toml --log-level debug",
)


@app.command("serve")
def serve(
    config: Annotated[Path, typer.Option(help="The endpoint's configuration, a TOML file.")],
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
) -> None:
    r"""Let charging stations connect by OCPP 1.6J or 2.0.1, and make a device of each, until SIGTERM or Ctrl-C.

    \b
    Examples:
      derms ocpp serve --config /etc/derms/ocpp.toml
      derms ocpp serve --config ocpp.toml --log-level debug
    """
    import asyncio

    from agent.ocpp.config import load_ocpp_config
    from derms.errors import ConfigError
    from derms.log import configure_logging

    checked = load_ocpp_config(config)
    try:
        from agent.ocpp.process import serve_ocpp
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"derms ocpp needs the Python package {error.name}, which is not installed",
            why="it comes with the extra `ocpp`",
            next_step="install it: pip install 'derms[ocpp]'",
        ) from error
    configure_logging(level=log_level)
    asyncio.run(serve_ocpp(checked))
