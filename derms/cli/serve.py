"""`derms serve`: the daemon."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    mqtt_url: Annotated[
        str | None, typer.Option(help="MQTT broker; without one an embedded broker is started.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="PostgreSQL; without one an embedded server is started.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of the embedded database and broker.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Directory of the spool and the token secret.")] = None,
    api_host: Annotated[str | None, typer.Option(help="Address of the API.")] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API; 0: one that is free.")] = None,
    limit: Annotated[float | None, typer.Option(help="Import limit of the default feeder [kW].")] = None,
    role: Annotated[
        str | None, typer.Option(help="What this process does: control, ingest, api, with commas between.")
    ] = None,
    interval: Annotated[float | None, typer.Option(help="Seconds between control ticks.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning, error or critical.")] = None,
) -> None:
    r"""Run the controller until SIGTERM or Ctrl-C.

    Settings come from flags, DERMS_* variables, .env and a TOML file, in this order; docs/settings.md lists them.

    \b
    Examples:
      derms serve
      derms serve --mqtt-url mqtt://broker.example:1883 --database-url postgresql://db.example/derms
    """
    import asyncio

    from derms.runtime import keep_freed_memory, loading

    with loading():
        from derms.log import configure_logging
        from derms.serve.start import serve as run
        from derms.settings_load import load_settings

    settings = load_settings(
        config=config,
        mqtt_url=mqtt_url,
        database_url=database_url,
        data_dir=data_dir,
        state_dir=state_dir,
        api_host=api_host,
        api_port=api_port,
        feeder_import_limit_kw=limit,
        roles=role,
        control_interval_s=interval,
        log_level=log_level,
    )
    configure_logging(level=settings.log_level, pretty=settings.log_pretty)
    keep_freed_memory()
    asyncio.run(run(settings))
