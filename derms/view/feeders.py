"""The feeders; everything is of a feeder and of all that lies below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import numpy as np

from derms.api.schemas.events import event_out
from derms.api.schemas.feeders import FeederSummaryOut
from derms.columns import BATTERY, EV, KINDS, LOAD, PV, Floats, Ints, Params
from derms.control.demand_response import is_active, program_bears
from derms.control.forest import parents_of
from derms.control.loop import ControlLoop
from derms.control.trees import FeederTick, NodeView
from derms.fleet import Fleet
from derms.model import DrEvent, EventState, FeederMode
from derms.ports import Clock
from derms.view.instants import instant
from derms.view.roll import FRESHNESS, ORIGINS, Roll, freshness_codes


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the devices of every feeder come to, one row a feeder."""

    kinds: Floats
    """Counts by kind."""
    origins: Floats
    freshness: Floats
    power_kw: Floats
    """Newest readings by kind [kW]."""


class LiveFeeders:
    """Implements `derms.api.view.FeedersView`."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, clock: Clock, params: Params, roll: Roll) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._params = params
        self._roll = roll

    def feeder_ids(self) -> set[str]:
        """The feeders there are."""
        return set(self._loop.feeders)

    def uppermost(self, feeder_ids: Sequence[str]) -> set[str]:
        """Those of some feeders that lie below none of the others."""
        named = set(feeder_ids)
        return {feeder_id for feeder_id in named if not self._above(feeder_id) & named}

    def _above(self, feeder_id: str) -> set[str]:
        above: set[str] = set()
        state = self._loop.feeders.get(feeder_id)
        while state is not None and (parent := state.feeder.parent_id) is not None:
            above.add(parent)
            state = self._loop.feeders.get(parent)
        return above

    def below(self, feeder_id: str) -> set[str]:
        """A feeder and all that lie below it."""
        return self._loop.below(feeder_id)

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, ordered by id."""
        order = {key: row for row, key in enumerate(self._loop.feeders)}
        sums = self._sums(order)
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000.0, tz=UTC)
        return [self._feeder(self._loop.feeders[key], sums, order[key], now) for key in sorted(order)]

    def _sums(self, order: dict[str, int]) -> _Sums:
        parts = [self._fleet.rows_of(key) for key in order]
        rows = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
        feeder = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        kind = self._fleet.kinds(rows)
        fresh = freshness_codes(self._fleet, rows, self._clock.monotonic_s(), self._params)
        power = np.nan_to_num(self._fleet.floats("p_actual_kw", rows))
        sums = _Sums(
            kinds=_table(feeder, kind, len(order), len(KINDS)),
            origins=_table(feeder, self._roll.current().origin[rows], len(order), len(ORIGINS)),
            freshness=_table(feeder, fresh, len(order), len(FRESHNESS)),
            power_kw=_table(feeder, kind, len(order), len(KINDS), power),
        )
        for tree in self._loop.trees:
            nodes = [order[one.feeder_id] for one in tree.feeders]
            for node, parent in reversed(list(zip(nodes, parents_of(tree.feeders), strict=True))):
                if parent >= 0:
                    for table in (sums.kinds, sums.origins, sums.freshness, sums.power_kw):
                        table[nodes[parent]] += table[node]
        return sums

    def _feeder(self, state: FeederTick, sums: _Sums, row: int, now: datetime) -> FeederSummaryOut:
        feeder, view = state.feeder, state.view
        mine = [event for event in self._loop.events.values() if _bears_on(event, feeder.feeder_id)]
        upcoming = sorted((event for event in mine if event.start > now), key=lambda event: event.start)
        off = feeder.mode is FeederMode.OFF or view is None
        power = sums.power_kw[row]
        out = FeederSummaryOut(
            feeder_id=feeder.feeder_id,
            name=feeder.name,
            parent_id=feeder.parent_id,
            mode=feeder.mode,
            policy=state.tree.feeders[0].policy,
            margin_kw=feeder.margin_kw,
            at=None if off else instant(state.decided_ms),
            tick=state.ticks,
            epoch=self._loop.epoch,
            import_limit_kw=feeder.import_limit_kw if view is None else _finite(view.import_limit_kw),
            static_import_limit_kw=feeder.import_limit_kw,
            limit_source="static" if view is None else view.import_source,
            export_limit_kw=feeder.export_limit_kw if view is None else _finite(view.export_limit_kw),
            static_export_limit_kw=feeder.export_limit_kw,
            measured_kw=None if view is None else _finite(view.measured_kw),
            load_kw=0.0 if view is None else view.load_kw,
            background_kw=0.0 if view is None else view.background_kw,
            reserved_kw=0.0 if view is None else view.reserved_kw,
            headroom_kw=None if view is None else _finite(view.headroom_kw),
            commanded_kw=0.0 if view is None else view.commanded_kw,
            shortfall_kw=0.0 if view is None else view.shortfall_kw,
            pv_kw=float(power[PV]),
            battery_kw=float(power[BATTERY]),
            ev_kw=float(power[EV]),
            base_kw=float(power[LOAD]),
            devices_total=int(sums.kinds[row].sum()),
            devices_by_type=_named(KINDS, sums.kinds[row]),
            devices_by_origin=_named(ORIGINS, sums.origins[row]),
            freshness=_named(FRESHNESS, sums.freshness[row]),
            active_events=[event_out(event, EventState.ACTIVE) for event in mine if is_active(event, now)],
            next_event=event_out(upcoming[0], EventState.SCHEDULED) if upcoming else None,
            active_programs=[
                program.program_id
                for program in self._loop.programs.values()
                if program_bears(program, now) and (not program.feeder_ids or feeder.feeder_id in program.feeder_ids)
            ],
        )
        return out if view is None else _with_decision(out, view)


def _with_decision(out: FeederSummaryOut, view: NodeView) -> FeederSummaryOut:
    """With what only a decision can tell."""
    return msgspec.structs.replace(
        out,
        export_limit_source=view.export_source,
        export_headroom_kw=_finite(view.export_headroom_kw),
        export_shortfall_kw=view.export_shortfall_kw,
        envelope_import_kw=_finite(view.envelope_import_kw),
        envelope_import_s=_finite(view.envelope_import_s),
        envelope_export_kw=_finite(view.envelope_export_kw),
        envelope_export_s=_finite(view.envelope_export_s),
        default_over_kw=view.default_over_kw,
    )


def _table(feeder: Ints, code: Ints, feeders: int, codes: int, weights: Floats | None = None) -> Floats:
    """Counts, or sums of weights, by feeder and code; shape (feeders, codes)."""
    flat = np.bincount(feeder * codes + code, weights=weights, minlength=feeders * codes)
    return flat.reshape(feeders, codes).astype(np.float64)


def _named(names: tuple[StrEnum, ...], counts: Floats) -> dict[str, int]:
    return {name.value: int(count) for name, count in zip(names, counts.tolist(), strict=True) if count}


def _bears_on(event: DrEvent, feeder_id: str) -> bool:
    return event.cancelled_at is None and (not event.feeder_ids or feeder_id in event.feeder_ids)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
