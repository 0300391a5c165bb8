"""`derms doctor`: is everything as it must be, and if not, what is to be done."""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from derms.cli.checkup import Check, State, broker, configuration, controller, machine
from derms.cli.formats import Column, Format, Listing
from derms.cli.local import local
from derms.cli.output import ExitCode
from derms.cli.run import Run, run_of
from derms.cli.terminal import printable
from derms.errors import DermsError

_LONGEST_S = 5.0
"""For any one thing that is waited for."""
_COLOURS = {State.OK: "32", State.WARN: "33", State.FAIL: "31"}


@local
async def doctor(
    run: Run,
    context: Annotated[
        str | None, typer.Option("--context", envvar="DERMS_CONTEXT", help="Which controller; see `derms context`.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", envvar="DERMS_URL", help="Its URL, whatever the context.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="For any one answer [s].", min=0.1, max=_LONGEST_S)
    ] = _LONGEST_S,
) -> int:
    r"""Check configuration, controller, login, clocks, broker, terminal and disk; needs no login.

    Ends with 0 where nothing fails (a warning is no failure), 6 where the controller cannot be reached, else 1.

    \b
    Examples:
      derms doctor
      derms doctor -o json | jq '.checks[] | select(.state != "OK")'
    """
    checks, settings = configuration()
    asking: Run | None = None
    try:
        asking = run_of(replace(run.shared, context=context, url=url, timeout=timeout))
        where = f"{asking.context.name}, {asking.context.url}"
        checks.append(Check(name="context", state=State.OK, detail=f"{where} ({asking.origin})"))
    except DermsError as error:
        checks.append(Check(name="context", state=State.FAIL, detail=f"{error.what}; {error.why}",
                            next_step=error.next_step))  # fmt: skip
    with_broker = settings is not None and settings.mqtt_url is not None
    of_controller, of_broker = await asyncio.gather(
        _all(asking), broker(settings, timeout) if with_broker and settings is not None else _nothing()
    )
    checks += [*of_controller, *([of_broker] if of_broker is not None else []), *machine(run, settings)]
    _show(run, checks)
    states = {check.name: check.state for check in checks if check.state is State.FAIL}
    if not states:
        return ExitCode.OK
    unreachable = states.get("api") is State.FAIL or ("tls" in states and "api" not in {one.name for one in checks})
    return ExitCode.UNAVAILABLE if unreachable else ExitCode.FAILURE


async def _all(run: Run | None) -> list[Check]:
    return [] if run is None else [check async for check in controller(run)]


async def _nothing() -> None:
    return None


def _show(run: Run, checks: list[Check]) -> None:
    if run.format is not Format.TABLE:
        columns: list[Column[Check]] = [
            Column(name="state", title="", value=lambda one: one.state),
            Column(name="name", title="", value=lambda one: one.name),
            Column(name="detail", title="", value=lambda one: one.detail),
            Column(name="next_step", title="", value=lambda one: one.next_step),
        ]
        run.rows(Listing(kind="checks", rows=checks, columns=columns, name=lambda one: one.name))
        return
    width = max(len(check.name) for check in checks)
    arrow = "→" if run.terminal.unicode else "->"
    for check in checks:
        mark = f"{check.state.value:<4}"
        if run.terminal.colour:
            mark = f"\x1b[{_COLOURS[check.state]}m{mark}\x1b[0m"
        run.write(f"{mark}  {check.name:<{width}}  {printable(check.detail, run.terminal)}\n")
        if check.next_step:
            run.write(f"{'':<{width + 8}}{arrow} {printable(check.next_step, run.terminal)}\n")
