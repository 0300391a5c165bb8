"""The bounds of time: ramps, room that is not free yet, and turns. Pure."""

from typing import assert_never

import numpy as np

from derms.columns import REVERT_S, Floats, Reason
from derms.control.cause import Bound, BoundKind, Case
from derms.control.dynamics import occupied_kw
from derms.control.obedience import plausible_kw
from derms.control.why_nodes import left_kw, raise_remedy
from derms.control.words import allowed_text, kw_text, wait_text
from derms.model import Policy

_SLIGHT_KW = 1e-6


def ramp(case: Case) -> Bound:
    """What keeps the setpoint below its share for now."""
    binding = case.binds(BoundKind.RAMP)
    words, remedies = _slowed(case) if binding else ("no ramp holds it back, and its room is free", ())
    return Bound(
        kind=BoundKind.RAMP,
        subject=case.device,
        source="controller",
        limit_kw=case.setpoint_kw if binding else None,
        binding=binding,
        words=words,
        remedies=remedies,
    )


def _slowed(case: Case) -> tuple[str, tuple[str, ...]]:
    """Why it is not at its share yet, and when it will be."""
    course = f"on its way to {allowed_text(case.share_kw, case.kind)}"
    if not case.is_pv and abs(case.share_kw - case.setpoint_kw) <= _SLIGHT_KW:
        most = allowed_text(case.at(case.decision.cap_kw), case.kind)
        return f"it stays near its share, so that few need to move; it could have {most}", (
            "it rises when it is further off its share, or when there is more room",
        )
    nodes, devices, params = case.picture.nodes, case.devices, case.params
    unheard = np.isfinite(nodes.metered_kw) & ~np.isfinite(case.decision.nodes.measured_kw)
    lease, missing = case.at(devices.lease_kw), abs(case.share_kw - case.setpoint_kw)
    blind = [node for node in case.path if unheard[node]]
    if blind and not case.is_pv:
        name, age_s = case.names.nodes[blind[0]], float(nodes.metered_age_s[blind[0]])
        frozen = age_s <= params.stale_after_s
        state = "stands still although what is below it moves" if frozen else f"is silent for {wait_text(age_s)}"
        again = "moves" if frozen else "is heard"
        return f"{course}: the head meter of {name} {state}, so nothing is raised", (
            f"it rises when the head meter of {name} {again} again",
        )
    rating = case.at(devices.p_export_max_kw if case.is_pv else devices.p_import_max_kw)
    if not case.is_pv and abs(case.setpoint_kw - lease) <= _SLIGHT_KW and missing < params.deadband * rating:
        return f"{course}: {kw_text(missing)} is within the deadband of {kw_text(params.deadband * rating)}", (
            "it follows when the difference grows",
        )
    if not case.is_pv and case.setpoint_kw < _ramped_kw(case) - _SLIGHT_KW:
        return _crowded(case, course)
    seconds = float(np.ceil(missing / max(rating, _SLIGHT_KW) * params.ramp_up_s))
    return f"{course}: rises by {kw_text(rating)} in {wait_text(params.ramp_up_s)} at most", (
        f"wait about {wait_text(seconds)}",
    )


def _busy_kw(case: Case) -> Floats:
    """What each flexible device may be drawing at this moment, shape (n,) [kW]."""
    return np.where(case.flexible, occupied_kw(case.devices, plausible_kw(case.devices)), 0.0)


def _ramped_kw(case: Case) -> float:
    """Where its ramp alone would let it be, down to a whole step [kW]."""
    devices, params = case.devices, case.params
    lease = case.at(devices.lease_kw)
    base = lease if np.isfinite(lease) else min(case.at(_busy_kw(case)), case.share_kw)
    least = float(np.fmax(case.at(devices.p_min_kw), case.at(devices.p_step_kw)))
    step = max(case.at(devices.p_import_max_kw) * case.picture.dt_s / params.ramp_up_s, least)
    return min(case.share_kw, base + step) - case.at(devices.p_step_kw)


def _crowded(case: Case, course: str) -> tuple[str, tuple[str, ...]]:
    """Its room is given to it, and not free yet."""
    busy, nodes = _busy_kw(case), case.decision.nodes
    free = nodes.headroom_kw - case.tree.subtree(case.devices.node, busy)
    node = min(case.path, key=lambda at: float(free[at]))
    leaving = case.flexible & case.below(node) & (busy > case.decision.target_kw + _SLIGHT_KW)
    leaving[case.row] = False
    if not np.isfinite(free[node]) or not leaving.any():
        return f"{course}: room is not free yet", ("it rises as room becomes free",)
    kw = float(np.sum(busy[leaving] - np.maximum(case.decision.target_kw[leaving], 0.0)))
    left_s = float(np.max(case.devices.may_left_s[leaving]))
    left_s = left_s if left_s > 0.0 else case.params.lease_s + REVERT_S
    words = (
        f"{course}: others below {case.names.nodes[node]} have been told to leave {kw_text(kw)} and may still draw it"
    )
    return words, (f"it rises when they are seen to follow; their older leases are over in {wait_text(left_s)}",)


def minimum(case: Case) -> tuple[Bound, ...]:
    """Smallest power and steps; nothing where it can run at any power."""
    least, step = case.at(case.devices.p_min_kw), case.at(case.devices.p_step_kw)
    if case.is_pv or (least <= 0.0 and step <= 0.0):
        return ()
    words = "runs " + " and ".join(
        ([f"at {kw_text(least)} or more"] if least > 0.0 else [])
        + ([f"in whole steps of {kw_text(step)}"] if step > 0.0 else [])
    )
    binding = case.binds(BoundKind.MINIMUM)
    if binding:
        node = int(case.decision.reason_node[case.row])
        words += f", or not at all: {kw_text(left_kw(case, node))} left at {case.names.nodes[node]}, so it waits"
    return (
        Bound(
            kind=BoundKind.MINIMUM,
            subject=case.device,
            source="registry",
            limit_kw=0.0 if binding else None,
            binding=binding,
            words=words,
            remedies=(raise_remedy(case), _turn(case)) if binding else (),
        ),
    )


def _turn(case: Case) -> str:
    """Who is on next: those that wait share the places of those that run."""
    decision, node = case.decision, int(case.decision.reason_node[case.row])
    here = case.flexible & case.below(node)
    waiting = int(np.sum(here & (decision.reason == Reason.MINIMUM_POWER)))
    running = int(np.sum(here & (decision.share_kw > 0.0) & (case.devices.p_min_kw > 0.0)))
    if not running:
        least = kw_text(case.at(case.devices.p_min_kw))
        return f"no turn comes while there is less than {least} at {case.names.nodes[node]}"
    text = f"wait: {waiting} without power and {running} with power below {case.names.nodes[node]} take turns"
    match case.picture.policy:
        case Policy.DEFICIT | Policy.PROPORTIONAL | Policy.EQUAL:
            waited = case.at(decision.waited_s)
            left = wait_text(max(case.params.wait_max_s - waited, 0.0))
            return f"{text}; it has waited {wait_text(waited)}, and in {left} at the latest it goes first"
        case Policy.LEAST_LAXITY | Policy.SESSIONS | Policy.FAIR:
            return f"{text}; who has least time to spare goes first"
        case Policy.PRIORITY:
            return f"{text} within their priority; a higher one goes first"
    assert_never(case.picture.policy)
