"""Every key and every flow, on the application itself, with a controller that does not exist."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from derms.errors import AccessError, ConflictError, UnavailableError
from derms.model import Role
from derms.plot import plain
from derms.tui.actions import ACTIONS
from derms.tui.app import GLOBAL, VIEWS, ControlCenter, Options
from derms.tui.dialogs.confirm import Confirm
from derms.tui.dialogs.form import Form
from derms.tui.dialogs.help import Help
from derms.tui.dialogs.login import Login
from derms.tui.picture import Phase
from derms.tui.views.devices import DevicesView
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.grid import Grid
from tests.fakes_tui import NEXT, FakeClient, change, picture
from tests.screens import StillClock, center, in_utc, settled


async def until(ask: Callable[[], Any], what: str) -> None:
    """Wait until it is so."""
    deadline_s = time.monotonic() + 20.0
    while time.monotonic() < deadline_s:
        if ask():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not: {what}")


@asynccontextmanager
async def running(
    client: FakeClient | None = None, *, size: tuple[int, int] = (120, 40), rest: bool = True, **named: Any
) -> AsyncIterator[tuple[ControlCenter, "Pilot[int]", FakeClient]]:
    fake = client or FakeClient()
    with in_utc():
        app = center(fake, **named)
        async with app.run_test(size=size) as pilot:
            if rest:
                await settled(app)
                await pilot.pause()
            yield app, pilot, fake
        if app._exception is not None:
            raise app._exception


def rows_of(app: ControlCenter, selector: str) -> list[str]:
    return [plain(row) for row in app.screen_stack[0].query_one(selector, Canvas).shown]


def said(app: ControlCenter) -> str:
    """What the foot line tells."""
    app.draw_now()
    return " ".join(rows_of(app, "#foot"))


def dialog_text(app: ControlCenter) -> str:
    return "\n".join(plain(row) for canvas in app.screen.query(Canvas) for row in canvas.shown)


def lines_of_only(directory: Path) -> list[str]:
    return next(iter(directory.glob("*.csv"))).read_text(encoding="utf-8").splitlines()


def devices(app: ControlCenter) -> DevicesView:
    return app.screen_stack[0].query_one(DevicesView)


async def test_numbers_bring_each_screen_to_the_front_and_arrows_go_on_from_there() -> None:
    async with running() as (app, pilot, _):
        for number, kind in enumerate(VIEWS, 1):
            await pilot.press(str(number))
            assert app.view.NAME == kind.NAME
        await pilot.press("l")
        assert app.view.NAME == VIEWS[0].NAME
        await pilot.press("h")
        assert app.view.NAME == VIEWS[-1].NAME
        await pilot.press("escape")
        assert app.view.NAME == "overview"


@pytest.mark.parametrize("kind", VIEWS, ids=lambda kind: kind.NAME)
async def test_the_help_lists_every_key_of_the_screen_in_front(kind: Any) -> None:
    async with running(size=(120, 100)) as (app, pilot, _):
        app.show_view(kind.NAME)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Help)
        text = dialog_text(app)
        for command in (*kind.COMMANDS, *GLOBAL):
            assert (command.help or command.title).split()[0] in text
        await pilot.press("escape")
        assert not isinstance(app.screen, Help)


def test_every_command_names_an_action_that_there_is() -> None:
    for kind in VIEWS:
        for command in kind.COMMANDS:
            name, _, rest = command.action.partition("(")
            if name == "app.do":
                assert rest.split("'")[1] in ACTIONS
                assert command.needs is ACTIONS[rest.split("'")[1]].needs
            else:
                owner = ControlCenter if name.startswith("app.") else kind
                assert hasattr(owner, f"action_{name.removeprefix('app.')}"), command
    for command in GLOBAL:
        assert hasattr(ControlCenter, f"action_{command.action.partition('(')[0].removeprefix('app.')}"), command


async def test_vim_keys_move_the_cursor_and_stop_at_both_ends() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("2")
        grid = devices(app).query_one(Grid)
        await pilot.press("j", "j", "k")
        assert grid.cursor == 1
        await pilot.press("G")
        assert grid.cursor == 59
        await pilot.press("j")
        assert grid.cursor == 59
        await pilot.press("ctrl+u")
        assert grid.cursor < 59
        await pilot.press("g", "ctrl+d")
        assert 0 < grid.cursor < 59
        await pilot.press("home")
        assert grid.cursor == 0


async def test_a_filter_works_while_it_is_written_and_escape_clears_it() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("slash")
        assert app.view.NAME == "devices"
        await pilot.press(*"type:ev", "space", *"soc<0.3")
        view = devices(app)
        await until(lambda: view.source.text == "type:ev soc<0.3", "the filter as it was written")
        expected = [row["device_id"] for row in app.picture.fleet.rows if row["type"] == "ev" and row["soc"] < 0.3]
        assert sorted(str(row["device_id"]) for row in view.source.rows()) == sorted(map(str, expected))
        assert f"{len(expected)} of 60" in " ".join(rows_of(app, "#chips"))
        await pilot.press("enter", "escape")
        assert view.source.count() == 60


async def test_an_unfinished_term_says_so_and_the_others_hold() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("slash", *"type:pv")
        await until(lambda: devices(app).source.text == "type:pv", "the filter as it was written")
        shown = devices(app).source.count()
        await pilot.press("space", *"soc<")
        await until(lambda: devices(app).source.problem, "what is wrong")
        assert devices(app).source.count() == shown == 10
        await until(lambda: "soc<" in " ".join(rows_of(app, "#chips")), "the words")
        assert "soc<" in " ".join(rows_of(app, "#chips"))


async def test_the_cursor_stays_on_its_device_while_the_order_changes_under_it() -> None:
    async with running() as (app, pilot, fake):
        await pilot.press("2", "A")
        grid = devices(app).query_one(Grid)
        await pilot.press("j", "j", "j")
        chosen = grid.cursor_key
        at = app.picture.fleet.at(chosen)
        assert at is not None
        fake.words.put_nowait(change(devices=[{"device_id": chosen, "p_actual_kw": -50.0}]))
        await until(lambda: app.picture.fleet.rows[at]["p_actual_kw"] == -50.0, "the change")
        app.draw_now()
        assert grid.cursor_key == chosen
        assert grid.cursor == 59


async def test_a_change_draws_only_the_rows_that_are_others() -> None:
    async with running() as (app, pilot, fake):
        await pilot.press("2")
        await pilot.pause()
        app.draw_now()
        grid = devices(app).query_one(Grid)
        before, shown = grid.drawn, grid.source.key(2) if grid.source is not None else ""
        fake.words.put_nowait(change(0.0, devices=[{"device_id": shown, "p_actual_kw": 9.9}]))
        await until(lambda: app.picture.tick == 2, "the change")
        app.draw_now()
        assert grid.drawn == before + 1


async def test_a_click_on_a_title_sorts_and_a_second_one_turns_the_order_round() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("2")
        await pilot.pause()
        header = rows_of(app, "#device-grid")[0]
        await pilot.click("#device-grid", offset=(header.index("SOC") + 1, 0))
        await pilot.pause()
        assert (devices(app).source.sort, devices(app).source.down) == ("soc", False)
        assert "SOC▲" in rows_of(app, "#device-grid")[0]
        await pilot.click("#device-grid", offset=(header.index("SOC") + 1, 0))
        await pilot.pause()
        assert "SOC▼" in rows_of(app, "#device-grid")[0]
        await pilot.press("s")
        assert devices(app).source.sort == "priority"


async def test_chips_by_key_and_by_mouse_and_tabs_by_mouse() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("2", "o")
        assert devices(app).source.origin == "physical"
        assert devices(app).source.count() == 3
        await pilot.press("o", "o", "t")
        assert devices(app).source.count() == 30
        await pilot.pause()
        row = rows_of(app, "#chips")[0]
        await pilot.click("#chips", offset=(row.index("PV") + 1, 0))
        assert devices(app).source.count() == 10
        tabs = rows_of(app, "#tabs")[0]
        await pilot.click("#tabs", offset=(tabs.index("Alarms") + 1, 0))
        assert app.view.NAME == "alarms"


async def test_a_chosen_device_shows_its_curves_and_why() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("2", "j")
        await until(lambda: app.chosen is not None and app.chosen.why is not None, "why")
        app.draw_now()
        text = "\n".join(rows_of(app, "#device-detail"))
        assert app.chosen is not None
        assert f"{app.chosen.device_id}: charging at most 5.4 kW" in text
        assert "give it a higher priority" in text


@pytest.mark.parametrize(
    ("view", "key", "fields", "call"),
    [
        ("2", "B", {"duration": "2h", "reason": "repair"}, "put_override"),
        ("2", "H", {"power": "3", "reason": "test"}, "put_override"),
        ("6", "i", {"import": "120"}, "change_feeder"),
        ("1", "m", {"mode": "advise"}, "change_feeder"),
        ("4", "a", {"import": "130"}, "amend_event"),
        ("4", "n", {"shed": "20"}, "create_event"),
        ("4", "x", None, "cancel_event"),
        ("5", "a", None, "acknowledge_alarm"),
        ("5", "z", {"reason": "known"}, "shelve_alarm"),
        ("8", "d", None, "set_simulation_mode"),
    ],
)
async def test_an_action_names_context_feeder_and_effect_and_is_done_only_after_yes(
    view: str, key: str, fields: dict[str, str] | None, call: str
) -> None:
    async with running() as (app, pilot, fake):
        for answer in ("n", "y"):
            await pilot.press(view)
            app.draw_now()
            await pilot.pause()
            await pilot.press(key)
            if fields is not None:
                await until(lambda: isinstance(app.screen, Form), "the form")
                for name, value in fields.items():
                    app.screen.query_one(f"#field-{name}", Input).value = value
                await pilot.press("enter")
            await until(lambda: isinstance(app.screen, Confirm), "the question")
            await pilot.pause()
            text = dialog_text(app)
            assert ["north", "http://127.0.0.1:8080"][0] in text
            assert "feeder" in text
            assert "effect" in text or "expected" in text or "import" in text
            await pilot.press(answer)
            if answer == "n":
                assert not fake.did
        await until(lambda: fake.did, call)
        assert fake.did[0][0] == call


async def test_a_viewer_sees_what_they_may_not_and_why() -> None:
    async with running(FakeClient(role=Role.VIEWER)) as (app, pilot, fake):
        await pilot.press("2")
        app.draw_now()
        assert "hold (operator)" in " ".join(rows_of(app, "#foot"))
        await pilot.press("H")
        assert "needs the role operator; you are viewer" in said(app)
        assert len(app.screen_stack) == 1
        await pilot.press("question_mark")
        await pilot.pause()
        assert "needs the role operator" in dialog_text(app)
        assert not fake.did


async def test_a_wrong_value_is_told_in_the_form_and_nothing_is_done() -> None:
    async with running() as (app, pilot, fake):
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Form), "the form")
        app.screen.query_one("#field-import", Input).value = "much"
        await pilot.press("enter")
        await pilot.pause()
        assert "'much' is no power" in dialog_text(app)
        app.screen.query_one("#field-import", Input).value = ""
        await pilot.press("enter")
        await pilot.pause()
        assert "it asks for nothing" in dialog_text(app)
        await pilot.press("escape")
        assert len(app.screen_stack) == 1
        assert not fake.did


async def test_what_the_controller_refuses_is_told_and_nothing_breaks() -> None:
    async with running() as (app, pilot, fake):
        fake.refuses = ConflictError("it is over", why="events end", next_step="make another")
        await pilot.press("4")
        app.draw_now()
        await pilot.press("x")
        await until(lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(lambda: "it is over; events end" in said(app), "the refusal")


async def test_a_lost_connection_is_told_with_the_age_of_the_data_and_comes_back_by_itself() -> None:
    clock = StillClock()
    async with running(clock=clock) as (app, pilot, fake):
        app.draw_now()
        assert "live" in rows_of(app, "#top")[0]
        fake.words.put_nowait(UnavailableError("the stream broke off", why="killed"))
        await until(lambda: app.picture.link.phase is Phase.BROKEN, "broken")
        clock.now_s += 7.0
        app.draw_now()
        top = rows_of(app, "#top")[0]
        assert "reconnecting" in top
        assert "data 7s old" in top
        assert app.view.query_one(Canvas).frozen
        fake.words.put_nowait(picture())
        await pilot.press("ctrl+r")
        await until(lambda: app.picture.link.phase is Phase.LIVE, "live again")
        app.draw_now()
        assert not app.view.query_one(Canvas).frozen


async def test_a_connection_that_says_nothing_is_stale() -> None:
    clock = StillClock()
    async with running(clock=clock) as (app, _, _):
        clock.now_s += 40.0
        app.draw_now()
        assert "stale, data 40s old" in rows_of(app, "#top")[0]


async def test_a_token_that_is_over_leads_to_the_login_and_back() -> None:
    async with running() as (app, pilot, fake):
        fake.words.put_nowait(AccessError("the token is over"))
        await until(lambda: isinstance(app.screen, Login), "the login")
        await pilot.pause()
        assert "the token is over" in dialog_text(app)
        await pilot.press(*"opal", "enter", *"wrong", "enter")
        await until(lambda: "user or password is wrong" in dialog_text(app), "refused")
        fake.words.put_nowait(picture())
        await pilot.press(*"opal-password", "enter")
        await until(lambda: app.picture.link.phase is Phase.LIVE, "live again")
        assert len(app.screen_stack) == 1


async def test_without_a_token_the_login_comes_first_and_escape_ends_it() -> None:
    async with running(known=False, rest=False) as (app, pilot, fake):
        await until(lambda: isinstance(app.screen, Login), "the login")
        assert fake.streams == 0
        await pilot.press("escape")
    assert app.return_value == 0


async def test_how_the_screens_were_left_is_found_again(tmp_path: Path) -> None:
    kept = tmp_path / "tui" / "north.json"
    options = Options(animation=False)
    async with running(state_file=kept, options=options) as (app, pilot, _):
        await pilot.press("2", "E", "T", "slash", *"type:ev", "enter")
        theme = app.state.theme
    assert kept.stat().st_mode & 0o077 == 0
    async with running(state_file=kept, options=options) as (app, _, _):
        view = devices(app)
        assert app.view is view
        assert (view.source.sort, view.source.down, view.source.text) == ("error", True, "type:ev")
        assert app.state.theme == theme


async def test_a_damaged_state_file_stops_nobody(tmp_path: Path) -> None:
    kept = tmp_path / "north.json"
    kept.write_bytes(b'{"theme": 5, "view')
    async with running(state_file=kept) as (app, _, _):
        assert app.view.NAME == "overview"


async def test_the_palette_finds_every_command() -> None:
    async with running() as (app, pilot, _):
        titles = {command.title.lower() for command in app.get_system_commands(app.screen)}
        for command in (*app.view.COMMANDS, *GLOBAL):
            assert any(title.startswith(command.title.lower()) for title in titles)
        await pilot.press("colon")
        await until(lambda: len(app.screen_stack) == 2, "the palette")
        await pilot.press(*"alarms screen")
        await asyncio.sleep(0.3)
        await pilot.press("enter", "enter")
        await until(lambda: app.view.NAME == "alarms", "the alarms")


async def test_copy_writes_osc_52_and_says_what_to_do_without() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("2", "y")
        assert app.clipboard == devices(app).query_one(Grid).cursor_key
        assert "copied battery-0003" in said(app)
        assert "OSC 52" in said(app)


async def test_export_writes_what_is_shown_and_defuses_formulas(tmp_path: Path) -> None:
    fake = FakeClient()
    row = {"device_id": "ev-0001", "site_id": "=cmd|x"}
    fake.words.put_nowait(change(0.0, devices=[row]))
    async with running(fake, options=Options(theme="night", animation=False, export_dir=tmp_path)) as (app, pilot, _):
        await pilot.press("2", "e")
        await until(lambda: list(tmp_path.glob("*.csv")), "the file")
        lines = lines_of_only(tmp_path)
        assert len(lines) == 61
        assert lines[0].startswith("device_id,origin,type")
        assert any("'=cmd|x" in line for line in lines)
        for number in "1345678":
            await pilot.press(number, "e")
            assert "rows are in" in said(app) or "nothing to export" in said(app)


async def test_a_screen_too_small_says_so_and_comes_back() -> None:
    async with running(size=(40, 10)) as (app, pilot, _):
        app.draw_now()
        assert "40x10 is too small" in " ".join(rows_of(app, "#small"))
        for size in ((80, 24), (300, 80), (20, 5), (61, 19), (120, 40)):
            await pilot.resize_terminal(*size)
            app.draw_now()
        await pilot.pause()
        app.draw_now()
        assert "import" in rows_of(app, "#overview-canvas")[1]


async def test_every_screen_can_be_drawn_at_every_size_in_ascii_alone() -> None:
    options = Options(theme="contrast", animation=False, ascii_only=True, colour=False)
    async with running(options=options) as (app, pilot, _):
        for size in ((60, 18), (80, 24), (300, 80)):
            await pilot.resize_terminal(*size)
            for number in range(1, len(VIEWS) + 1):
                app.action_view(number)
                await pilot.pause()
                app.draw_now()
                for canvas in app.view.query(Canvas):
                    for row in canvas.shown:
                        assert plain(row).isascii(), plain(row)


async def test_a_falling_limit_moves_its_mark_unless_nothing_is_to_move() -> None:
    for animation in (True, False):
        fake = FakeClient()
        async with running(fake, options=Options(theme="night", animation=animation)) as (app, _, _):
            seen: list[float] = []
            fake.words.put_nowait(change(feeders=[{"feeder_id": "feeder-1", "import_limit_kw": 100.0}]))
            for _ in range(150):
                await asyncio.sleep(0.01)
                if app.eased_limit_kw is not None:
                    seen.append(app.eased_limit_kw)
            assert bool(seen) == animation
            assert app.eased_limit_kw is None


async def test_the_event_list_holds_events_and_programs_and_tells_the_outcome() -> None:
    async with running() as (app, pilot, _):
        await pilot.press("4")
        await until(lambda: "delivered" in "\n".join(rows_of(app, "#outcome")), "the outcome")
        grid = app.view.query_one(Grid)
        assert [grid.source.key(at) for at in range(4)] == [  # type: ignore[union-attr]
            "dr-2bb356058a3b", NEXT.event_id, "prog-1", "dr-00aa11bb22cc",
        ]  # fmt: skip
        await pilot.press("j", "j", "p")
        await until(lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.pause()
        assert "Switch Winter on?" in dialog_text(app)


async def test_themes_go_round_and_auto_follows_the_sun() -> None:
    async with running(options=Options(theme="auto", animation=False)) as (app, pilot, _):
        before = app.state.theme
        seen = set()
        for _ in range(5):
            await pilot.press("T")
            seen.add(app.state.theme)
        assert before == "auto"
        assert len(seen) == 5
