"""Which limits are in force on a feeder, and who set them. Pure.

DR only tightens: every rule here is a minimum, so nothing can lift a feeder above its own limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from derms.columns import Constraint, FeederState

STATIC = "static"
"""The source of the feeder's own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most restrictive limit in each direction and its source [kW]."""

    import_kw: float
    import_source: str
    export_kw: float
    export_source: str
    shed_limits: tuple[tuple[str, float], ...]
    """To be remembered: what each active shed came to."""


def limits_in_force(
    feeder: FeederState,
    constraints: Iterable[Constraint],
    *,
    load_kw: float,
    remembered: tuple[tuple[str, float], ...],
) -> Limits:
    """Combine the static limit with every active DR constraint.

    A shed becomes an import limit once, when it is first seen: what the feeder drew then, less the shed. From then on
    it stands still; taking it anew from a load that it has already lowered would shed again at every tick.

    Args:
        feeder: The feeder and its static limits.
        constraints: Active DR events for this feeder.
        load_kw: What the feeder draws now [kW].
        remembered: `Memory.shed_limits`.
    """
    import_kw, import_source = feeder.import_limit_kw, STATIC
    export_kw, export_source = feeder.export_limit_kw, STATIC
    known = dict(remembered)
    sheds: dict[str, float] = {}
    # In the order of their names, so that equal limits are credited to the same event whatever order they came in.
    for constraint in sorted(constraints, key=lambda item: item.source):
        tightest = constraint.import_limit_kw
        if constraint.shed_kw > 0.0:
            sheds[constraint.source] = known.get(constraint.source, max(load_kw - constraint.shed_kw, 0.0))
            tightest = min(tightest, sheds[constraint.source])
        if tightest < import_kw:
            import_kw, import_source = tightest, constraint.source
        if constraint.export_limit_kw < export_kw:
            export_kw, export_source = constraint.export_limit_kw, constraint.source
    return Limits(
        import_kw=import_kw,
        import_source=import_source,
        export_kw=export_kw,
        export_source=export_source,
        shed_limits=tuple(sheds.items()),
    )
