"""`derms token`: a token for scripts on the controller's own machine."""

from pathlib import Path
from typing import Annotated

import typer

from derms.kinds import Role


def token(
    role: Annotated[Role, typer.Option(help="What its bearer may do.")] = Role.VIEWER,
    user: Annotated[str, typer.Option(help="The name that the audit log will show.")] = "cli",
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Directory of the daemon's token secret.")] = None,
) -> None:
    r"""Make an API token, on the controller's own machine: signed with the daemon's secret, for whoever may read that.

    \b
    Examples:
      derms token --role operator --user cron
      DERMS_TOKEN=$(derms token) derms device list
    """
    from derms.auth import KeyRing, Tokens, load_or_create_keys
    from derms.runtime import SystemClock
    from derms.settings_load import load_settings

    settings = load_settings(config=config, state_dir=state_dir)
    given = settings.jwt_secret
    keys = load_or_create_keys(settings.jwt_secret_file) if given is None else KeyRing(given.get_secret_value())
    issued = Tokens(keys, SystemClock()).issue(user, role, ttl_s=settings.token_ttl_h * 3600.0)
    typer.echo(issued.token)
