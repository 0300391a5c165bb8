"""What a DR event or program would do: the engine decides twice on copies of what it knows, without it and with it.

Nothing live is touched: pictures and memories are values, and what comes out of these two decisions is thrown away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from derms.api.schemas.events import DevicePreview, FeederPreview, PreviewBasis, PreviewOut
from derms.columns import Bools, Decision, Floats, Params
from derms.control.decide import decide
from derms.control.demand_response import constraints_on, elastic_fraction
from derms.control.layout import Layout
from derms.control.loop import ControlLoop
from derms.control.trees import TreeState, nodes_of
from derms.fleet import Fleet
from derms.model import DeviceKind, DrEvent, DrProgram, FeederMode, ProgramKind
from derms.ports import Clock
from derms.view.instants import instant

_SLIGHT_KW = 0.01
"""A device of which less is expected is not named [kW]."""
_SHORT_KW = 0.05
"""A shortfall up to this is none [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is to be tried."""

    events: Sequence[DrEvent]
    programs: Sequence[DrProgram]
    others: tuple[Sequence[DrEvent], Sequence[DrProgram]]
    """What there is without it."""
    targets: frozenset[str]
    at: datetime
    """The instant it is tried at: now, or its start where that is later."""
    ahead: bool
    exports: bool
    """It limits the export and nothing else."""


class LivePreviews:
    """Implements `derms.api.view.PreviewView`."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, clock: Clock, params: Params) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._params = params

    def of_event(self, event: DrEvent) -> PreviewOut:
        """What an event is expected to do; nothing changes."""
        events, programs = list(self._loop.events.values()), list(self._loop.programs.values())
        exports = event.import_limit_kw is None and event.shed_kw is None
        now = instant(self._clock.now_ms())
        asked = _Asked(
            events=[*events, event],
            programs=programs,
            others=(events, programs),
            targets=self._targets(event.feeder_ids),
            at=max(now, event.start),
            ahead=event.start > now,
            exports=exports,
        )
        return self._previewed(asked, event.start, event.end, None)

    def of_program(self, program: DrProgram) -> PreviewOut:
        """What a program is expected to do while it bears; nothing changes."""
        events, programs = list(self._loop.events.values()), list(self._loop.programs.values())
        now = instant(self._clock.now_ms())
        asked = _Asked(
            events=events,
            programs=[*programs, replace(program, active=True)],
            others=(events, programs),
            targets=self._targets(program.feeder_ids),
            at=max(now, program.start),
            ahead=program.start > now,
            exports=False,
        )
        share = elastic_fraction(program) if program.kind is ProgramKind.PRICE_ELASTIC else None
        return self._previewed(asked, program.start, program.end, share)

    def _targets(self, named: Sequence[str]) -> frozenset[str]:
        """The feeders meant: those named, or all roots."""
        if named:
            return frozenset(named)
        return frozenset(key for key, state in self._loop.feeders.items() if state.feeder.parent_id is None)

    def _previewed(self, asked: _Asked, start: datetime, end: datetime, share: float | None) -> PreviewOut:
        feeders: list[FeederPreview] = []
        devices: list[DevicePreview] = []
        short_kw: list[float | None] = []
        for tree in self._loop.trees:
            nodes = [node for node, feeder in enumerate(tree.feeders) if feeder.feeder_id in asked.targets]
            if not nodes:
                continue
            decided = tree.picture is not None and tree.decision is not None
            if decided and tree.feeders[0].mode is not FeederMode.OFF:
                found, given = self._decided(tree, nodes, asked)
            else:
                found, given = self._estimated(tree, nodes, asked)
            feeders += found
            devices += given
            upper = {tree.feeders[node].feeder_id for node in _uppermost(tree, nodes)}
            short_kw += [one.shortfall_kw for one in found if one.feeder_id in upper]
        judged = [one.feasible for one in feeders]
        return PreviewOut(
            at=instant(self._clock.now_ms()),
            start=start,
            end=end,
            feasible=False if False in judged else None if None in judged or not judged else True,
            shortfall_kw=None if None in short_kw else sum(kw for kw in short_kw if kw is not None),
            relief_kw=sum(one.relief_kw for one in devices),
            shed_fraction=share,
            notes=_notes(feeders),
            feeders=sorted(feeders, key=lambda one: one.feeder_id),
            devices=sorted(devices, key=lambda one: (-one.relief_kw, one.device_id)),
        )

    def _decided(
        self, tree: TreeState, nodes: list[int], asked: _Asked
    ) -> tuple[list[FeederPreview], list[DevicePreview]]:
        assert tree.picture is not None
        layout = Layout.of(tree.picture.nodes.parent, tree.picture.devices.node)
        without = self._decide(tree, asked.others[0], asked.others[1], asked.at, layout)
        with_it = self._decide(tree, asked.events, asked.programs, asked.at, layout)
        now_kw = tree.picture.devices.p_actual_kw
        expected = _expected_kw(now_kw, without, with_it, exports=asked.exports)
        change = np.where(np.isfinite(now_kw), expected - now_kw, 0.0)
        below = layout.below(np.isin(np.arange(len(tree.feeders)), nodes))
        after = without.nodes.load_kw + layout.sums(change)
        feeders = []
        for node in nodes:
            at, feeder = with_it.nodes, tree.feeders[node]
            short_kw = float(max(at.shortfall_kw[node], at.export_shortfall_kw[node]))
            feeders.append(
                FeederPreview(
                    feeder_id=feeder.feeder_id,
                    basis=PreviewBasis.DECISION_AHEAD if asked.ahead else PreviewBasis.DECISION,
                    sends=self._sends(tree, node),
                    load_before_kw=float(without.nodes.load_kw[node]),
                    load_after_kw=float(after[node]),
                    import_limit_kw=_finite(at.import_limit_kw[node]),
                    export_limit_kw=_finite(at.export_limit_kw[node]),
                    shortfall_kw=short_kw,
                    feasible=short_kw <= _SHORT_KW,
                )
            )
        return feeders, self._named(tree, now_kw, expected, below, exports=asked.exports)

    def _decide(
        self,
        tree: TreeState,
        events: Sequence[DrEvent],
        programs: Sequence[DrProgram],
        at: datetime,
        layout: Layout,
    ) -> Decision:
        assert tree.picture is not None
        before = tree.picture.nodes
        loads = {
            key: 0.0 if state.view is None else float(np.nan_to_num(state.view.load_kw))
            for key, state in self._loop.feeders.items()
        }
        picture = replace(
            tree.picture,
            # As the registry says now, which may be newer than the last tick.
            nodes=nodes_of(tree.feeders, before.metered_kw, before.metered_age_s),
            constraints=constraints_on(
                {feeder.feeder_id: node for node, feeder in enumerate(tree.feeders)},
                events,
                programs,
                at,
                loads,
                {key: state.feeder.parent_id for key, state in self._loop.feeders.items()},
            ),
        )
        return decide(picture, tree.memory, self._params, layout)[0]

    def _estimated(
        self, tree: TreeState, nodes: list[int], asked: _Asked
    ) -> tuple[list[FeederPreview], list[DevicePreview]]:
        """From readings alone: the most that devices could give."""
        feeders = [
            FeederPreview(
                feeder_id=tree.feeders[node].feeder_id,
                basis=PreviewBasis.READINGS,
                sends=self._sends(tree, node),
                load_before_kw=None,
                load_after_kw=None,
                import_limit_kw=None,
                export_limit_kw=None,
                shortfall_kw=None,
                feasible=None,
            )
            for node in nodes
        ]
        found = []
        for node, feeder in enumerate(tree.feeders):
            if not any(_at_or_below(tree, node, target) for target in nodes):
                continue
            for row in self._fleet.rows_of(feeder.feeder_id).tolist():
                found += self._at_most(row, exports=asked.exports)
        return feeders, found

    def _at_most(self, row: int, *, exports: bool) -> list[DevicePreview]:
        device, reading = self._fleet.devices[row], self._fleet.readings[row]
        if reading is None:
            return []
        now_kw = reading.p_actual_kw
        match device.kind:
            case DeviceKind.EV if not exports:
                expected_kw = min(now_kw, 0.0)
            case DeviceKind.BATTERY if not exports:
                full = reading.soc is not None and reading.soc > device.min_soc_reserve
                expected_kw = min(now_kw, -device.p_export_max_kw if full else 0.0)
            case DeviceKind.PV if exports:
                expected_kw = 0.0
            case _:
                return []
        relief_kw = expected_kw - now_kw if exports else now_kw - expected_kw
        return [_device(device.device_id, device.kind, device.feeder_id, now_kw, expected_kw, relief_kw)] * (
            relief_kw > _SLIGHT_KW
        )

    def _named(
        self, tree: TreeState, now_kw: Floats, expected_kw: Floats, below: Bools, *, exports: bool
    ) -> list[DevicePreview]:
        relief = expected_kw - now_kw if exports else now_kw - expected_kw
        found = []
        for at in np.flatnonzero(below & (relief > _SLIGHT_KW)).tolist():
            device = self._fleet.devices[int(tree.rows[at])]
            found.append(
                _device(
                    device.device_id,
                    device.kind,
                    device.feeder_id,
                    float(now_kw[at]),
                    float(expected_kw[at]),
                    float(relief[at]),
                )
            )
        return found

    def _sends(self, tree: TreeState, node: int) -> bool:
        modes = [tree.feeders[at].mode for at in range(len(tree.feeders)) if _at_or_below(tree, node, at)]
        return all(mode is FeederMode.AUTO for mode in modes)


def _expected_kw(now_kw: Floats, without: Decision, with_it: Decision, *, exports: bool) -> Floats:
    """What each device is expected to draw with it, shape (n,) [kW]; NaN where it is not heard.

    A device is expected to move only where it is told less (for the export side: more) than without it, and then to
    draw no more (no less) than that; one that takes less than it is told gives less.
    """
    if exports:
        told = with_it.share_kw > without.share_kw + _SLIGHT_KW
        return np.where(told, np.maximum(now_kw, with_it.share_kw), now_kw)
    told = with_it.share_kw < without.share_kw - _SLIGHT_KW
    return np.where(told, np.minimum(now_kw, with_it.share_kw), now_kw)


def _device(
    device_id: str, kind: DeviceKind, feeder_id: str, now_kw: float, expected_kw: float, relief_kw: float
) -> DevicePreview:
    return DevicePreview(
        device_id=device_id, type=kind, feeder_id=feeder_id, now_kw=now_kw, expected_kw=expected_kw + 0.0,
        relief_kw=relief_kw,
    )  # fmt: skip


def _at_or_below(tree: TreeState, node: int, above: int) -> bool:
    """Whether a node is another one, or lies below it."""
    row = {feeder.feeder_id: at for at, feeder in enumerate(tree.feeders)}
    at: int | None = node
    while at is not None:
        if at == above:
            return True
        parent = tree.feeders[at].parent_id
        at = None if parent is None else row.get(parent)
    return False


def _uppermost(tree: TreeState, nodes: list[int]) -> list[int]:
    return [node for node in nodes if not any(_at_or_below(tree, node, other) for other in nodes if other != node)]


def _notes(feeders: Sequence[FeederPreview]) -> list[str]:
    bases = {one.basis for one in feeders}
    notes = []
    if PreviewBasis.DECISION in bases:
        notes.append("decided on a copy of what the last tick knew")
    if PreviewBasis.DECISION_AHEAD in bases:
        notes.append("decided on what is drawn now; at its start that may be another")
    if PreviewBasis.READINGS in bases:
        notes.append("no tick has decided yet: the most that devices could give by their newest readings")
    silent = [one.feeder_id for one in feeders if not one.sends]
    if silent:
        notes.append(f"nothing would be sent, by their mode, at {', '.join(sorted(silent)[:10])}")
    return notes


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
