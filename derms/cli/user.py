"""`derms user`; all of it needs the role admin, but for `hash-password`, which asks no controller."""

from typing import Annotated

import msgspec
import typer

from derms.cli.command import Run, asking
from derms.cli.formats import Column, Listing
from derms.cli.local import local
from derms.model import Role

app = typer.Typer(help="Who may log in. Needs the role admin.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(help="The user's name.")]
_Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin, a line.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]


@app.command("list")
@asking
async def list_(run: Run, role: Annotated[Role | None, typer.Option(help="Only of this role.")] = None) -> None:
    """List the users."""
    from derms.api.schemas.users import UserOut, UsersQuery
    from derms.cli.paging import pages

    async with run.client() as client:
        got = await pages(client.users, UsersQuery(role=role))
    columns: list[Column[UserOut]] = [
        Column(name="username", title="USER", value=lambda one: one.username),
        Column(name="role", title="ROLE", value=lambda one: one.role),
        Column(name="disabled", title="DISABLED", value=lambda one: one.disabled,
               tone=lambda one: "warn" if one.disabled else ""),
        Column(name="source", title="SOURCE", value=lambda one: one.source),
        Column(name="changed_at", title="CHANGED", value=lambda one: one.changed_at,
               shown=lambda one: run.local(one.changed_at)),
    ]  # fmt: skip
    rows = [one for page in got for one in page.users]
    run.rows(Listing(kind="users", rows=rows, columns=columns, name=lambda one: one.username))


@app.command()
@asking
async def add(
    run: Run,
    username: _Name,
    role: Annotated[Role, typer.Option(help="viewer, operator or admin.")] = Role.VIEWER,
    password_stdin: _Stdin = False,
) -> None:
    r"""Make a user. The password is asked for, or read from stdin.

    \b
    Example: pass show derms/bob | derms user add bob --role operator --password-stdin
    """
    from derms.api.schemas.users import UserIn
    from derms.cli.asked import new_password

    password = new_password(run, username, from_stdin=password_stdin)
    async with run.client() as client:
        user = await client.add_user(UserIn(username=username, password=password, role=role))
    run.thing(user, user.username, lambda: f"{user.username}\n")
    run.say(f"{user.username} may log in as {user.role.value}")


@app.command()
@asking
async def disable(run: Run, username: _Name, yes: _Yes = False) -> None:
    """Let a user in no more; all their logins end."""
    run.confirm(f"Disable {username}?", yes=yes)
    async with run.client() as client:
        user = await client.change_user(username, disabled=True)
    run.say(f"{user.username} may not log in any more")


@app.command()
@asking
async def enable(run: Run, username: _Name) -> None:
    """Let a user in again."""
    async with run.client() as client:
        user = await client.change_user(username, disabled=False)
    run.say(f"{user.username} may log in as {user.role.value}")


@app.command()
@asking
async def reset(run: Run, username: _Name, password_stdin: _Stdin = False) -> None:
    """Give a user another password; all their logins end."""
    from derms.cli.asked import new_password

    password = new_password(run, username, from_stdin=password_stdin)
    async with run.client() as client:
        await client.reset_user(username, password)
    run.say(f"{username} has another password")


class HashOut(msgspec.Struct, frozen=True, kw_only=True):
    """A password's hash."""

    password_hash: str


@app.command("hash-password")
@local
def hash_password(
    run: Run,
    username: Annotated[str, typer.Argument(help="Whose it is to be; it must not be in the password.")] = "",
    password_stdin: _Stdin = False,
) -> None:
    r"""Make the hash of a password, for `password_hash` in DERMS_AUTH_USERS; no controller is asked.

    The password is asked for twice, or read from stdin; it is not kept.

    \b
    Example: pass show derms/op | derms user hash-password op --password-stdin
    """
    from derms.auth import Passwords, check_password
    from derms.cli.asked import new_password

    password = new_password(run, username or "the user", from_stdin=password_stdin)
    check_password(username, password)
    made = Passwords().hash(password)
    run.thing(HashOut(password_hash=made), made, lambda: f"{made}\n")
