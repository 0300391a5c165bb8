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


def path_of(screen: Screen) -> Path:
    """Where it is kept."""
    return DIRECTORY / f"{screen.name}.svg"


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
        options or Options(theme=theme, animation=False),
        clock=clock or StillClock(),
        wall=lambda: wall.astimezone(UTC),
    )


async def settled(app: ControlCenter) -> None:
    """Wait until everything that was asked for has come."""
    for _ in range(400):
        ready = app.picture.at is not None and app.picture.role is not None and app.picture.events
        if ready and app.feeder_id in app.picture.trails and len(app.picture.trail(app.feeder_id).xs) > 100:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the control center did not come to rest")


async def drawn(screen: Screen) -> str:
    """A picture as SVG, without what differs from run to run and without anything from the network."""
    with in_utc():
        app = center(FakeClient(), theme=screen.theme)
        async with app.run_test(size=(screen.width, screen.height)) as pilot:
            await settled(app)
            await pilot.press(screen.view)
            for _ in range(200):
                await asyncio.sleep(0.01)
                if screen.view not in "23" or (app.chosen is not None and app.chosen.why is not None
                                               and len(app.chosen.trail.xs) > 100):  # fmt: skip
                    break
            for key in screen.keys:
                await pilot.press(key)
            for _ in range(3):
                app.draw_now()
                await pilot.pause(0.02)
            svg = app.export_screenshot(title="derms")
        problem = app._exception
    if problem is not None:
        raise problem
    svg = _NUMBER.sub("terminal", _FONT.sub("", svg))
    return "\n".join(line.rstrip() for line in svg.replace("Fira Code", "DejaVu Sans Mono").splitlines()) + "\n"
