"""`derms config`: the settings of the daemon, and what the commands that ask one go by."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from derms.cli.formats import Column, Format, Listing
from derms.cli.local import local
from derms.cli.nouns import Noun
from derms.cli.output import ExitCode
from derms.cli.run import Run
from derms.errors import NotFoundError

if TYPE_CHECKING:
    from derms.settings_explain import Explained

app = Noun(
    "See and check settings, on the daemon's own machine.",
    "derms config check",
    "derms config explain lease_s",
)

_Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
_StateDir = Annotated[Path | None, typer.Option(help="Directory of the spool and the token secret.")]
_Client = Annotated[bool, typer.Option("--client", help="What the commands that ask a controller go by instead.")]
_Url = Annotated[str | None, typer.Option("--url", envvar="DERMS_URL", help="As for those commands.")]
_Context = Annotated[str | None, typer.Option("--context", envvar="DERMS_CONTEXT", help="As for those commands.")]


class CheckOut(msgspec.Struct, frozen=True, kw_only=True):
    """What `config check` found."""

    ok: bool
    problems: list[str]
    """What is wrong, why, and what to do, a line each."""


@app.command()
@local
def show(
    run: Run,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    client: _Client = False,
    config: _Config = None,
    state_dir: _StateDir = None,
    url: _Url = None,
    context: _Context = None,
) -> int:
    r"""Show every setting in effect, and where it comes from; secrets are masked.

    \b
    Examples:
      derms config show --changed
      derms config show --config /etc/derms/config.toml -o yaml
    """
    problems: list[str] = []
    if client:
        rows = _of_client(run, url, context)
    else:
        rows, problems = _of_daemon(config, state_dir)
    rows = [one for one in rows if one.source != "default" or not changed]
    columns: list[Column[Explained]] = [
        Column(name="key", title="KEY", value=lambda one: one.key),
        Column(name="value", title="VALUE", value=lambda one: _text(one.value)),
        Column(name="unit", title="UNIT", value=lambda one: one.unit or None, shown=lambda one: one.unit),
        Column(name="source", title="SOURCE", value=lambda one: one.source),
        Column(name="origin", title="FROM", value=lambda one: one.origin or None, shown=lambda one: one.origin),
    ]
    run.rows(
        Listing(
            kind="settings",
            rows=rows,
            columns=columns,
            name=lambda one: one.key,
            nothing="every setting is the default",
        )
    )
    return _complain(run, problems)


@app.command()
@local
def check(run: Run, config: _Config = None, state_dir: _StateDir = None) -> int:
    r"""Find everything that `derms serve` would refuse of its settings; ends with 2 where there is something.

    Nothing is started, made or connected to: whether a port is free or a database answers is not asked.

    \b
    Examples:
      derms config check
      derms config check --config new.toml && systemctl restart derms
    """
    from derms.settings import Settings
    from derms.settings_load import examine
    from derms.start_checks import refusals

    found = examine(config=config, state_dir=state_dir)
    wrong = [str(one) for one in (refusals(found) if isinstance(found, Settings) else found)]
    if run.format is not Format.TABLE:
        run.thing(CheckOut(ok=not wrong, problems=wrong), "" if wrong else "ok", str)
    elif not wrong:
        run.write("ok\n")
    return _complain(run, wrong)


@app.command()
@local
def explain(
    run: Run,
    key: Annotated[str, typer.Argument(help="A setting, such as lease_s or DERMS_LEASE_S, or url, output, timeout.")],
    config: _Config = None,
    state_dir: _StateDir = None,
    url: _Url = None,
    context: _Context = None,
) -> int:
    r"""Say what a setting is now, who says so, what it means and what it may be.

    \b
    Examples:
      derms config explain lease_s
      derms config explain url
    """
    from derms.cli.client_keys import client_keys

    names = {name: one for one in client_keys({}, {}) for name in (one.key, *one.variables)}
    problems: list[str] = []
    if key in names:
        everything = _of_client(run, url, context)
        about_client = True
    else:
        everything, problems = _of_daemon(config, state_dir)
        about_client = False
    known = {name: one for one in everything for name in (one.key, *one.variables)}
    if key not in known:
        near = difflib.get_close_matches(key, [*names, *known], n=1, cutoff=0.6)
        raise NotFoundError(
            f"there is no setting {key!r}",
            next_step=f"did you mean {near[0]}?" if near else "`derms config show` lists them all",
        )
    one = known[key]
    run.thing(one, one.key, lambda: _page(one, about_client=about_client))
    return _complain(run, problems)


def _of_daemon(config: Path | None, state_dir: Path | None) -> "tuple[list[Explained], list[str]]":
    from derms.settings import Settings
    from derms.settings_explain import explained
    from derms.settings_load import examine

    flags = {"config": config, "state_dir": state_dir}
    found = examine(config=config, state_dir=state_dir)
    if isinstance(found, Settings):
        return explained(found, flags), []
    return explained(None, flags), [str(one) for one in found]


def _of_client(run: Run, url: str | None, context: str | None) -> "list[Explained]":
    from derms.cli.client_keys import client_keys

    chosen = run.shared.output
    flags = {
        "url": url,
        "context": context,
        "output": None if chosen is None else chosen.value,
        "utc": True if run.shared.utc else None,
        "color": False if run.shared.no_color else None,
    }
    return client_keys(os.environ, flags)


def _complain(run: Run, problems: Sequence[str]) -> int:
    """Say what is wrong, and the exit code."""
    for line in problems:
        typer.echo(f"derms: {line} [config]", err=True)
    return ExitCode.USAGE if problems else ExitCode.OK


def _text(value: str | float | bool | None) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _page(one: "Explained", *, about_client: bool) -> str:
    value, default = (_text(each) or "(unset)" for each in (one.value, one.default))
    unit = f" {one.unit}" if one.unit else ""
    lines = [
        f"{one.key} = {value}{unit if one.value is not None else ''}",
        f"  from        {one.source}{', ' + one.origin if one.origin else ''}",
        f"  means       {one.about}",
        f"  may be      {one.allowed}{f' [{one.unit}]' if one.unit else ''}",
        f"  default     {default}",
        f"  variables   {', '.join(one.variables) or '(none)'}",
    ]
    if not about_client:
        lines.append(f"  in a file   {one.key} = ...")
        lines.append("  documented  docs/settings.md, row " + one.key)
    return "".join(f"{line}\n" for line in lines)
