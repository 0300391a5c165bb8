"""The application: it owns the picture, and is the only one that changes it and that touches widgets."""

import asyncio
import random
import signal
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual import events, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input

from derms.client import ApiClient
from derms.errors import AccessError, DermsError
from derms.model import Role
from derms.tui.access import refusal
from derms.tui.actions import ACTIONS
from derms.tui.commands import Command
from derms.tui.dialogs.confirm import Confirm
from derms.tui.dialogs.form import Field, Form
from derms.tui.dialogs.help import Help
from derms.tui.dialogs.login import Login
from derms.tui.door import Door
from derms.tui.driver import SievedDriver
from derms.tui.export import write_table
from derms.tui.feed import Broken, Refused, Told, Trying
from derms.tui.lines import Glyphs, Row
from derms.tui.paint.chrome import foot_row, tabs_row, top_row
from derms.tui.paint.detail import Chosen, device_values, new_chosen
from derms.tui.palette import AUTO, PALETTES, THEMES, Palette
from derms.tui.picture import Phase, Picture
from derms.tui.session import Alarms, DevicePast, FeederPast, Heard, Known, Lists, Session
from derms.tui.state import UiState, read_state, write_state
from derms.tui.sunlight import is_day, zone_place
from derms.tui.views.alarms import AlarmsView
from derms.tui.views.base import View, bound
from derms.tui.views.charts import ChartsView
from derms.tui.views.devices import DevicesView
from derms.tui.views.events import EventsView
from derms.tui.views.feeders import FeedersView
from derms.tui.views.log import LogView
from derms.tui.views.overview import OverviewView
from derms.tui.views.simulation import SimulationView
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.look import Look

LEAST_WIDTH, LEAST_HEIGHT = 60, 18
"""Below that nothing useful fits."""
_MINUTES = (5, 10, 30, 60, 120)
_DRAW_S = 0.1
"""Several things that happen within this are drawn together [s]."""
_NOTICE_S = 6.0
_EASE_S = 0.6
_EASE_STEPS = 8

GLOBAL = (
    Command(keys=("question_mark",), action="help", title="help", top=True, help="this help"),
    Command(keys=("colon", "ctrl+p"), action="command_palette", title="commands", top=True,
            help="find a command by its name and do it"),
    *(
        Command(keys=(str(number),), action=f"view({number})", title=f"{title} screen")
        for number, title in enumerate(
            ("overview", "devices", "charts", "demand response", "alarms", "feeders", "log", "simulation"), 1
        )
    ),
    Command(keys=("l", "right"), action="next_view(1)", title="next screen"),
    Command(keys=("h", "left"), action="next_view(-1)", title="previous screen"),
    Command(keys=("tab",), action="app.focus_next", title="next part"),
    Command(keys=("slash",), action="filter", title="filter devices", help="filter the devices while you write"),
    Command(keys=("y",), action="copy", title="copy", help="copy what the cursor stands on (OSC 52)"),
    Command(keys=("e",), action="export", title="export", help="write what this screen shows to a CSV file"),
    Command(keys=("T",), action="theme", title="theme", help="next theme: auto, day, night, high contrast, Okabe-Ito"),
    Command(keys=("ctrl+r",), action="reconnect", title="reconnect", help="try to reach the controller now"),
    Command(keys=("ctrl+l",), action="redraw", title="redraw", help="draw everything again"),
    Command(keys=("escape",), action="leave", title="back", help="close, clear the filter, or back to the overview"),
    Command(keys=("q", "ctrl+c"), action="quit", title="quit", top=True),
)  # fmt: skip


W = TypeVar("W", bound=Widget)


class Word(Message):
    """Something that a worker heard."""

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self.heard = heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is to look and behave."""

    colour: bool = True
    ascii_only: bool = False
    animation: bool = True
    theme: str = ""
    """Whatever was kept; empty: as kept."""
    export_dir: Path | None = Path()
    """Where files are written; None: nowhere."""
    debug: bool = False
    """Show where an error came from."""


class ControlCenter(App[int]):
    """The control center.

    Args:
        door: The way to the controller.
        options: How it is to look and behave.
        driver_class: What writes to the terminal; None: Textual's own.
        clock: Monotonic [s].
        wall: This machine's clock.
        views: The screens, in order.
    """

    CSS_PATH = "control.tcss"
    TITLE = "derms"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bound([command for command in GLOBAL if command.action != "filter"]),
        # At once, so that what is typed next is the filter.
        Binding("slash", "filter", "filter", show=False, priority=True),
    ]

    def __init__(
        self,
        door: Door,
        options: Options,
        *,
        driver_class: type[Driver] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        views: Sequence[type[View]] = (),
    ) -> None:
        self.glyphs = Glyphs(ascii_only=options.ascii_only)
        self.state: UiState = read_state(door.state_file)
        if options.theme:
            self.state.theme = options.theme
        self._place = zone_place()
        self._wall = wall
        self.look = Look(self._palette(), colour=options.colour, ascii_only=options.ascii_only)
        self.picture = Picture()
        self.door = door
        self.options = options
        self.chosen: Chosen | None = None
        self.session: Session | None = None
        self.eased_limit_kw: float | None = None
        self._clock = clock
        self._view_types = tuple(views) or VIEWS
        self._tab_begins: list[int] = []
        self._notice: tuple[str, str, float] | None = None
        self._due = False
        self._eased_of: tuple[str, float | None] = ("", None)
        super().__init__(driver_class=driver_class)
        self.animation_level = "full" if options.animation else "none"

    # What it is made of

    def compose(self) -> ComposeResult:
        """Top line, tabs, the screens, foot line."""
        yield Canvas(id="top", ground="bar")
        yield Canvas(id="tabs")
        with ContentSwitcher(id="views", initial=self._kept_view()):
            for kind in self._view_types:
                yield kind(id=kind.NAME)
        yield Input(id="filter", placeholder="type:ev soc<0.3 origin:pi text", compact=True)
        yield Canvas(id="foot", ground="bar")
        yield Canvas(id="small")

    def on_mount(self) -> None:
        """Begin."""
        for palette in PALETTES.values():
            self.register_theme(_theme(palette))
        self.theme = self.look.palette.name
        self.screen.set_class(self.options.ascii_only, "-ascii")
        self._on_term = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                self._on_term.add_signal_handler(number, self.exit, 128 + number)
            except (NotImplementedError, ValueError, RuntimeError):
                break  # not the main thread, as in tests
        self.set_interval(1.0, self.show_now)
        self.call_after_refresh(self._started)

    def _started(self) -> None:
        self._close_filter()
        self.view.enter()
        self.draw_now()
        if self.door.known():
            self._work()
        else:
            self._ask_login("")

    # What is known

    @property
    def now_s(self) -> float:
        """The monotonic clock [s]."""
        return self._clock()

    @property
    def now(self) -> datetime:
        """The controller's clock."""
        return self.picture.now(self.now_s)

    @property
    def frozen(self) -> bool:
        """What is shown is old."""
        return self.picture.frozen(self.now_s)

    @property
    def feeder_id(self) -> str:
        """The feeder that is looked at."""
        return self.picture.chosen(self.state.feeder)

    @property
    def view(self) -> View:
        """The screen in front."""
        return self._root(f"#{self._root('#views', ContentSwitcher).current}", View)

    @property
    def views(self) -> list[View]:
        """All screens."""
        return [self._root(f"#{kind.NAME}", View) for kind in self._view_types]

    def keep(self, **changes: Any) -> None:
        """Keep how somebody left the screens."""
        for name, value in changes.items():
            setattr(self.state, name, value)
        write_state(self.door.state_file, self.state)

    # What comes in

    @work(exclusive=True, group="session")
    async def _work(self) -> None:
        session = self.session = Session(self.door, self._post, rng=random.Random())
        try:
            await session.run()
        except AccessError as error:
            self.post_message(Word(Refused(error.what)))
        except DermsError as error:
            self.picture.link.phase, self.picture.link.why = Phase.BROKEN, str(error)
            self.draw_soon()

    def _post(self, heard: Heard) -> None:
        self.post_message(Word(heard))

    def on_word(self, message: Word) -> None:
        """Take in what a worker heard."""
        heard, picture = message.heard, self.picture
        match heard:
            case Told():
                self._told(heard)
            case Trying():
                if picture.link.phase is not Phase.BROKEN:
                    picture.link.phase = Phase.CONNECTING
                picture.link.retry_at_s = None
            case Broken():
                if picture.link.phase is Phase.LIVE:
                    picture.note("link", f"the connection broke: {heard.why}", "bad", at=self.now)
                    for trail in picture.trails.values():
                        trail.gap(self.now.timestamp())
                picture.link.phase, picture.link.why = Phase.BROKEN, heard.why
                picture.link.retry_at_s = self.now_s + heard.wait_s
            case Refused():
                picture.link.phase = Phase.LOGGED_OUT
                self._ask_login(heard.why)
            case Known():
                picture.username, picture.role = heard.me.username, heard.me.role
            case Alarms():
                self._alarms(heard)
            case Lists():
                picture.events, picture.programs, picture.simulation = heard.events, heard.programs, heard.simulation
            case FeederPast():
                history = heard.history
                picture.trail(history.feeder_id).seed(
                    (bucket.at.timestamp(), {
                        "load": bucket.load_kw, "import_limit": bucket.import_limit_kw,
                        "background": bucket.background_kw, "commanded": bucket.commanded_kw,
                        "pv": None if bucket.pv_kw is None else -bucket.pv_kw,
                    })
                    for bucket in history.buckets
                )  # fmt: skip
            case DevicePast():
                past = heard.telemetry
                if self.chosen is not None and self.chosen.device_id == past.device_id:
                    self.chosen.trail.seed(
                        (bucket.at.timestamp(),
                         {"actual": bucket.p_actual_kw, "setpoint": bucket.p_setpoint_kw, "soc": bucket.soc})
                        for bucket in past.buckets or ()
                    )  # fmt: skip
        self.draw_soon()

    def _told(self, told: Told) -> None:
        picture = self.picture
        was = picture.link.phase
        active = _open_ids(picture, self.feeder_id)
        picture.take(told.event, now_s=self.now_s)
        if was is not Phase.LIVE:
            picture.link.phase, picture.link.why, picture.link.retry_at_s = Phase.LIVE, "", None
            picture.note("link", f"connected to {self.door.url}", "good")
            self._look_at_feeder()
        if self.session is not None and _open_ids(picture, self.feeder_id) != active:
            self.session.look_again()
        if self.chosen is not None and (row := picture.fleet.row(self.chosen.device_id)) is not None:
            self.chosen.trail.add(told.event.at.timestamp(), device_values(row))
        self._ease()

    def _alarms(self, heard: Alarms) -> None:
        picture = self.picture
        before = {alarm.alarm_id for alarm in picture.alarms if alarm.active}
        known = bool(picture.alarm_lines) or bool(picture.alarms)
        picture.alarms, picture.alarm_lines = heard.alarms, heard.lines
        new = [alarm for alarm in heard.alarms if alarm.active and alarm.alarm_id not in before]
        if new and known:
            self.notice(f"{self.glyphs.warn} {new[0].cause}", "bad")

    def _look_at_feeder(self) -> None:
        """Fetch what the feeder did before we came, once for each length."""
        feeder_id = self.feeder_id
        if feeder_id and self.session is not None:
            self.picture.trail(feeder_id)
            self.session.want_feeder(feeder_id, float(_MINUTES[-1]))

    def choose_device(self, device_id: str) -> None:
        """Look at another device."""
        if self.chosen is not None and self.chosen.device_id == device_id:
            return
        self.chosen = new_chosen(device_id) if device_id else None
        self.draw_soon()
        if device_id:
            self._look_at_device(device_id)

    @work(exclusive=True, group="chosen")
    async def _look_at_device(self, device_id: str) -> None:
        # Whoever runs down a list does not want all of them.
        await asyncio.sleep(0.15)
        if self.session is None:
            return
        self.session.want_device(device_id, float(self.state.minutes))
        while self.chosen is not None and self.chosen.device_id == device_id:
            client = self.session.client if self.session is not None else None
            if client is not None and self.picture.link.phase is Phase.LIVE:
                try:
                    why = await client.why(device_id)
                except DermsError as error:
                    self.chosen.why, self.chosen.problem = None, error.what
                else:
                    self.chosen.why, self.chosen.problem = why, ""
                self.draw_soon()
            await asyncio.sleep(5.0)

    # What is drawn

    def draw_soon(self) -> None:
        """Draw, together with what else happens in a moment."""
        if not self._due:
            self._due = True
            self.set_timer(_DRAW_S, self.draw_now)

    def show_now(self) -> None:
        """Time goes by: ages, and day and night."""
        palette = self._palette()
        if palette is not self.look.palette:
            self._paint(palette)
        self.draw_now()

    def draw_now(self) -> None:
        """Draw what the picture is now."""
        self._due = False
        if not self.is_running or self.screen_stack[0].size.width == 0:
            return
        width = self.size.width
        small = width < LEAST_WIDTH or self.size.height < LEAST_HEIGHT
        self.screen_stack[0].set_class(small, "-small")
        if small:
            self._root("#small", Canvas).show(_too_small(self.size.width, self.size.height))
            return
        now_s = self.now_s
        self._root("#top", Canvas).show([
            top_row(self.picture, context=self.door.context, url=self.door.url, now_s=now_s, width=width,
                    glyphs=self.glyphs)
        ])  # fmt: skip
        titles = [kind.TITLE for kind in self._view_types]
        at = [kind.NAME for kind in self._view_types].index(self.state.view)
        row, self._tab_begins = tabs_row(titles, at, self.picture, width, self.glyphs)
        self._root("#tabs", Canvas).show([row])
        if self._notice is not None and now_s >= self._notice[2]:
            self._notice = None
        top = [command for command in (*self.view.COMMANDS, *GLOBAL) if command.top]
        notice = None if self._notice is None else self._notice[:2]
        self._root("#foot", Canvas).show([foot_row(top, self.picture.role, width, notice)])
        self.view.draw()

    def _root(self, selector: str, kind: type[W]) -> W:
        """A part of the lowest screen, whatever stands in front of it."""
        return self.screen_stack[0].query_one(selector, kind)

    def on_resize(self, event: events.Resize) -> None:
        """Another size: draw when it has come to rest."""
        self._forget_terminal()
        self.draw_soon()

    def _forget_terminal(self) -> None:
        """Nobody knows what stands on the terminal: write all of it again."""
        if isinstance(self._driver, SievedDriver):
            self._driver.forget()

    def notice(self, text: str, tone: str = "") -> None:
        """Tell something for a moment."""
        self._notice = (text, tone, self.now_s + _NOTICE_S)
        self.draw_soon()

    def _palette(self) -> Palette:
        if self.state.theme != AUTO:
            return PALETTES[self.state.theme]
        return PALETTES["day" if is_day(self._wall(), self._place) else "night"]

    def _paint(self, palette: Palette) -> None:
        self.look = Look(palette, colour=self.options.colour, ascii_only=self.options.ascii_only)
        self.theme = palette.name
        for screen in self.screen_stack:
            for canvas in screen.query(Canvas):
                canvas.repaint()

    def _ease(self) -> None:
        """Let the mark of a limit that changed move to where it belongs."""
        feeder = self.picture.feeder(self.feeder_id)
        limit = None if feeder is None else feeder.import_limit_kw
        before_id, before = self._eased_of
        self._eased_of = (self.feeder_id, limit)
        if before_id != self.feeder_id or before is None or limit is None or before == limit:
            return
        if self.animation_level == "none":
            return
        self._move_limit(before, limit)

    @work(exclusive=True, group="ease")
    async def _move_limit(self, begin: float, end: float) -> None:
        for step in range(1, _EASE_STEPS + 1):
            part = step / _EASE_STEPS
            self.eased_limit_kw = begin + (end - begin) * part * part * (3.0 - 2.0 * part)
            self.draw_now()
            await asyncio.sleep(_EASE_S / _EASE_STEPS)
        self.eased_limit_kw = None
        self.draw_now()

    # What somebody does

    def may(self, needs: Role | None, what: str) -> bool:
        """Whether they may; tells them why not."""
        why = refusal(self.picture.role, needs)
        if why:
            self.notice(f"{what} {why}", "warn")
        return not why

    async def confirmed(self, question: str, facts: Sequence[tuple[str, str]], effect: Sequence[Row]) -> bool:
        """Ask, naming the context; whether it was meant. From a worker only."""
        known = [("context", f"{self.door.context}  {self.door.url}"), *facts]
        dialog: Screen[bool] = Confirm(question, known, effect)
        return await self.push_screen_wait(dialog)

    async def filled(
        self,
        title: str,
        fields: Sequence[Field],
        facts: Sequence[tuple[str, str]],
        together: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any] | None:
        """Ask for values, naming the context; None: it was given up. From a worker only."""
        known = [("context", f"{self.door.context}  {self.door.url}"), *facts]
        dialog: Screen[dict[str, Any] | None] = Form(title, fields, known, together)
        return await self.push_screen_wait(dialog)

    def action_do(self, name: str, *arguments: str) -> None:
        """Do one of the actions, if they may."""
        action = ACTIONS[name]
        if len(self.screen_stack) == 1 and self.may(action.needs, action.what):
            self._do(name, arguments)

    @work(exclusive=True, group="action")
    async def _do(self, name: str, arguments: tuple[str, ...]) -> None:
        await ACTIONS[name].run(self, *arguments)

    @property
    def selected(self) -> Any:
        """What the cursor of the screen in front stands on."""
        return self.view.chosen

    def step_device(self, by: int) -> None:
        """Look at the next device of the table, or the one before."""
        view = self._root("#devices", DevicesView)
        view.source.refresh(self.now.timestamp())
        if count := view.source.count():
            at = None if self.chosen is None else view.source.find(self.chosen.device_id)
            self.choose_device(view.source.key(0 if at is None else (at + by) % count))

    def filter_devices(self, text: str) -> None:
        """Show the devices that a filter keeps."""
        self._root("#devices", DevicesView).set_filter(text)
        self.show_view("devices")

    def action_look_again(self) -> None:
        """Ask for alarms, events and programs now."""
        if self.session is not None:
            self.session.look_again()
            self.notice("asked again")

    async def doing(self, what: str, work_: Callable[[ApiClient], Awaitable[str]]) -> bool:
        """Do something at the controller, and tell how it went.

        Args:
            what: What is done, for when it fails.
            work_: Does it; what it returns is told.
        """
        client = self.session.client if self.session is not None else None
        if client is None:
            self.notice(f"{what}: there is no connection", "bad")
            return False
        try:
            said = await work_(client)
        except DermsError as error:
            self.notice(f"{what}: {error}", "bad")
            self.picture.note("you", f"{what} failed: {error.what}", "bad", at=self.now)
            return False
        self.notice(f"{self.glyphs.pick('✓', 'ok')} {said}", "good")
        self.picture.note("you", said, at=self.now)
        if self.session is not None:
            self.session.look_again()
        return True

    def _ask_login(self, why: str) -> None:
        if any(isinstance(screen, Login) for screen in self.screen_stack):
            return
        self.picture.link.phase = Phase.LOGGED_OUT
        self.push_screen(Login(self.door, why), self._logged_in)

    def _logged_in(self, done: bool | None) -> None:
        if not done:
            self.exit(0)
            return
        self.picture.link.phase = Phase.CONNECTING
        self._work()

    def _kept_view(self) -> str:
        names = [kind.NAME for kind in self._view_types]
        if self.state.view not in names:
            self.state.view = names[0]
        return self.state.view

    def show_view(self, name: str) -> None:
        """Bring a screen to the front."""
        self._root("#views", ContentSwitcher).current = name
        self.keep(view=name)
        self._close_filter()
        self.view.enter()
        self.call_after_refresh(self.draw_now)

    def action_view(self, number: int) -> None:
        """By its number."""
        if number <= len(self._view_types):
            self.show_view(self._view_types[number - 1].NAME)

    def action_next_view(self, by: int) -> None:
        """The next one, or the one before."""
        names = [kind.NAME for kind in self._view_types]
        self.show_view(names[(names.index(self.state.view) + by) % len(names)])

    def action_help(self) -> None:
        """All keys of what is in front."""
        view = self.view
        self.push_screen(Help([(view.TITLE, view.COMMANDS), ("Everywhere", GLOBAL)], self.picture.role, view.HELP))

    def action_leave(self) -> None:
        """Clear the filter, or back to the first screen."""
        devices = self._root("#devices", DevicesView)
        if self._filter.has_class("-open"):
            self._close_filter()
            devices.clear_filter()
            devices.enter()
        elif self.view is devices and (devices.source.text or devices.source.origin or devices.source.kind):
            devices.clear_filter()
        elif self.state.view != self._view_types[0].NAME:
            self.show_view(self._view_types[0].NAME)

    @property
    def _filter(self) -> Input:
        return self._root("#filter", Input)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a line that is being written, and before a dialog, `/` is a letter."""
        return action != "filter" or (len(self.screen_stack) == 1 and not isinstance(self.focused, Input))

    def action_filter(self) -> None:
        """Write a filter."""
        if self.state.view != "devices":
            self.show_view("devices")
        line = self._filter
        line.value = self._root("#devices", DevicesView).source.text
        line.add_class("-open")
        line.display = True
        self.screen.set_focus(line)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is written."""
        if event.input.id == "filter" and event.input.has_class("-open"):
            self._root("#devices", DevicesView).set_filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the table."""
        if event.input.id == "filter":
            self._close_filter()
            self.view.enter()

    def _close_filter(self) -> None:
        self._filter.remove_class("-open")
        self._filter.display = False

    def on_key(self, event: events.Key) -> None:
        """In the filter the arrows move in the table."""
        if self._filter.has_focus and event.key in ("up", "down"):
            event.stop()
            self.view.action_move(1 if event.key == "down" else -1)

    def on_click(self, event: events.Click) -> None:
        """A tab."""
        if event.screen_y == 1 and len(self.screen_stack) == 1:
            begun = [number for number, begin in enumerate(self._tab_begins) if event.screen_x >= begin]
            if begun:
                self.action_view(begun[-1] + 1)

    def action_feeder(self, by: int) -> None:
        """Look at the next feeder, or the one before."""
        feeders = self.picture.feeder_ids()
        if not feeders:
            return
        at = feeders.index(self.feeder_id) if self.feeder_id in feeders else 0
        self.look_at(feeders[(at + by) % len(feeders)])

    def look_at(self, feeder_id: str) -> None:
        """Look at a feeder."""
        known = feeder_id in self.picture.trails
        self.keep(feeder=feeder_id)
        self._eased_of = (feeder_id, None)
        if not known:
            self._look_at_feeder()
        self.draw_now()

    def action_minutes(self, by: int) -> None:
        """Longer or shorter charts."""
        at = _MINUTES.index(self.state.minutes) if self.state.minutes in _MINUTES else 2
        self.keep(minutes=_MINUTES[min(max(at + by, 0), len(_MINUTES) - 1)])
        self.draw_now()

    def action_theme(self) -> None:
        """The next theme."""
        self.set_theme(THEMES[(THEMES.index(self.state.theme) + 1) % len(THEMES)])

    def set_theme(self, name: str) -> None:
        """This theme."""
        self.keep(theme=name)
        self._paint(self._palette())
        self.notice(f"theme: {name}" + (f" ({self.look.palette.name})" if name == AUTO else ""))

    def action_copy(self) -> None:
        """Copy what the cursor stands on."""
        text = self.view.selected()
        if not text:
            self.notice("there is nothing to copy", "warn")
            return
        self.copy_to_clipboard(text)
        self.notice(f"copied {text} (if your terminal takes OSC 52; else select it, with --no-mouse)")

    def action_export(self) -> None:
        """Write what is shown to a file."""
        titles, rows = self.view.table()
        if self.options.export_dir is None:
            self.notice("no file is written for a browser", "warn")
            return
        if not titles:
            self.notice("this screen has nothing to export", "warn")
            return
        try:
            path = write_table(self.options.export_dir, self.view.NAME, titles, rows, self.now)
        except OSError as error:
            self.notice(f"nothing is written: {error.strerror or error}", "bad")
            return
        self.notice(f"{len(rows):,} rows are in {path}", "good")

    def action_reconnect(self) -> None:
        """Try now."""
        if self.session is not None:
            self.session.hurry()

    def action_redraw(self) -> None:
        """Draw everything again."""
        self._forget_terminal()
        self._paint(self.look.palette)
        self.refresh(layout=True)

    async def action_quit(self) -> None:
        """Leave."""
        self.exit(0)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done, for the palette."""
        view = self.view
        for owner, commands in ((view, view.COMMANDS), (self, GLOBAL)):
            for command in commands:
                why = refusal(self.picture.role, command.needs)
                said = (command.help or command.title) + (f" ({why})" if why else "")
                # Only titles are searched.
                title = f"{command.title}: {command.help}" if command.help else command.title
                yield SystemCommand(title[0].upper() + title[1:], said, self._runs(owner, command))
        for name in THEMES:
            yield SystemCommand(f"Theme {name}", "how everything looks", lambda name=name: self.set_theme(name))

    def _runs(self, owner: Any, command: Command) -> Callable[[], Any]:
        async def run() -> None:
            await self.run_action(command.action, default_namespace=owner)

        return run

    def _fatal_error(self) -> None:
        """What went wrong here is told in a line: Textual's traceback shows the values of variables, passwords too."""
        if self.options.debug:
            self._exit_renderables.append("".join(traceback.format_exception(self._exception)))
        self._exit_renderables.append(f"derms: the control center broke: {self._exception!r}")
        self._close_messages_no_wait()


def _open_ids(picture: Picture, feeder_id: str) -> set[str]:
    feeder = picture.feeder(feeder_id)
    if feeder is None:
        return set()
    following = set() if feeder.next_event is None else {feeder.next_event.event_id}
    return {event.event_id for event in feeder.active_events} | following


def _too_small(width: int, height: int) -> list[Row]:
    words = [f"{width}x{height} is too small", f"{LEAST_WIDTH}x{LEAST_HEIGHT} at least", "q quits"]
    return [[], *([(f" {line}"[: max(width, 1)], "warn")] for line in words)]


def _theme(palette: Palette) -> Theme:
    return Theme(
        name=palette.name,
        primary=palette.colour("accent"),
        secondary=palette.colour("info"),
        accent=palette.colour("key"),
        warning=palette.colour("warn"),
        error=palette.colour("bad"),
        success=palette.colour("good"),
        foreground=palette.text,
        background=palette.background,
        surface=palette.bar,
        panel=palette.bar,
        boost=palette.cursor,
        dark=palette.dark,
        variables={"border": palette.colour("edge"), "input-cursor-background": palette.text,
                   "input-cursor-foreground": palette.background, "input-selection-background": palette.cursor,
                   "scrollbar": palette.colour("edge"), "scrollbar-background": palette.bar},
    )  # fmt: skip


VIEWS: tuple[type[View], ...] = (
    OverviewView,
    DevicesView,
    ChartsView,
    EventsView,
    AlarmsView,
    FeedersView,
    LogView,
    SimulationView,
)
"""By their numbers."""
