"""`derms version`."""

from derms.cli.command import Run, asking
from derms.errors import UnavailableError


@asking
async def version(run: Run) -> None:
    r"""Show the release and commit of this program and of the controller. Needs no login.

    \b
    Examples:
      derms version
      derms version -o json | jq -r .controller.version
    """
    import msgspec

    from derms import __version__
    from derms.version import commit, described

    class Release(msgspec.Struct, frozen=True, kw_only=True):
        """One program's."""

        version: str
        commit: str

    class Releases(msgspec.Struct, frozen=True, kw_only=True):
        """Of both ends."""

        program: Release
        controller: Release | None
        url: str

    other: Release | None = None
    try:
        async with run.client(anonymous=True) as client:
            health = await client.health()
            other = Release(version=health.version, commit=health.commit)
    except UnavailableError as error:
        run.say(f"{error.what}: {error.why}")
    told = Releases(program=Release(version=__version__, commit=commit()), controller=other, url=run.context.url)

    def lines() -> str:
        there = "not known" if other is None else other.version + (f" (commit {other.commit})" if other.commit else "")
        return f"derms       {described()}\ncontroller  {there} at {run.context.url}\n"

    run.thing(told, __version__, lines)
