"""Pictures of the control center with a fixed controller, at a fixed time in UTC; the same each time."""

import asyncio
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from textual.pilot import Pilot

from derms.tui.app import ControlCenter, Options
from tests.fakes_tui import NOW, FakeClient, FakeDoor

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "screens"


@dataclass(frozen=True, slots=True)
class Screen:
    """One picture."""

    name: str
    view: str
    width: int
    height: int
    theme: str
    keys: tuple[str, ...] = ()


SCREENS = tuple(
    [Screen(f"{name}-{width}x{height}-{theme}", view, width, height, theme)
     for name, view in (("overview", "1"), ("devices", "2"))
     for width, height in ((80, 24), (120, 40))
     for theme in ("day", "night")]
    + [Screen(f"{name}-120x40-night", view, 120, 40, "night")
       for name, view in (("charts", "3"), ("dr", "4"), ("alarms", "5"), ("feeders", "6"))]
    + [Screen("overview-80x24-contrast", "1", 80, 24, "contrast"),
       Screen("devices-80x24-okabe-ito", "2", 80, 24, "okabe-ito"),
       Screen("confirm-80x24-night", "2", 80, 24, "night", ("B", "1", "h", "tab", "x", "enter"))]
)  # fmt: skip
_FONT = re.compile(r"@font-face \{.*?\}\n?", re.DOTALL)
_NUMBER = re.compile(r"terminal-\d+")
_CELLS = re.compile(
    r'<rect fill="([^"]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" shape-rendering="crispEdges"/>'
)
"""The background of some cells of a row."""


@contextmanager
def in_utc() -> Iterator[None]:
    """Let local time be UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


class StillClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def center(
    client: FakeClient, *, theme: str = "night", options: Options | None = None, clock: StillClock | None = None,
    state_file: Path | None = None, known: bool = True, wall: datetime = NOW,
) -> ControlCenter:  # fmt: skip
    """The application with a fake controller."""
    return ControlCenter(
        FakeDoor(client, known=known, state_file=state_file),
        options or Options(theme=theme, animation=False, export_dir=None),
        clock=clock or StillClock(),
        wall=lambda: wall.astimezone(UTC),
    )


async def settled(app: ControlCenter) -> None:
    """Wait until everything that was asked for has come."""
    deadline_s = time.monotonic() + 20.0
    while time.monotonic() < deadline_s:
        ready = app.picture.at is not None and app.picture.role is not None and app.picture.events
        if ready and app.feeder_id in app.picture.trails and len(app.picture.trail(app.feeder_id).xs) > 100:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the control center did not come to rest")


async def draw_all() -> dict[str, str]:
    """Every picture as SVG, by its name, without what differs from run to run and without anything from the network."""
    found: dict[str, str] = {}
    sizes = dict.fromkeys((screen.width, screen.height) for screen in SCREENS)
    with in_utc():
        for size in sizes:
            app = center(FakeClient())
            async with app.run_test(size=size) as pilot:
                await settled(app)
                app.action_view(2)
                deadline_s = time.monotonic() + 20.0
                while app.chosen is None or app.chosen.why is None or len(app.chosen.trail.xs) < 100:
                    assert time.monotonic() < deadline_s, "the device did not come"
                    await pilot.pause(0.01)
                for screen in [one for one in SCREENS if (one.width, one.height) == size]:
                    found[screen.name] = await _drawn(app, pilot, screen)
            if app._exception is not None:
                raise app._exception
    return found


async def _drawn(app: ControlCenter, pilot: "Pilot[int]", screen: Screen) -> str:
    app.state.theme = screen.theme
    app.action_view(int(screen.view))
    app.show_now()
    await pilot.pause()
    if screen.keys:
        await pilot.press(*screen.keys)
    for _ in range(3):
        app.draw_now()
        await pilot.pause(0.02)
    svg = app.export_screenshot(title="derms")
    if screen.keys:
        await pilot.press("n")
    return in_whole_runs(without_remote_fonts(_NUMBER.sub("terminal", svg)))


def in_whole_runs(svg: str) -> str:
    """The same picture with one background for cells of one colour side by side, however they came to have it.

    A row that was blanked in parts is drawn in parts for as long as nothing else is written there.
    """
    kept: list[str] = []
    end, last = 0, None
    for found in _CELLS.finditer(svg):
        fill, x, y, width, height = found.groups()
        between = svg[end : found.start()]
        if last is not None and not between and last[0] == (fill, y, height) and abs(last[2] - float(x)) < 0.05:
            last = (last[0], last[1], float(x) + float(width))
        else:
            kept += [_cells(last), between]
            last = ((fill, y, height), float(x), float(x) + float(width))
        end = found.end()
    return "".join([*kept, _cells(last), svg[end:]])


def _cells(run: tuple[tuple[str, str, str], float, float] | None) -> str:
    if run is None:
        return ""
    (fill, y, height), begin, end = run
    at, width = f"{begin:.1f}".removesuffix(".0"), f"{end - begin:.1f}".removesuffix(".0")
    return f'<rect fill="{fill}" x="{at}" y="{y}" width="{width}" height="{height}" shape-rendering="crispEdges"/>'


def without_remote_fonts(svg: str) -> str:
    """A picture of a terminal as Rich draws it, with a font of the machine instead of one from the network."""
    svg = _FONT.sub("", svg).replace("Fira Code", "DejaVu Sans Mono")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
