"""What a person should look at: alarms with cause, consequence and response. Pure.

An alarm is raised when its condition has held for some ticks in a row, and is over when it has been gone for some::

    normal ──condition──► pending ──on-delay──► standing ──gone──► clearing ──off-delay──► normal
              gone: normal ◄──┘                     ▲──condition back──┘

Conditions on figures end at a lower figure than they begin at, so that noise raises nothing twice. What follows from
another alarm of the same node is not raised beside it. Nothing is remembered here: the caller hands back the last
answer. Acknowledging and shelving are the operator's and live with whoever shows alarms.

Source: ANSI/ISA-18.2, Management of Alarm Systems for the Process Industries (states, on- and off-delays, deadbands;
every alarm has a cause, a consequence and a response).
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from derms.columns import OFF, Bools, Decision, Floats, Freshness, Params, Picture
from derms.control.alarm_kinds import RULES, Alarm, AlarmKind, Stage
from derms.control.alarm_texts import defaults_texts, rogue_text, silent_texts
from derms.control.limits import RECOVERY
from derms.control.tree import Tree
from derms.control.words import kw_text, load_text, wait_text

_OVER_SHARE, _OVER_KW = 0.005, 0.1
"""Over a limit by more than this share of it, and by more than this [kW], raises an alarm; it ends at the limit."""
_SHORT_KW = 0.05
"""A shortfall above this raises an alarm [kW]; it ends when there is none."""
_SLIGHT_KW = 1e-6
_MOST_DEVICES = 1_000
"""Alarms of single devices of a tree: more are no help to anybody, and would hold up the tick."""
_SAYS_MS = 10_000
"""What stands for a device is put into words again this long after: thousands may, and a tick is not to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """One condition that holds now."""

    kind: AlarmKind
    subject: str
    raises: bool
    """Far enough to raise an alarm; otherwise it only keeps one."""
    cause: str | Callable[[], str]
    """A function where words are to be found only when they are needed."""
    response: str = ""


def alarms_of(
    picture: Picture,
    decision: Decision,
    params: Params,
    node_ids: Sequence[str],
    device_ids: Sequence[str],
    previous: Sequence[Alarm],
    now_ms: int,
) -> tuple[Alarm, ...]:
    """Carry the alarms of one tree on by one tick.

    Args:
        picture: What the tick knew.
        decision: What it decided.
        params: The engine's constants.
        node_ids: The ids of the nodes.
        device_ids: The ids of the devices.
        previous: The answer of the last tick; empty at the first.
        now_ms: The controller's wall clock [epoch ms].

    Returns:
        Alarms by kind and subject, the pending ones among them: show those that stand.
    """
    before = {(alarm.kind, alarm.subject): alarm for alarm in previous}
    after = []
    known_devices = {subject for kind, subject in before if kind is AlarmKind.DISOBEDIENT}
    for finding in _findings(picture, decision, params, node_ids, device_ids, known_devices):
        known = before.pop((finding.kind, finding.subject), None)
        alarm = _held(finding, known, now_ms)
        if alarm is not None:
            after.append(alarm)
    after += [alarm for gone in before.values() if (alarm := _released(gone)) is not None]
    order = {kind: place for place, kind in enumerate(AlarmKind)}
    return tuple(sorted(after, key=lambda alarm: (order[alarm.kind], alarm.subject)))


def _held(finding: _Finding, known: Alarm | None, now_ms: int) -> Alarm | None:
    """One whose condition holds."""
    rule = RULES[finding.kind]
    stood = known is not None and known.stands
    if not (stood or finding.raises):
        return None
    if (
        known is not None
        and known.stage is Stage.STANDING
        and not isinstance(finding.cause, str)
        and 0 <= now_ms - known.said_ms < _SAYS_MS
    ):
        return known
    ticks = 1 if known is None else known.ticks + 1
    stage = Stage.STANDING if stood or ticks >= rule.on_ticks else Stage.PENDING
    return Alarm(
        kind=finding.kind,
        subject=finding.subject,
        severity=rule.severity,
        stage=stage,
        ticks=ticks if stage is Stage.PENDING else 0,
        since_ms=now_ms if known is None else known.since_ms,
        cause=finding.cause if isinstance(finding.cause, str) else finding.cause(),
        consequence=rule.consequence,
        response=finding.response or rule.response,
        said_ms=now_ms,
    )


def _released(alarm: Alarm) -> Alarm | None:
    """One whose condition is gone; None: it is over."""
    ticks = alarm.ticks + 1 if alarm.stage is Stage.CLEARING else 1
    if not alarm.stands or ticks >= RULES[alarm.kind].off_ticks:
        return None
    return replace(alarm, stage=Stage.CLEARING, ticks=ticks)


def _findings(
    picture: Picture,
    decision: Decision,
    params: Params,
    node_ids: Sequence[str],
    device_ids: Sequence[str],
    known_devices: Set[str],
) -> Iterator[_Finding]:
    tree = Tree.of(picture.nodes.parent)
    on = ~tree.down_any(picture.nodes.mode == OFF)
    yield from _over(picture, decision, on, node_ids)
    yield from _short(decision, on, node_ids)
    for row in _rogues(decision.disobedient, device_ids, known_devices):
        words = partial(rogue_text, picture.devices, row)
        yield _Finding(kind=AlarmKind.DISOBEDIENT, subject=device_ids[row], raises=True, cause=words)
    yield from _dead_man(picture, decision, on, tree, node_ids, device_ids)
    nodes = picture.nodes
    blind = on & np.isfinite(nodes.metered_kw) & ~np.isfinite(decision.nodes.measured_kw)
    for row in np.flatnonzero(blind).tolist():
        age_s = float(nodes.metered_age_s[row])
        cause = f"its head meter has not been heard for {wait_text(age_s)}"
        if age_s <= params.stale_after_s:
            cause = (
                f"its head meter stands at {load_text(float(nodes.metered_kw[row]))} although what is below it moves"
            )
        yield _Finding(kind=AlarmKind.METER_SILENT, subject=node_ids[row], raises=True, cause=cause)
    lost = (decision.freshness >= Freshness.LOST) & on[picture.devices.node]
    for row, cause in silent_texts(lost, picture.devices, device_ids, params):
        yield _Finding(kind=AlarmKind.DEVICES_SILENT, subject=node_ids[row], raises=True, cause=cause)


def _rogues(disobedient: Bools, device_ids: Sequence[str], known: Set[str]) -> list[int]:
    """Those that do not follow; of very many those that were told of before, and the first of the others."""
    rows: list[int] = np.flatnonzero(disobedient).tolist()
    if len(rows) <= _MOST_DEVICES:
        return rows
    rows.sort(key=lambda row: device_ids[row] not in known)
    return sorted(rows[:_MOST_DEVICES])


def import_limit_kw(picture: Picture, decision: Decision) -> Floats:
    """The import limit that must be held, shape (m,) [kW]: one that only rises again after an event need not be."""
    nodes = decision.nodes
    recovers = np.array([source == RECOVERY for source in nodes.import_source], dtype=bool)
    return np.where(recovers, picture.nodes.import_limit_kw, nodes.import_limit_kw)


def _over(picture: Picture, decision: Decision, on: Bools, node_ids: Sequence[str]) -> Iterator[_Finding]:
    """What a fresh head meter reads above a limit in force."""
    nodes = decision.nodes
    for kind, sign, limit, sources in (
        (AlarmKind.IMPORT_OVER, 1.0, import_limit_kw(picture, decision), nodes.import_source),
        (AlarmKind.EXPORT_OVER, -1.0, nodes.export_limit_kw, nodes.export_source),
    ):
        measured = sign * nodes.measured_kw
        far = measured > _tolerated(limit)
        for row in np.flatnonzero(on & (measured > limit)).tolist():
            cause = (
                f"{load_text(float(nodes.measured_kw[row]))} measured, {kw_text(float(measured[row] - limit[row]))} "
                f"above the {kind.value.removesuffix('-over')} limit of {kw_text(float(limit[row]))} ({sources[row]})"
            )
            yield _Finding(kind=kind, subject=node_ids[row], raises=bool(far[row]), cause=cause)


def _tolerated(limit_kw: Floats) -> Floats:
    finite = np.where(np.isfinite(limit_kw), limit_kw, 0.0)
    return limit_kw + np.maximum(_OVER_SHARE * finite, _OVER_KW)


def _short(decision: Decision, on: Bools, node_ids: Sequence[str]) -> Iterator[_Finding]:
    """What nothing controllable can relieve."""
    nodes = decision.nodes
    worst = np.maximum(nodes.shortfall_kw, nodes.export_shortfall_kw)
    for row in np.flatnonzero(on & (worst > _SLIGHT_KW)).tolist():
        exports = nodes.export_shortfall_kw[row] > nodes.shortfall_kw[row]
        limit = (nodes.export_limit_kw if exports else nodes.import_limit_kw)[row]
        cause = (
            f"{kw_text(float(worst[row]))} too much {'export' if exports else 'import'} for the limit of "
            f"{kw_text(float(limit))} ({(nodes.export_source if exports else nodes.import_source)[row]})"
        )
        yield _Finding(
            kind=AlarmKind.SHORTFALL, subject=node_ids[row], raises=bool(worst[row] > _SHORT_KW), cause=cause
        )


def _dead_man(
    picture: Picture, decision: Decision, on: Bools, tree: Tree, node_ids: Sequence[str], device_ids: Sequence[str]
) -> Iterator[_Finding]:
    """What would pass a limit without a controller: for a while, or for good."""
    nodes = decision.nodes
    defaults = on & (nodes.default_over_kw > _SLIGHT_KW)
    for row, cause, response in defaults_texts(defaults, picture.devices, nodes, tree, device_ids):
        raises = bool(nodes.default_over_kw[row] > _SHORT_KW)
        yield _Finding(
            kind=AlarmKind.DEFAULTS_OVER, subject=node_ids[row], raises=raises, cause=cause, response=response
        )
    # What is too much already, or for good, is not worth a second alarm.
    apart = on & ~defaults & (np.maximum(nodes.shortfall_kw, nodes.export_shortfall_kw) <= _SLIGHT_KW)
    limit = import_limit_kw(picture, decision)
    imports, exports = nodes.envelope_import_kw > limit, nodes.envelope_export_kw > nodes.export_limit_kw
    far = (nodes.envelope_import_kw > _tolerated(limit)) | (
        nodes.envelope_export_kw > _tolerated(nodes.export_limit_kw)
    )
    for row in np.flatnonzero(apart & (imports | exports)).tolist():
        if imports[row]:
            kw, bound, at_s = nodes.envelope_import_kw[row], limit[row], nodes.envelope_import_s[row]
        else:
            kw, bound, at_s = nodes.envelope_export_kw[row], nodes.export_limit_kw[row], nodes.envelope_export_s[row]
        word = "import" if imports[row] else "export"
        cause = (
            f"without a controller it could {word} {kw_text(float(kw))} {wait_text(float(at_s))} from now, "
            f"{kw_text(float(kw - bound))} above its limit"
        )
        yield _Finding(kind=AlarmKind.ENVELOPE_OVER, subject=node_ids[row], raises=bool(far[row]), cause=cause)
