"""The loop around the tick.

By interval or at once when something changed, never overlapping, never waiting for the store or the broker.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import numpy as np

from derms.columns import Memory, Params, Picture
from derms.control.alarms import alarms_of
from derms.control.caretaking import only_safe
from derms.control.decide import decide
from derms.control.demand_response import constraints_on, is_active
from derms.control.dispatch import Outbox
from derms.control.forest import parents_of, trees_of
from derms.control.keepsake import from_json, to_json
from derms.control.layout import Layout
from derms.control.leasing import Leasing
from derms.control.ledger import Ledger
from derms.control.record import TickRecord
from derms.control.trees import FeederTick, TreeState, nodes_of
from derms.errors import NotFoundError
from derms.fleet import Fleet
from derms.metrics import Metrics
from derms.model import (
    DeviceOverride,
    DrEvent,
    DrProgram,
    Feeder,
    FeederMode,
)
from derms.ports import Authority, Clock, Duty, MemoryRecord
from derms.recorder import Recorder

_REMEMBER_S = 10.0
"""What the engine remembers is written down at most this often [s]."""
_MIN_GAP_S = 0.2
"""Between ticks that were asked for, so that a storm of wishes is one tick [s]..."""
_URGENT_GAP_S = 0.03
"""...but for a limit that is passed [s]; no less than the last tick took, so that ingest and the API get their turn."""
_FOLLOW_S = 0.5
"""What a head meter reads so long after a tick shows what that tick has brought [s]."""
_CLEARLY = 0.005
"""An excess of more than this share of the limit is more than a meter's error."""

log = logging.getLogger(__name__)


def _nobody() -> None:
    """Nobody wants to be told."""


class ControlLoop:
    """Ticks every tree of feeders, hands leases to the outbox and the record to the recorder."""

    def __init__(
        self,
        *,
        feeders: Iterable[Feeder],
        fleet: Fleet,
        outbox: Outbox,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        params: Params,
        authority: Authority,
        ledger: Ledger | None = None,
    ) -> None:
        """Prepare the loop; nothing is sent before the first tick.

        Raises:
            ConfigError: The feeders are no forest.
        """
        self.events: dict[str, DrEvent] = {}
        self.programs: dict[str, DrProgram] = {}
        self.overrides: dict[str, DeviceOverride] = {}
        """Those that have not ended, by device."""
        self.changes = 0
        """Rises with every change of events, programs, overrides and feeders."""
        self.last_tick_s: float | None = None
        self.trees: list[TreeState] = []
        self.feeders: dict[str, FeederTick] = {}
        """Every feeder by its id."""
        self.on_tick: Callable[[], None] = _nobody
        """Told after every tick of `run`; it must neither wait nor fail."""
        self._fleet = fleet
        self._leasing = Leasing(fleet=fleet, outbox=outbox, recorder=recorder)
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._params = params
        self._authority = authority
        self._notes = TickRecord(fleet=fleet, recorder=recorder, metrics=metrics, ledger=ledger)
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        """Set with `_wake` where the tick that is asked for cannot wait."""
        self.set_feeders(feeders)

    @property
    def epoch(self) -> int:
        """What setpoints carry; 0: none was ever sent."""
        return self._authority.epoch

    def set_feeders(self, feeders: Iterable[Feeder]) -> None:
        """Replace the feeders; what is remembered of those that stay is kept, also where the tree changes.

        Raises:
            ConfigError: They are no forest; nothing has changed.
        """
        planted = trees_of(feeders)
        before = self.feeders
        trees = []
        for members in planted:
            old = before.get(members[0].feeder_id)
            same = old is not None and [item.feeder_id for item in old.tree.feeders] == [
                item.feeder_id for item in members
            ]
            if old is not None and same:
                old.tree.feeders = members
                trees.append(old.tree)
                continue
            tree = TreeState(members, Memory.empty(0, len(members)))
            if old is not None:
                row = {feeder.feeder_id: node for node, feeder in enumerate(old.tree.feeders)}
                index = np.array([row.get(feeder.feeder_id, -1) for feeder in members], dtype=np.int64)
                tree.memory = old.tree.memory.aligned(np.arange(old.tree.rows.size), index)
                tree.rows, tree.node = old.tree.rows, old.tree.node
                tree.ticks, tree.last_s = old.tree.ticks, old.tree.last_s
                tree.alarms, tree.over = old.tree.alarms, old.tree.over
            trees.append(tree)
        self.trees = trees
        self.changes += 1
        self.feeders = {
            feeder.feeder_id: FeederTick(tree, node) for tree in trees for node, feeder in enumerate(tree.feeders)
        }
        self.wake()

    def below(self, feeder_id: str) -> set[str]:
        """A feeder and all that lie below it; nothing where there is none of that id."""
        state = self.feeders.get(feeder_id)
        found = {feeder_id} if state is not None else set()
        for feeder in () if state is None else state.tree.feeders:  # parents first
            if feeder.parent_id in found:
                found.add(feeder.feeder_id)
        return found

    def recall(self, records: Iterable[MemoryRecord]) -> None:
        """Take over what an earlier run remembered, as far as it still counts."""
        now_ms = self._clock.now_ms()
        for record in records:
            state = self.feeders.get(record.feeder_id)
            if state is None or state.node:
                continue
            self._seat(state.tree)
            age_s = (now_ms - record.at_ms) / 1000.0
            recalled = from_json(record.payload, *self._ids(state.tree), age_s=age_s)
            if recalled.damage:
                log.error(
                    "What feeder %s remembered cannot be read and is left out", record.feeder_id,
                    extra={"error": recalled.damage},
                )  # fmt: skip
            state.tree.memory = recalled.memory

    def _ids(self, tree: TreeState) -> tuple[list[str], list[str]]:
        """The ids of a tree's devices and nodes, by row."""
        return tree.device_ids, [feeder.feeder_id for feeder in tree.feeders]

    @property
    def roots(self) -> list[str]:
        """The root of each tree."""
        return [tree.feeders[0].feeder_id for tree in self.trees]

    def root_of(self, feeder_id: str) -> str | None:
        """The root of a feeder's tree; None: there is no such feeder."""
        state = self.feeders.get(feeder_id)
        return None if state is None else state.tree.feeders[0].feeder_id

    def command_anew(self, roots: Iterable[str]) -> None:
        """Let the next tick send every lease of some trees again, and at once: the devices are to hear who commands."""
        for root in roots:
            state = self.feeders.get(root)
            if state is not None:
                self._seat(state.tree)
                self._fleet.tell_again(state.tree.rows)
        self.wake()

    def wake(self, *, urgent: bool = False) -> None:
        """Ask for a tick now, or in a moment where one has just been."""
        self._wake.set()
        if urgent:
            self._urgent.set()

    def add_event(self, event: DrEvent) -> None:
        """Let an event bear from its start on, and tick at once; one of the same id is replaced."""
        self.events[event.event_id] = event
        self.changes += 1
        self.wake()

    def drop_event(self, event_id: str) -> None:
        """Forget an event, and tick at once."""
        self.events.pop(event_id, None)
        self.changes += 1
        self.wake()

    def put_program(self, program: DrProgram) -> None:
        """Let a program bear while it is active, and tick at once; one of the same id is replaced."""
        self.programs[program.program_id] = program
        self.changes += 1
        self.wake()

    def drop_program(self, program_id: str) -> None:
        """Forget a program, and tick at once."""
        self.programs.pop(program_id, None)
        self.changes += 1
        self.wake()

    def put_override(self, override: DeviceOverride) -> None:
        """Lay an override upon a device until it ends, and tick at once.

        Raises:
            NotFoundError: There is no such device.
        """
        row = self._row(override.device_id)
        left_s = override.until.timestamp() - self._clock.now_ms() / 1000.0
        self._fleet.override(row, override.kind, p_kw=override.p_kw, until_s=self._clock.monotonic_s() + left_s)
        self.overrides[override.device_id] = override
        self.changes += 1
        self.wake()

    def release(self, device_id: str) -> None:
        """Take an override off a device, and tick at once.

        Raises:
            NotFoundError: There is no such device.
        """
        self._fleet.override(self._row(device_id), None)
        self.overrides.pop(device_id, None)
        self.changes += 1
        self.wake()

    def _row(self, device_id: str) -> int:
        row = self._fleet.row(device_id)
        if row is None:
            raise NotFoundError(
                f"there is no device {device_id}",
                why="no device goes by that name",
                next_step="list the devices and choose one",
            )
        return row

    def observed_load(self, feeder_id: str, metered_kw: float) -> None:
        """Ask for a tick when a head meter reads above the limit in force: that cannot wait for the interval.

        Where the last tick knew of it, its setpoints are given time to be followed, and a load that lies at its limit
        is left to the interval.
        """
        state = self.feeders.get(feeder_id)
        if state is None or state.tree.decision is None:
            return
        nodes, node = state.tree.decision.nodes, state.node
        upper_kw, lower_kw = float(nodes.import_limit_kw[node]), float(nodes.export_limit_kw[node])
        excess_kw, limit_kw = max((metered_kw - upper_kw, upper_kw), (-metered_kw - lower_kw, lower_kw))
        followed = self.last_tick_s is None or self._clock.monotonic_s() - self.last_tick_s >= _FOLLOW_S
        known = feeder_id in state.tree.over
        if excess_kw > (_CLEARLY * limit_kw if known else 0.0) and (followed or not known):
            self.wake(urgent=True)

    async def run(self) -> None:
        """Tick until cancelled."""
        due_s = self._clock.monotonic_s()
        while True:
            started_s = self._clock.monotonic_s()
            self._metrics.tick_lateness_seconds.observe(max(started_s - due_s, 0.0))
            self._wake.clear()
            self._urgent.clear()
            self.tick()
            self.on_tick()
            due_s = started_s + self._params.interval_s
            # Between two that were asked for there is always a gap in which ingest and the API get their turn.
            gap_s = min(max(self._clock.monotonic_s() - started_s, _URGENT_GAP_S), _MIN_GAP_S)
            await asyncio.sleep(gap_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MIN_GAP_S - gap_s):
                    await self._urgent.wait()
            try:
                async with asyncio.timeout(self._until_next(due_s)):
                    await self._wake.wait()
                due_s = self._clock.monotonic_s()
            except TimeoutError:
                pass

    def _until_next(self, due_s: float) -> float:
        """Seconds until the interval is over or an event or program starts or ends, whichever is first."""
        now_s = self._clock.now_ms() / 1000.0
        windows = [(event.start, event.end) for event in self.events.values() if event.cancelled_at is None]
        windows += [(program.start, program.end) for program in self.programs.values() if program.active]
        edges = [edge.timestamp() - now_s for window in windows for edge in window]
        left_s = due_s - self._clock.monotonic_s()
        return max(min([left_s, *(edge + 0.001 for edge in edges if edge > 0.0)]), 0.0)

    def tick(self) -> None:
        """Decide for every tree; one whose tick fails does not stop the others."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        now = datetime.fromtimestamp(now_ms / 1000.0, tz=UTC)
        self.events = {key: event for key, event in self.events.items() if event.end > now}
        self.overrides = {key: override for key, override in self.overrides.items() if override.until > now}
        self._metrics.events_active.set(sum(is_active(event, now) for event in self.events.values()))
        self._fleet.let_go(now_s=now_s)
        loads = self._loads(now_s)
        for tree in self.trees:
            if tree.feeders[0].mode is FeederMode.OFF:
                continue
            root = tree.feeders[0].feeder_id
            try:
                self._tick_tree(tree, loads, now=now, now_s=now_s, now_ms=now_ms)
            except Exception:
                self._metrics.tick_failures_total.inc()
                if not tree.failing:
                    log.exception("The tick of feeder %s failed", root)
                tree.failing = True
            else:
                if tree.failing:
                    log.info("The tick of feeder %s works again", root)
                tree.failing = False
        self._notes.count_devices(self.trees)
        self._notes.count_alarms(self.trees)
        self._metrics.last_tick_timestamp_seconds.set(now_ms / 1000.0)
        self.last_tick_s = now_s

    def _loads(self, now_s: float) -> dict[str, float]:
        """What every feeder draws, as of the last tick; before the first one, what its meter reads."""
        loads: dict[str, float] = {}
        for tree in self.trees:
            self._seat(tree)
            if tree.decision is not None and tree.decision.nodes.load_kw.size == len(tree.feeders):
                values = tree.decision.nodes.load_kw
            else:
                values, _ = self._fleet.meters(tree.rows, tree.node, len(tree.feeders), now_s=now_s)
            loads |= zip((feeder.feeder_id for feeder in tree.feeders), np.nan_to_num(values).tolist(), strict=True)
        return loads

    def _seat(self, tree: TreeState) -> None:
        """Bring the tree's rows, and its memory with them, up to the registry as it is now."""
        if tree.registry_version == self._fleet.registry_version:
            return
        parts = [self._fleet.rows_of(feeder.feeder_id) for feeder in tree.feeders]
        rows = np.concatenate(parts)
        if not np.array_equal(rows, tree.rows):
            before = {row: index for index, row in enumerate(tree.rows.tolist())}
            index = np.array([before.get(row, -1) for row in rows.tolist()], dtype=np.int64)
            tree.memory = tree.memory.aligned(index, np.arange(len(tree.feeders)))
        tree.rows = rows
        tree.device_ids = [self._fleet.devices[row].device_id for row in rows.tolist()]
        tree.node = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        tree.layout = Layout.of(np.array(parents_of(tree.feeders), dtype=np.int64), tree.node)
        tree.registry_version = self._fleet.registry_version

    def _tick_tree(
        self, tree: TreeState, loads: Mapping[str, float], *, now: datetime, now_s: float, now_ms: int
    ) -> None:
        started_s = self._clock.monotonic_s()
        elapsed_s = self._params.interval_s if tree.last_s is None else now_s - tree.last_s
        metered_kw, metered_age_s = self._fleet.meters(tree.rows, tree.node, len(tree.feeders), now_s=now_s)
        picture = Picture(
            dt_s=min(elapsed_s, 3.0 * self._params.interval_s),
            nodes=nodes_of(tree.feeders, metered_kw, metered_age_s),
            constraints=constraints_on(
                {feeder.feeder_id: node for node, feeder in enumerate(tree.feeders)},
                self.events.values(),
                self.programs.values(),
                now,
                loads,
                {key: state.feeder.parent_id for key, state in self.feeders.items()},
            ),
            devices=self._fleet.columns(tree.rows, tree.node, now_s=now_s, now_ms=now_ms),
            policy=tree.feeders[0].policy,
        )
        decision, tree.memory = decide(picture, tree.memory, self._params, tree.layout)
        epoch, tree.duty = self._authority.epoch, self._authority.duty(tree.feeders[0].feeder_id)
        if tree.duty is not Duty.LEADS:
            # Decided all the same, so that those who look here see what there is, and a takeover begins with it.
            decision = only_safe(decision, picture.devices, self._params, keeps=tree.duty is Duty.KEEPS)
        tree.picture, tree.decision = picture, decision
        tree.last_s, tree.decided_ms = now_s, now_ms
        tree.ticks += 1
        leads = tree.duty is not Duty.STANDS_BY
        if leads:
            sent = self._leasing.send(tree, self._still(tree, epoch), epoch=epoch, now_s=now_s, now_ms=now_ms)
        device_ids, node_ids = self._ids(tree)
        raised = alarms_of(picture, decision, self._params, node_ids, device_ids, tree.alarms, now_ms)
        if not leads:
            tree.alarms = raised
            return
        self._notes.note_alarms(tree, raised)
        self._notes.note(tree, epoch=epoch, sent=sent, duration_s=self._clock.monotonic_s() - started_s)
        if now_s - tree.remembered_s >= _REMEMBER_S:
            tree.remembered_s = now_s
            payload = to_json(tree.memory, device_ids, node_ids)
            self._recorder.put_memory(MemoryRecord(tree.feeders[0].feeder_id, now_ms, epoch, payload))

    def _still(self, tree: TreeState, epoch: int) -> Callable[[], bool]:
        """Whether what is decided now may be said later: what was decided as the leader, as long as it leads."""
        root, decided_as, authority = tree.feeders[0].feeder_id, tree.duty, self._authority

        def still() -> bool:
            duty = authority.duty(root)
            return authority.epoch == epoch and (duty is Duty.LEADS or (duty is decided_as is Duty.KEEPS))

        return still
