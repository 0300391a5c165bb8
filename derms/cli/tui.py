"""`derms tui`: the control center."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.command import Run, asking
from derms.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from derms.tui.door import Door

_COLOURLESS = ("vt100", "vt102", "vt220", "vt320", "dumb", "unknown")
"""Terminals that show no colours, whatever they are sent."""


@asking
async def tui(
    run: Run,
    theme: Annotated[
        str | None, typer.Option(help="auto (by the sun), day, night, contrast or okabe-ito; else as you left it.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a screen, one for each change: for screen readers.")
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="Serve it to a browser on this machine, with a login.")] = False,
    port: Annotated[int, typer.Option(help="Of --web; 0: one that is free.", min=0, max=65_535)] = 8000,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal's selection.")] = False,
    no_animation: Annotated[bool, typer.Option("--no-animation", help="Nothing moves by itself.")] = False,
    reset_ui: Annotated[bool, typer.Option("--reset-ui", help="Forget how the screens were left.")] = False,
    fresh_login: Annotated[
        bool, typer.Option("--fresh-login", help="Ask who is there; use no token that is kept, and keep none.")
    ] = False,
) -> int:
    r"""Watch and run the feeders on one live screen.

    \b
    Examples:
      derms tui
      derms tui --context north --theme night
      derms tui --plain
      derms tui --web --port 8000
    """
    from derms.cli.door import FreshDoor, KeptDoor
    from derms.tui.palette import THEMES
    from derms.tui.state import reset_state

    if theme is not None and theme not in THEMES:
        raise UsageError(f"the theme is {theme!r}", why=f"it is one of {', '.join(THEMES)}", next_step="name one")
    door = FreshDoor(run) if fresh_login else KeptDoor(run)
    if reset_ui:
        reset_state(KeptDoor(run).state_file)
    if web:
        return await _served(run, port, theme)
    if plain:
        from derms.tui.plain import Plain

        return await Plain(door, write=run.write).run()
    return await _shown(run, door, theme, mouse=not no_mouse, animation=not no_animation)


async def _shown(run: Run, door: "Door", theme: str | None, *, mouse: bool, animation: bool) -> int:
    from pathlib import Path

    from derms.cli.door import FreshDoor
    from derms.tui.app import ControlCenter, Options
    from derms.tui.driver import driver

    web = "TEXTUAL_DRIVER" in os.environ
    if not web and not (run.terminal.looks and os.isatty(0)):
        raise UnavailableError(
            "there is no terminal to draw on",
            why="stdin or stdout is none",
            next_step="use `derms status -o json`, or `derms tui --plain` for lines",
        )
    if os.environ.get("TEXTUAL_ANIMATIONS") == "none":
        animation = False
    colour = run.terminal.colour and os.environ.get("TERM", "") not in _COLOURLESS
    options = Options(
        colour=colour or web,
        ascii_only=not run.terminal.unicode and not web,
        animation=animation,
        theme=theme or "",
        export_dir=None if isinstance(door, FreshDoor) else Path(),
        debug=run.shared.debug,
    )
    written_by = None if web else driver(ascii_only=options.ascii_only, colour=options.colour)
    # Textual would turn everything grey; without colours is our own affair.
    os.environ.pop("NO_COLOR", None)
    app = ControlCenter(door, options, driver_class=written_by)
    code = await app.run_async(mouse=mouse)
    return app.return_code or 0 if code is None else code


async def _served(run: Run, port: int, theme: str | None) -> int:
    import sys

    try:
        from derms.tui.web import serve
    except ImportError as error:
        if error.name != "textual_serve":
            raise
        raise UnavailableError(
            "the browser's face is not installed", why="it needs textual-serve", next_step="pip install 'derms[web]'"
        ) from error
    command = [sys.executable, "-m", "derms", "tui", "--fresh-login", "--context", run.context.name]
    command += ["--url", run.context.url, "--theme", theme or "auto"]
    await serve(command, port, say=run.say)
    return 0
