"""What the inner floors ask of the outer ones: protocols of one to four verbs, and the values they pass.

Implementations: `derms.mqtt.MqttLink` (feed and sink), `derms.store.postgres.PostgresStore` (all the stores),
`derms.runtime.SystemClock`. Fakes live in `tests/fakes_*.py`, and conformance suites in `tests/conformance`.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from derms.errors import BrokerError
from derms.model import (
    AlarmLine,
    AlarmRecord,
    Author,
    DecisionRecord,
    Device,
    DeviceKind,
    DeviceOverride,
    DrEvent,
    DrProgram,
    EventState,
    Feeder,
    Setpoint,
    Telemetry,
)
from derms.reports import DeviceHour, Fairness, FeederBucket, FeederFigures, StoredSample, TelemetryBucket


class Clock(Protocol):
    """Two clocks: one to talk about instants with others, one to measure spans."""

    def now_ms(self) -> int:
        """The wall clock, UTC [epoch ms]; may jump."""
        ...

    def monotonic_s(self) -> float:
        """A clock that only goes forward [s]."""
        ...


class Message(msgspec.Struct, frozen=True, gc=False):
    """One received MQTT message."""

    topic: str
    payload: bytes
    retained: bool = False
    receipt: int = 0
    """Opaque to everyone but the feed: what `TelemetryFeed.acknowledge` needs."""
    expires_s: int | None = None
    """How long the broker would still have kept a retained one [s]; None: for ever, or it does not say (MQTT 3.1.1)."""


class TelemetryFeed(Protocol):
    """Where messages come from."""

    async def receive(self) -> Sequence[Message]:
        """Wait for at least one message and return all that are there, in order of arrival."""
        ...

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are safe; it forgets them. Never waits, may be called in any order."""
        ...


class SetpointSink(Protocol):
    """Where leases go."""

    def publish_many(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        retain: bool = False,
        expires_s: int | None = None,
        still: Callable[[], bool] | None = None,
    ) -> Awaitable[Sequence[BrokerError | None]]:
        """Hand messages to the broker at QoS 1, the first of them before this returns where it can.

        Args:
            messages: Topic and payload of each.
            retain: The broker keeps the newest of each topic for later subscribers.
            expires_s: The broker forgets them after this long [s]; where the protocol has that.
            still: Asked right before anything is written: once it says no, the connection is cut rather than that one
                of them goes out.

        Returns:
            What waits until each is acknowledged or given up: for every message None, or why it failed, in the order
            given.
        """
        ...


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A measurement and when the controller received it."""

    telemetry: Telemetry
    received_ms: int
    """The controller's clock [epoch ms]."""
    feeder_id: str
    """From the registry, not from the telemetry."""


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """What the engine remembers of one tree, at one instant."""

    feeder_id: str
    """The root's."""
    at_ms: int
    """The controller's clock [epoch ms]."""
    epoch: int
    """Of the run that remembers; a later run is newer whatever the clock says."""
    payload: bytes
    """JSON, as `derms.control.keepsake` writes it."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Rows to be written together, once."""

    samples: list[Sample] = field(default_factory=list)
    setpoints: list[Setpoint] = field(default_factory=list)
    decisions: list[DecisionRecord] = field(default_factory=list)
    memories: list[MemoryRecord] = field(default_factory=list)
    """Not counted as rows: each replaces the one before, and only the newest is worth anything."""

    def __len__(self) -> int:
        """The number of rows of the logs."""
        return len(self.samples) + len(self.setpoints) + len(self.decisions)


class RecordStore(Protocol):
    """What the recorder writes to."""

    async def write(self, batch: RecordBatch) -> None:
        """Commit a batch whole or not at all. Writing the same batch twice leaves one copy.

        A memory replaces an older one of the same root, never a newer one.

        Raises:
            StoreError: It is not committed.
        """
        ...


class Duty(StrEnum):
    """What a controller may do for a tree of feeders at this moment."""

    LEADS = "leads"
    """It holds the tree's lease: it commands."""
    KEEPS = "keeps"
    """Its lease has ended because the database does not answer: it renews what is safe, and raises nothing."""
    STANDS_BY = "stands_by"
    """It sends nothing: another one leads, or nobody does."""


class Authority(Protocol):
    """Says whether this controller may command. Asked right before anything is sent; never waits."""

    @property
    def epoch(self) -> int:
        """What every setpoint carries; rises with every takeover."""
        ...

    def duty(self, root: str) -> Duty:
        """What may be done for the tree of that root now."""
        ...

    def outranked(self, root: str, epoch: int) -> None:
        """Note a setpoint of a higher epoch that was seen for a device of that tree."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A controller, as the others know it."""

    controller_id: str
    instance: str
    """Of this run alone."""
    url: str = ""
    """Where its API can be reached by others; empty: it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLease:
    """Who commands a tree of feeders, and until when."""

    feeder_id: str
    """The root's."""
    holder: Claimant
    """Without an instance: it was given back, and anyone may take it."""
    epoch: int
    renewals: int
    """Rises with every renewal: what is not renewed for its whole length has ended, whatever the clocks say."""
    lease_s: float
    left_s: float
    """By the database's clock when it was read [s]; negative: it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a controller learns when it has told the store that it lives."""

    renewed: frozenset[str]
    """The roots whose lease is extended from now."""
    leases: tuple[LeaderLease, ...]
    """Of all roots that ever were led."""
    peers: frozenset[str]
    """The instances of the other controllers that live and are able to command."""
    changes: str
    """Is another text whenever somebody has changed events, programs, overrides or the registry."""


class LeaseStore(Protocol):
    """Who commands. Each raises StoreError where the store does not answer."""

    async def claim_name(self, me: Claimant, *, formerly: str, seize: bool = False) -> float | None:
        """Claim a controller's name for this run.

        Args:
            me: Who claims it.
            formerly: An instance that is known to have ended.
            seize: Take it from whoever has it.

        Returns:
            None: it is mine. Otherwise how long ago another instance of that name last said that it lives [s].
        """
        ...

    async def beat(self, me: Claimant, held: Collection[str], *, lease_s: float, able: bool) -> Standing:
        """Say that I live, and renew the leases I hold.

        Args:
            me: Who says so.
            held: The roots I think I lead.
            lease_s: For how long from now [s].
            able: Whether I could command what nobody commands.
        """
        ...

    async def give_back(self, me: Claimant, roots: Collection[str]) -> None:
        """Give some of mine back, so that others may have them at once."""
        ...

    async def take(
        self, me: Claimant, wanted: Mapping[str, LeaderLease | None], *, lease_s: float, above: int
    ) -> tuple[int, frozenset[str]]:
        """Take leases, each only if it still is as it was seen; what I hold already gets the new epoch too.

        Args:
            me: Who takes them.
            wanted: Root -> its lease as it was seen; None: there was none.
            lease_s: For how long from now [s].
            above: The new epoch is higher than this, and than every one before.

        Returns:
            The new epoch, and the roots that were had.
        """
        ...

    async def release(self, me: Claimant) -> None:
        """Give all of mine back, and my name, so that nobody has to wait for their end."""
        ...


class RegistryStore(Protocol):
    """Feeders and devices."""

    async def load_feeders(self) -> list[Feeder]:
        """All feeders."""
        ...

    async def load_devices(self) -> list[Device]:
        """All registrations, retired ones too."""
        ...

    async def save_feeders(self, feeders: Sequence[Feeder]) -> None:
        """Insert or replace several, parents first, in one transaction."""
        ...

    async def save_devices(self, devices: Sequence[Device]) -> None:
        """Insert or replace several, in one transaction."""
        ...


class RegistrationStore(Protocol):
    """What people change in the registry. Every change is committed together with its line in the audit log."""

    async def add_device(self, device: Device, *, by: Author) -> None:
        """Commit a registration made beforehand.

        Raises:
            ConflictError: The id exists.
            NotFoundError: The feeder does not exist.
            StoreError: It is not committed.
        """
        ...

    async def change_device(self, device: Device, fields: Collection[str], *, action: str, by: Author) -> None:
        """Commit some fields of a registration; one that has not reached the store yet is stored whole.

        Args:
            device: As it is to be.
            fields: What of it is changed; other columns of a row that is there stay as they are.
            action: What the audit log calls it.
            by: Who changes it.

        Raises:
            NotFoundError: The feeder does not exist.
            StoreError: It is not committed.
        """
        ...

    async def add_feeder(self, feeder: Feeder, *, by: Author) -> None:
        """Commit a new feeder.

        Raises:
            ConflictError: The id exists.
            NotFoundError: The parent does not exist.
            StoreError: It is not committed.
        """
        ...

    async def change_feeder(self, feeder: Feeder, fields: Collection[str], *, by: Author) -> None:
        """Commit some fields of a feeder, as `change_device`.

        Raises:
            NotFoundError: The parent does not exist.
            StoreError: It is not committed.
        """
        ...

    async def note(self, action: str, subject: str, *, after: Mapping[str, object], by: Author) -> None:
        """Commit a line in the audit log for what leaves no other trace in the store.

        Raises:
            StoreError: It is not committed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What makes a write happen once, however often it is asked for."""

    key: str
    """Chosen by who asks; one of their own."""
    fingerprint: str
    """Of what was asked for: the same key with another one is a mistake."""
    answer: bytes
    """What was answered, to be answered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsWanted:
    """Which part of the list of DR events."""

    states: tuple[EventState, ...]
    now: datetime
    """The instant the states are meant at."""
    feeder_id: str | None = None
    """Only those that name it."""
    sort: str = "start"
    """`start`, `end` or `created_at`; then by id, in the same direction."""
    down: bool = False
    """The latest first."""
    after: tuple[datetime, str] | None = None
    """Where the page before ended: what it was sorted by, and the id."""
    limit: int = 1000


class EventStore(Protocol):
    """DR events. Every change is committed together with its line in the audit log."""

    async def add_event(self, event: DrEvent, *, by: Author, once: Once | None = None) -> None:
        """Commit an event.

        Args:
            event: The event.
            by: Who makes it.
            once: Committed with it; no second one of the same user and key is.

        Raises:
            ConflictError: The id exists, or the key was used.
            StoreError: It is not committed.
        """
        ...

    async def change_event(
        self, event_id: str, action: str, change: Callable[[DrEvent], DrEvent], *, by: Author
    ) -> DrEvent:
        """Replace an event by what `change` makes of it as it is stored now; nobody else changes it meanwhile.

        Args:
            event_id: Which one.
            action: What the audit log calls it.
            change: Checks and changes; what it raises leaves everything as it was.
            by: Who changes it.

        Returns:
            The event as it is stored now.

        Raises:
            NotFoundError: There is no such event.
            StoreError: It is not committed.
        """
        ...

    async def remove_event(self, event_id: str, check: Callable[[DrEvent], None], *, by: Author) -> None:
        """Remove an event; the audit log keeps what it was.

        Args:
            event_id: Which one.
            check: Raises where it must stay.
            by: Who removes it.

        Raises:
            NotFoundError: There is no such event.
            StoreError: It is not committed.
        """
        ...


class EventReader(Protocol):
    """The DR events there are."""

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        """Events neither cancelled nor over at `now`."""
        ...

    async def find_event(self, event_id: str) -> DrEvent:
        """One event.

        Raises:
            NotFoundError: There is no such event.
        """
        ...

    async def list_events(self, wanted: EventsWanted) -> list[DrEvent]:
        """A part of the list."""
        ...

    async def answered(self, username: str, key: str) -> Once | None:
        """What was answered to a user's key; None: it was not used, or is forgotten."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeWanted:
    """Of which event the outcome is asked, and how it is to be measured."""

    event: DrEvent
    imports: bool
    """It limits the import; otherwise the export, and loads are counted as exports."""
    since: datetime
    """Where the window before the event begins, from which its baseline is made."""
    settled: datetime
    """From when on devices should follow what they were told for the event."""
    until: datetime
    """Where it ended, or now; the instant is not inside."""
    bucket_s: float
    """Length of the intervals, counted from its start [s]."""
    tolerance: float
    """Over the limit by less than this share of it, or than `tolerance_kw`, is not over."""
    tolerance_kw: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeBucket:
    """One feeder in one interval."""

    feeder_id: str
    bucket: int
    """The interval's number from the start on; -1: the window before the event."""
    load_kw: float | None
    """What it drew on average, or exported where that is limited [kW]; None: there is no length to average over."""
    limit_kw: float | None
    """What the event, or a tighter limit, allowed it on average [kW]; None: nothing limited it."""
    observed_s: float
    """How much of it ticks tell of [s]."""
    compliant_s: float
    """For how much of that it was within the limit [s]."""
    kept_at: datetime | None
    """The first tick in it at which it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCourse:
    """What one device was told and did; means over instants, in load convention [kW], None: nothing is known."""

    device_id: str
    kind: DeviceKind
    feeder_id: str
    before_kw: float | None
    during_kw: float | None
    followed_kw: float | None
    """What it drew while it was told something and had had time to follow."""
    told_kw: float | None
    """What it was told then."""
    heard: int
    """At how many instants of the event there was a reading."""
    local: int
    """At how many of them it said that it is controlled locally."""
    overridden: bool
    """An operator held or blocked it."""


class OutcomeStore(Protocol):
    """What came of DR events, by what is stored."""

    async def feeder_courses(self, wanted: OutcomeWanted) -> list[OutcomeBucket]:
        """The load of the event's feeders, by feeder and time."""
        ...

    async def device_courses(self, wanted: OutcomeWanted, instants: Sequence[datetime]) -> list[DeviceCourse]:
        """What each controllable device on and below the event's feeders was told and did."""
        ...


class ProgramStore(Protocol):
    """DR programs. Every change is committed together with its line in the audit log."""

    async def add_program(self, program: DrProgram, *, by: Author) -> None:
        """Commit a program.

        Raises:
            ConflictError: The id or the name exists.
            StoreError: It is not committed.
        """
        ...

    async def change_program(
        self, program_id: str, action: str, change: Callable[[DrProgram], DrProgram], *, by: Author
    ) -> DrProgram:
        """Replace a program by what `change` makes of it, as `EventStore.change_event`.

        Raises:
            NotFoundError: There is no such program.
            ConflictError: The name exists.
            StoreError: It is not committed.
        """
        ...

    async def delete_program(self, program_id: str, *, by: Author) -> None:
        """Remove a program; the audit log keeps what it was.

        Raises:
            NotFoundError: There is no such program.
            StoreError: It is not committed.
        """
        ...

    async def load_programs(self) -> list[DrProgram]:
        """All programs, those that are over too, by id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryWanted:
    """Which part of the alarms' history."""

    kind: str | None = None
    subject: str | None = None
    before: int | None = None
    """Only lines with a smaller number; None: from the newest on."""
    limit: int = 1000


class OverrideStore(Protocol):
    """What operators lay upon devices. Every change is committed together with its line in the audit log."""

    async def put_override(self, override: DeviceOverride, *, by: Author) -> None:
        """Commit an override, in place of one that is there.

        Raises:
            NotFoundError: The device is not registered.
            UsageError: A hold without a power, a block with one, an end that is not after its beginning.
            StoreError: It is not committed.
        """
        ...

    async def clear_override(self, device_id: str, *, by: Author) -> None:
        """Take an override off.

        Raises:
            NotFoundError: There is none upon that device.
            StoreError: It is not committed.
        """
        ...

    async def live_overrides(self, now: datetime) -> list[DeviceOverride]:
        """Those that have not ended at `now`, by device; the end is not inside."""
        ...


class AlarmStore(Protocol):
    """Alarms that are not normal, and their history."""

    async def load_alarms(self) -> list[AlarmRecord]:
        """Those that were not normal when they were last written, by kind and subject."""
        ...

    async def keep_alarms(self, records: Sequence[AlarmRecord], lines: Sequence[AlarmLine]) -> None:
        """Commit alarms as they are now, in place of what was, and lines of their history.

        Raises:
            StoreError: Nothing is committed.
        """
        ...

    async def change_alarm(self, before: AlarmRecord, after: AlarmRecord, action: str, *, by: Author) -> None:
        """Commit what somebody says of an alarm, together with its line in the audit log.

        Raises:
            StoreError: It is not committed.
        """
        ...

    async def alarm_history(self, wanted: HistoryWanted) -> list[AlarmLine]:
        """A part of the history, the newest line first."""
        ...


class MemoryStore(Protocol):
    """What the engine remembers; it is written with the batches."""

    async def load_memories(self) -> list[MemoryRecord]:
        """The newest memory of each root, by id."""
        ...


class ReportStore(Protocol):
    """The logs read back. Instants are half-open ranges; each raises StoreError where it cannot be read."""

    async def feeder_history(
        self, feeder_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[FeederBucket]:
        """The decision log of one feeder in buckets that begin at multiples of `bucket_s` since 1970; by instant."""
        ...

    async def feeder_figures(self, feeder_id: str, *, since: datetime, until: datetime) -> FeederFigures:
        """The figures of one feeder over a period."""
        ...

    async def fairness(self, feeder_ids: Collection[str], *, since: datetime, until: datetime) -> Fairness:
        """How evenly the devices of some feeders were served in the hours that begin in a period."""
        ...

    async def stored_samples(
        self,
        device_id: str,
        *,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, int] | None = None,
    ) -> list[StoredSample]:
        """Rows of telemetry of one device, by instant and sequence number.

        Args:
            device_id: Whose.
            since: The first instant that is inside.
            until: The first one that is outside again.
            limit: At most so many.
            after: Instant and sequence number of the row before the first.
        """
        ...

    async def telemetry_buckets(
        self, device_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[TelemetryBucket]:
        """The telemetry of one device in buckets, as `feeder_history`."""
        ...


class HourStore(Protocol):
    """What devices asked for and drew, by the hour."""

    async def save_hours(self, hours: Sequence[DeviceHour]) -> None:
        """Insert totals, or let those of the same device, feeder, hour and run grow.

        Raises:
            StoreError: They are not committed.
        """
        ...
