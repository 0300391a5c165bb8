"""`derms user`; all of it needs the role admin, but for `hash-password`, which asks no controller."""

from typing import Annotated

import msgspec
import typer

from derms.cli.command import Run, asking, watching
from derms.cli.formats import Column, Listing
from derms.cli.local import local
from derms.cli.names import Kind, names_of
from derms.cli.nouns import Noun
from derms.errors import ConflictError
from derms.kinds import Role

app = Noun(
    "Who may log in. Needs the role admin.",
    "derms user list",
    "derms user add bob --role operator",
)

_Name = Annotated[str, typer.Argument(help="The user's name.")]
_Known = Annotated[str, typer.Argument(help="The user's name.", autocompletion=names_of(Kind.USER))]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin, a line.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Without asking.")]


@app.command("list")
@watching
async def list_(run: Run, role: Annotated[Role | None, typer.Option(help="Only of this role.")] = None) -> None:
    r"""List the users.

    \b
    Examples:
      derms user list
      derms user list --role admin -o name
    """
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
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="One that is there is left as it is.")] = False,
) -> None:
    r"""Make a user. The password is asked for, or read from stdin.

    \b
    Examples:
      derms user add bob --role operator
      pass show derms/bob | derms user add bob --role operator --password-stdin --if-not-exists
    """
    from derms.api.schemas.users import UserIn
    from derms.cli.asked import new_password

    password = new_password(run, username, from_stdin=password_stdin)
    async with run.client() as client:
        try:
            user = await client.add_user(UserIn(username=username, password=password, role=role))
        except ConflictError:
            if not if_not_exists:
                raise
            run.write(f"{username}\n")
            run.say(f"{username} was there already")
            return
    run.thing(user, user.username, lambda: f"{user.username}\n")
    run.say(f"{user.username} may log in as {user.role.value}")


@app.command()
@asking
async def disable(run: Run, username: _Known, dry_run: _Dry = False, yes: _Yes = False) -> None:
    r"""Let a user in no more; all their logins end.

    \b
    Examples:
      derms user disable bob
      derms user disable bob --yes
    """
    if not run.confirm(f"Disable {username}?", yes=yes):
        return
    async with run.client() as client:
        user = await client.change_user(username, disabled=True)
    run.say(f"{user.username} may not log in any more")


@app.command()
@asking
async def enable(run: Run, username: _Known) -> None:
    r"""Let a user in again.

    \b
    Examples:
      derms user enable bob
      derms user enable bob --context plant
    """
    async with run.client() as client:
        user = await client.change_user(username, disabled=False)
    run.say(f"{user.username} may log in as {user.role.value}")


@app.command()
@asking
async def reset(run: Run, username: _Known, password_stdin: _Stdin = False) -> None:
    r"""Give a user another password; all their logins end.

    \b
    Examples:
      derms user reset bob
      pass show derms/bob | derms user reset bob --password-stdin
    """
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
    Examples:
      derms user hash-password op
      pass show derms/op | derms user hash-password op --password-stdin
    """
    from derms.auth import Passwords, check_password
    from derms.cli.asked import new_password

    password = new_password(run, username or "the user", from_stdin=password_stdin)
    check_password(username, password)
    made = Passwords().hash(password)
    run.thing(HashOut(password_hash=made), made, lambda: f"{made}\n")
