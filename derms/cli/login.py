"""`derms login`, `logout` and `whoami`."""

from typing import Annotated

import typer

from derms.cli.asked import asked, password_line
from derms.cli.command import Run, asking
from derms.errors import AccessError


@asking
async def login(
    run: Run,
    username: Annotated[str | None, typer.Argument(help="Who logs in; asked for when left out.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin, a line.")
    ] = False,
) -> None:
    r"""Log in, and keep the token for the commands to come.

    The password is asked for, or read from stdin; never given on the command line, where others could see it.

    \b
    Examples:
      derms login op
      pass show derms | derms login op --password-stdin
    """
    from derms.cli.tokens import Tokens

    if username is None:
        username = asked(run, "Username", hide=False)
    if password_stdin:
        password = password_line()
    else:
        password = asked(run, f"Password of {username} at {run.context.url}", hide=True)
    async with run.client(anonymous=True) as client:
        granted = await client.login(username, password)
    run.vault.write(
        Tokens(
            url=run.context.url,
            username=username,
            token=granted.token,
            refresh_token=granted.refresh_token,
        )
    )
    run.say(f"Logged in to {run.context.url} as {username}, {granted.role.value}")


@asking
async def logout(run: Run) -> None:
    r"""End the login on the controller, and forget its token.

    \b
    Examples:
      derms logout
      derms logout --context plant
    """
    if run.tokens() is None:
        run.say(f"Nobody is logged in to {run.context.url}")
        return
    try:
        async with run.client() as client:
            await client.logout()
    except AccessError:
        # It was over already.
        pass
    run.vault.forget()
    run.say(f"Logged out of {run.context.url}")


@asking
async def whoami(run: Run) -> None:
    r"""Show who you are to the controller.

    \b
    Examples:
      derms whoami
      derms whoami --json | jq -r .role
    """
    async with run.client() as client:
        me = await client.me()
    run.thing(
        me,
        me.username,
        lambda: (
            f"{me.username} ({me.role.value}) at {run.context.url}, context {run.context.name}; "
            f"the token is good until {run.local(me.expires_at)}\n"
        ),
    )
