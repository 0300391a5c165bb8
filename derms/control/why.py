"""Why a device has the setpoint it has: the chain of bounds, the one that binds, and what would change it. Pure.

::

    rating -> capability now -> status -> SOC and energy -> uptake -> override
           -> node by node up to the root -> events and programs -> ramp, room not free yet -> smallest power -> lease

Nothing here decides anything: it reads a decision back against the picture it was made from, and names the bound that
the decision's own reason means. For PV read "least" where a bound says "most": its setpoint is the most negative power
allowed.
"""

from dataclasses import replace

from derms.columns import Decision, Params, Picture
from derms.control.cause import Bound, BoundKind, Case, Names, Why
from derms.control.why_device import capability, energy, lease, override, rating, status, uptake
from derms.control.why_nodes import event_bounds, limit_text, node_bounds
from derms.control.why_ramp import minimum, ramp
from derms.control.words import allowed_text


def why(picture: Picture, decision: Decision, params: Params, row: int, names: Names) -> Why:
    """Explain one setpoint.

    Args:
        picture: What the tick knew.
        decision: What it decided.
        params: The engine's constants.
        row: The device's row.
        names: The names of the rows, and what is known of events, programs and overrides.
    """
    case = Case.of(picture, decision, params, names, row)
    bounds = _chain(case)
    has_setpoint = case.setpoint_kw == case.setpoint_kw  # NaN: it is told nothing
    return Why(
        device=case.device,
        setpoint_kw=case.setpoint_kw if has_setpoint else None,
        bounds=bounds,
        words=_answer(case, bounds),
    )


def _chain(case: Case) -> tuple[Bound, ...]:
    own = status(case)
    if not case.is_pv and not case.storage[case.row]:
        return (own,)
    bounds = (
        rating(case),
        capability(case),
        own,
        *(() if case.is_pv else (energy(case),)),
        *uptake(case),
        *override(case),
        *node_bounds(case),
        *event_bounds(case),
        *(() if own.binding else (ramp(case),)),
        *minimum(case),
        lease(case),
    )
    if case.shares:
        return bounds
    # What was given no share is bound by its status alone: a lease that is renewed as it is passes everything else.
    return tuple(bound if bound.binding else replace(bound, limit_kw=None) for bound in bounds)


def _answer(case: Case, bounds: tuple[Bound, ...]) -> str:
    """The answer in one sentence."""
    binding = next((bound for bound in bounds if bound.binding), None)
    if case.setpoint_kw != case.setpoint_kw:
        return f"{case.device} is told nothing" + (f": {binding.words}" if binding else "")
    told = f"{case.device}: {allowed_text(case.setpoint_kw, case.kind)}"
    if binding is None:
        return f"{told}, all it can take"
    if binding.kind is BoundKind.NODE:
        return f"{told}: {limit_text(case, int(case.decision.reason_node[case.row]), exports=case.is_pv)}"
    return f"{told}: {binding.words}"
