"""What stands in for the store of DR events and programs, and for the loop that is told of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from derms.alarms.desk import AlarmDesk
from derms.alarms.rules import GROUPED, RULES
from derms.api.schemas.events import PreviewOut
from derms.errors import DermsError
from derms.model import Author, DrEvent, DrProgram, Role
from derms.ports import DeviceCourse, EventsWanted, Once, OutcomeBucket, OutcomeWanted
from tests.fakes_store import FakeStore


@dataclass
class Told:
    """What the loop was told."""

    events: list[DrEvent] = field(default_factory=list)
    events_gone: list[str] = field(default_factory=list)
    programs: list[DrProgram] = field(default_factory=list)
    programs_gone: list[str] = field(default_factory=list)
    desk: AlarmDesk = field(
        default_factory=lambda: AlarmDesk(RULES, gather=GROUPED, on_change=lambda record, line: None)
    )
    outcomes: "FakeOutcomes" = field(default_factory=lambda: FakeOutcomes())


class FakeEvents(FakeStore):
    """A store that can be told to fail, and remembers who committed what."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: list[tuple[DrEvent, str, str]] = []
        self.error: DermsError | None = None

    async def add_event(self, event: DrEvent, *, by: Author, once: Once | None = None) -> None:
        self._fail()
        await super().add_event(event, by=by, once=once)
        self.committed.append((event, by.username, by.request_id))

    async def change_event(
        self, event_id: str, action: str, change: Callable[[DrEvent], DrEvent], *, by: Author
    ) -> DrEvent:
        self._fail()
        return await super().change_event(event_id, action, change, by=by)

    async def list_events(self, wanted: EventsWanted) -> list[DrEvent]:
        self._fail()
        return await super().list_events(wanted)

    def _fail(self) -> None:
        if self.error:
            raise self.error


@dataclass
class FakeOutcomes:
    """Courses, as the store would sum them up."""

    feeders: list[OutcomeBucket] = field(default_factory=list)
    devices: list[DeviceCourse] = field(default_factory=list)
    asked: list[OutcomeWanted] = field(default_factory=list)

    async def feeder_courses(self, wanted: OutcomeWanted) -> list[OutcomeBucket]:
        self.asked.append(wanted)
        return self.feeders

    async def device_courses(self, wanted: OutcomeWanted, instants: Sequence[datetime]) -> list[DeviceCourse]:
        return self.devices


class FakePreviews:
    """Knows nothing of what would happen."""

    def of_event(self, event: DrEvent) -> PreviewOut:
        return _nothing(event.created_at, event.start, event.end)

    def of_program(self, program: DrProgram) -> PreviewOut:
        return _nothing(program.start, program.start, program.end)


def _nothing(at: datetime, start: datetime, end: datetime) -> PreviewOut:
    return PreviewOut(
        at=at, start=start, end=end, feasible=None, shortfall_kw=None, relief_kw=0.0, notes=[], feeders=[], devices=[]
    )


ROUTES: list[tuple[str, str, Role]] = [
    ("POST", "/api/events/preview", Role.OPERATOR),
    ("GET", "/api/events/{event_id}", Role.VIEWER),
    ("PATCH", "/api/events/{event_id}", Role.OPERATOR),
    ("DELETE", "/api/events/{event_id}", Role.ADMIN),
    ("POST", "/api/events/{event_id}/cancel", Role.OPERATOR),
    ("GET", "/api/events/{event_id}/outcome", Role.VIEWER),
    ("GET", "/api/alarms", Role.VIEWER),
    ("GET", "/api/alarms/history", Role.VIEWER),
    ("GET", "/api/alarms/{alarm_id}", Role.VIEWER),
    ("POST", "/api/alarms/{alarm_id}/acknowledge", Role.OPERATOR),
    ("POST", "/api/alarms/{alarm_id}/shelve", Role.OPERATOR),
    ("POST", "/api/alarms/{alarm_id}/unshelve", Role.OPERATOR),
    ("GET", "/api/programs", Role.VIEWER),
    ("POST", "/api/programs", Role.OPERATOR),
    ("POST", "/api/programs/preview", Role.OPERATOR),
    ("GET", "/api/programs/{program_id}", Role.VIEWER),
    ("PATCH", "/api/programs/{program_id}", Role.OPERATOR),
    ("DELETE", "/api/programs/{program_id}", Role.ADMIN),
    ("POST", "/api/programs/{program_id}/activate", Role.OPERATOR),
    ("POST", "/api/programs/{program_id}/deactivate", Role.OPERATOR),
]
"""What the nouns of DR and of alarms add, and the least role that may."""
