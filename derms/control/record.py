"""The record of a tick: the decision log, the metrics, and what starts or ends in the log."""

import logging
from collections.abc import Iterable

import numpy as np

from derms.columns import BATTERY, EV, KINDS, PV, Freshness, Ints
from derms.control.alarm_kinds import Alarm, AlarmKind
from derms.control.ledger import Ledger
from derms.control.tallies import tally
from derms.control.trees import FeederTick, NodeView, TreeState
from derms.fleet import Fleet
from derms.metrics import Metrics
from derms.model import DecisionRecord, DeviceKind, FeederMode
from derms.ports import Duty
from derms.recorder import Recorder

_LOGGED = 20
"""Alarms of one tick that are logged one by one: a tick is not to wait for thousands of lines."""

log = logging.getLogger(__name__)


class TickRecord:
    """Writes down what ticks decided."""

    def __init__(self, *, fleet: Fleet, recorder: Recorder, metrics: Metrics, ledger: Ledger | None = None) -> None:
        """Prepare; nothing is written yet."""
        self._ledger = ledger
        self._fleet = fleet
        self._recorder = recorder
        self._metrics = metrics

    def note(self, tree: TreeState, *, epoch: int, sent: Ints, duration_s: float) -> None:
        """Write each feeder's line into the decision log, the metrics and, when it starts or ends, the log."""
        self._metrics.tick_duration_seconds.observe(duration_s)
        if tree.picture is None or tree.decision is None or tree.layout is None:
            return
        tallies = tally(tree.picture, tree.decision, tree.layout)
        if self._ledger is not None:
            self._ledger.note(tree, tallies)
        self._gauge_types(tree)
        for node, feeder in enumerate(tree.feeders):
            view = FeederTick(tree, node).view
            if view is None or feeder.mode is FeederMode.OFF:
                continue
            self._recorder.put_decision(
                DecisionRecord(
                    feeder_id=feeder.feeder_id,
                    at_ms=tree.decided_ms,
                    epoch=epoch,
                    tick=tree.ticks,
                    mode=feeder.mode,
                    import_limit_kw=_finite(view.import_limit_kw),
                    limit_source=view.import_source,
                    measured_kw=_finite(view.measured_kw),
                    background_kw=view.background_kw,
                    reserved_kw=view.reserved_kw,
                    headroom_kw=_finite(view.headroom_kw),
                    commanded_kw=view.commanded_kw,
                    shortfall_kw=view.shortfall_kw,
                    envelope_kw=view.envelope_import_kw,
                    envelope_in_s=view.envelope_import_s,
                    setpoints_sent=int(sent[node]),
                    duration_ms=duration_s * 1000.0,
                    load_kw=_finite(view.load_kw),
                    export_limit_kw=_finite(view.export_limit_kw),
                    export_source=view.export_source,
                    export_shortfall_kw=view.export_shortfall_kw,
                    pv_kw=float(tallies.pv_kw[node]),
                    battery_kw=float(tallies.battery_kw[node]),
                    ev_kw=float(tallies.ev_kw[node]),
                    base_kw=float(tallies.base_kw[node]),
                    deferred_kw=float(tallies.deferred_kw[node]),
                    curtailed_kw=float(tallies.curtailed_kw[node]),
                )
            )
            self._gauge(feeder.feeder_id, view)
            self._gauge_dr(tree, node)
            self._note_excess(tree, feeder.feeder_id, view)
        log.debug(
            "tick",
            extra={"feeder": tree.feeders[0].feeder_id, "tick": tree.ticks, "sent": int(sent.sum()),
                   "duration_ms": round(duration_s * 1000.0, 2)},
        )  # fmt: skip

    def _gauge(self, feeder_id: str, view: NodeView) -> None:
        metrics = self._metrics
        metrics.feeder_load_kw.labels(feeder_id).set(view.load_kw)
        metrics.feeder_import_limit_kw.labels(feeder_id).set(view.import_limit_kw)
        metrics.feeder_export_limit_kw.labels(feeder_id).set(view.export_limit_kw)
        metrics.feeder_headroom_kw.labels(feeder_id).set(view.headroom_kw)
        metrics.feeder_commanded_kw.labels(feeder_id).set(view.commanded_kw)
        metrics.feeder_reserved_kw.labels(feeder_id).set(view.reserved_kw)
        metrics.feeder_shortfall_kw.labels(feeder_id).set(view.shortfall_kw)
        metrics.feeder_envelope_kw.labels(feeder_id).set(view.envelope_import_kw)

    def _gauge_types(self, tree: TreeState) -> None:
        """What each type was allocated, how far EVs and batteries are from that, and how old leases grow."""
        picture, decision = tree.picture, tree.decision
        if picture is None or decision is None or tree.layout is None:
            return
        devices, metrics = picture.devices, self._metrics
        told = np.isfinite(decision.target_kw)
        names = [feeder.feeder_id for feeder in tree.feeders]
        for code in (PV, BATTERY, EV):
            sums = tree.layout.sums(np.where(told & (devices.kind == code), decision.target_kw, 0.0))
            for name, value in zip(names, sums.tolist(), strict=True):
                metrics.feeder_allocated_kw.labels(name, KINDS[code].value).set(value)
        off = np.abs(devices.p_actual_kw - devices.lease_kw)
        counts = np.isfinite(off) & (decision.freshness == Freshness.GOOD) & (devices.kind != PV)
        total, number = tree.layout.sums(np.where(counts, off, 0.0)), tree.layout.sums(counts.astype(np.float64))
        for name, value in zip(names, (total / np.maximum(number, 1.0)).tolist(), strict=True):
            metrics.feeder_tracking_error_kw.labels(name).set(value)
        # Who has never had a lease, or is not to have one any more, is none that was let down.
        led = told & np.isfinite(devices.lease_kw) & (decision.freshness == Freshness.GOOD)
        part = np.clip(devices.lease_left_s / np.maximum(decision.life_s, 1e-9), 0.0, 1.0)
        least = np.ones(len(names))
        np.minimum.at(least, tree.node[led], part[led])
        for name, value in zip(names, least.tolist(), strict=True):
            metrics.feeder_lease_left_ratio.labels(name).set(value)

    def _gauge_dr(self, tree: TreeState, node: int) -> None:
        nodes, decision = tree.memory.nodes, tree.decision
        assert decision is not None
        bears = np.isfinite(nodes.event_kw[node]) and nodes.since_event_s[node] == 0.0
        below = nodes.event_peak_kw[node] - decision.nodes.load_kw[node] if bears else 0.0
        self._metrics.feeder_dr_shed_kw.labels(tree.feeders[node].feeder_id).set(max(np.nan_to_num(below), 0.0))

    def _note_excess(self, tree: TreeState, feeder_id: str, view: NodeView) -> None:
        """Log when a feeder comes above a limit, and when it is back."""
        exceeds_import = view.load_kw > view.import_limit_kw
        over = exceeds_import or -view.load_kw > view.export_limit_kw or view.shortfall_kw > 0.0
        limit_kw = view.export_limit_kw if -view.load_kw > view.export_limit_kw else view.import_limit_kw
        keys = {"feeder": feeder_id, "load_kw": round(view.load_kw, 2), "limit_kw": limit_kw,
                "shortfall_kw": round(view.shortfall_kw, 2)}  # fmt: skip
        if over and feeder_id not in tree.over:
            if exceeds_import or -view.load_kw > view.export_limit_kw:
                direction = "import" if exceeds_import else "export"
                log.warning("Feeder %s is above its %s limit", feeder_id, direction, extra=keys)
            else:
                log.warning("Feeder %s cannot hold its import limit with what it controls", feeder_id, extra=keys)
            tree.over.add(feeder_id)
        elif not over and feeder_id in tree.over:
            log.info("Feeder %s is within its limits again", feeder_id, extra=keys)
            tree.over.discard(feeder_id)

    def note_alarms(self, tree: TreeState, alarms: tuple[Alarm, ...]) -> None:
        """Take over the alarms of a tick; log those that begin to stand and those that are over."""
        # What stays as it was is the same object; there may be thousands of them.
        kept = {id(alarm) for alarm in tree.alarms} & {id(alarm) for alarm in alarms}
        before = {(alarm.kind, alarm.subject) for alarm in tree.alarms if id(alarm) not in kept and alarm.stands}
        now = {(alarm.kind, alarm.subject): alarm for alarm in alarms if id(alarm) not in kept and alarm.stands}
        raised = [alarm for key, alarm in now.items() if key not in before]
        for alarm in raised[:_LOGGED]:
            log.warning(
                "Alarm: %s",
                alarm.cause,
                extra={"alarm": alarm.kind.value, "subject": alarm.subject, "severity": alarm.severity.value,
                       "consequence": alarm.consequence, "response": alarm.response},
            )  # fmt: skip
        over = sorted(before - now.keys())
        for kind, subject in over[:_LOGGED]:
            log.info("The alarm is over", extra={"alarm": kind.value, "subject": subject})
        more = [
            f"{len(each) - _LOGGED} {word}" for each, word in ((raised, "begin"), (over, "end")) if len(each) > _LOGGED
        ]
        if more:
            log.warning("Of further alarms %s in the same tick", " and ".join(more))
        tree.alarms = alarms

    def count_alarms(self, trees: Iterable[TreeState]) -> None:
        """Set the gauge of standing alarms by kind: those of trees that this controller commands."""
        counts = dict.fromkeys(AlarmKind, 0)
        for tree in trees:
            # Who stands by finds them too, but it is for the one that commands to raise them.
            for alarm in () if tree.duty is Duty.STANDS_BY else tree.alarms:
                counts[alarm.kind] += alarm.stands
        for kind, count in counts.items():
            self._metrics.alarms.labels(kind.value).set(count)

    def count_devices(self, trees: Iterable[TreeState]) -> None:
        """Set the gauges of devices by type and freshness, for all feeders at once."""
        counts: dict[tuple[str, DeviceKind, str], int] = {}
        freshness = [each.name.lower() for each in Freshness]
        for tree in trees:
            if tree.decision is None or tree.decision.freshness.size != tree.rows.size:
                continue
            kinds = self._fleet.kinds(tree.rows)
            codes = (tree.node * len(KINDS) + kinds) * len(Freshness) + tree.decision.freshness
            code, count = np.unique(codes, return_counts=True)
            rest, fresh = np.divmod(code, len(Freshness))
            columns = (*np.divmod(rest, len(KINDS)), fresh, count)
            for node, kind, at, number in zip(*(column.tolist() for column in columns), strict=True):
                counts[tree.feeders[node].feeder_id, KINDS[kind], freshness[at]] = number
        self._metrics.set_devices(counts)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
