"""Demand response: a timeline, the events and programs, and what came of one."""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult

from derms.api.schemas.events import EventOut
from derms.api.schemas.outcomes import OutcomeOut
from derms.api.schemas.programs import ProgramOut
from derms.errors import DermsError
from derms.model import EventState, Role
from derms.tui.commands import Command
from derms.tui.lines import padded
from derms.tui.paint.dr import TITLES, event_cells, event_rank, outcome_rows, program_cells, timeline
from derms.tui.views.base import MOVING, View, bound
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.grid import Grid, Listed

_OUTCOME_EVERY_S = 5.0


class EventsView(View):
    """Events and programs."""

    NAME = "dr"
    TITLE = "DR"
    COMMANDS = (
        Command(keys=("n",), action="app.do('new_event')", title="new", needs=Role.OPERATOR, top=True,
                help="create an event, after a preview of devices and kW"),
        Command(keys=("a",), action="app.do('amend_event')", title="amend", needs=Role.OPERATOR, top=True,
                help="amend the event: its end, limits, name or reason"),
        Command(keys=("x",), action="app.do('cancel_event')", title="cancel", needs=Role.OPERATOR, top=True,
                help="cancel the event: it ends at once"),
        Command(keys=("p",), action="app.do('switch_program')", title="switch program", needs=Role.OPERATOR,
                help="switch the program on or off"),
        Command(keys=("r",), action="app.look_again", title="refresh", help="ask for events and programs now"),
        *MOVING,
    )  # fmt: skip
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """Timeline, table, outcome."""
        yield Canvas(id="timeline")
        yield Grid(Listed(TITLES), id="event-grid", empty="no event yet: n makes one")
        yield Canvas(id="outcome", classes="detail")

    def on_mount(self) -> None:
        """Nothing is known of an outcome yet."""
        self._outcome: OutcomeOut | None = None
        self._problem = ""
        self._asked = ("", 0.0)
        self._sized = (0, 0)

    @property
    def chosen(self) -> EventOut | ProgramOut | None:
        """What the cursor stands on."""
        key = self.query_one(Grid).cursor_key
        for event in self.picture.events:
            if event.event_id == key:
                return event
        return next((program for program in self.picture.programs if program.program_id == key), None)

    def draw(self) -> None:
        """Show the picture."""
        picture, grid, now, frozen = self.picture, self.query_one(Grid), self.center.now, self.center.frozen
        bars = self.query_one("#timeline", Canvas)
        size = self.size
        if not size.height:
            return
        if self._sized != (size.width, size.height):
            self._sized = (size.width, size.height)
            bars.styles.height = min(max(size.height // 4, 5), 12)
            self.call_after_refresh(self.draw)
            return
        events = sorted(picture.events, key=event_rank)
        scene = self.scene(bars.size.width, bars.size.height)
        bars.freeze(frozen)
        bars.show(timeline(events, picture.programs, scene, bars.size.height))
        width = max(grid.size.width - 2, 20)
        source = grid.source
        assert isinstance(source, Listed)
        open_ = [event for event in events if event_rank(event)[0] < 2]
        over = [event for event in events if event_rank(event)[0] == 2]
        source.put([
            *((event.event_id, event_cells(event, now, width, self.glyphs)) for event in open_),
            *((one.program_id, padded(program_cells(one, now, width, self.glyphs), width)) for one in picture.programs),
            *((event.event_id, event_cells(event, now, width, self.glyphs)) for event in over),
        ])  # fmt: skip
        grid.freeze(frozen)
        grid.update()
        self._draw_outcome()
        self._ask()

    def _draw_outcome(self) -> None:
        below = self.query_one("#outcome", Canvas)
        chosen = self.chosen
        event = chosen if isinstance(chosen, EventOut) else None
        if below.size.height:
            scene = self.scene(below.size.width, below.size.height)
            below.freeze(self.center.frozen)
            below.show(outcome_rows(self._outcome, event, scene, self._problem))

    def _ask(self) -> None:
        """Ask for the outcome of the chosen one, again and again while it runs."""
        chosen, now_s = self.chosen, self.center.now_s
        if not isinstance(chosen, EventOut) or chosen.state is EventState.SCHEDULED:
            return
        event_id, at_s = self._asked
        running = chosen.state is EventState.ACTIVE
        if event_id == chosen.event_id and (not running or now_s - at_s < _OUTCOME_EVERY_S):
            return
        self._asked = (chosen.event_id, now_s)
        self._fetch(chosen.event_id)

    @work(exclusive=True, group="outcome")
    async def _fetch(self, event_id: str) -> None:
        session = self.center.session
        client = session.client if session is not None else None
        if client is None:
            return
        try:
            self._outcome, self._problem = await client.event_outcome(event_id), ""
        except DermsError as error:
            self._problem = error.what
        self._draw_outcome()

    def on_grid_moved(self, event: Grid.Moved) -> None:
        """Another one is chosen."""
        event.stop()
        self._problem = ""
        self.center.draw_soon()

    def table(self) -> tuple[list[str], list[list[object]]]:
        """All events."""
        titles = ["event_id", "name", "state", "start", "end", "feeder_ids", "import_limit_kw", "export_limit_kw",
                  "shed_kw", "reason", "created_by"]  # fmt: skip
        rows: list[list[object]] = [
            [one.event_id, one.name, one.state.value, one.start.isoformat(), one.end.isoformat(),
             " ".join(one.feeder_ids), one.import_limit_kw, one.export_limit_kw, one.shed_kw, one.reason,
             one.created_by]
            for one in self.picture.events
        ]  # fmt: skip
        return titles, rows
