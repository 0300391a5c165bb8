"""DR events -> constraints on one feeder. Pure.

Windows are half-open: an event bears on its feeders in ``[start, end)``.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np

from derms.columns import Constraint
from derms.model import DrEvent


def is_active(event: DrEvent, now: datetime) -> bool:
    """Whether an event bears at an instant; its end is not inside."""
    return event.cancelled_at is None and event.start <= now < event.end


def constraints_on(
    feeder_id: str, events: Iterable[DrEvent], now: datetime, loads_kw: Mapping[str, float]
) -> tuple[Constraint, ...]:
    """Collect what active events ask of one feeder.

    A shed is one amount for all its feeders together: each bears the share that it draws of what they draw.

    Args:
        feeder_id: The feeder.
        events: Events, active or not; one without feeders is for all of them.
        now: The controller's wall clock, UTC.
        loads_kw: What every feeder draws now, by id [kW].
    """
    found = []
    for event in events:
        if not is_active(event, now) or (event.feeder_ids and feeder_id not in event.feeder_ids):
            continue
        found.append(
            Constraint(
                source=event.event_id,
                import_limit_kw=np.inf if event.import_limit_kw is None else event.import_limit_kw,
                export_limit_kw=np.inf if event.export_limit_kw is None else event.export_limit_kw,
                shed_kw=0.0 if event.shed_kw is None else event.shed_kw * _share(feeder_id, event, loads_kw),
            )
        )
    return tuple(found)


def _share(feeder_id: str, event: DrEvent, loads_kw: Mapping[str, float]) -> float:
    targets = event.feeder_ids or tuple(loads_kw)
    total = sum(max(loads_kw.get(target, 0.0), 0.0) for target in targets)
    return max(loads_kw.get(feeder_id, 0.0), 0.0) / total if total > 0.0 else 1.0 / len(targets)
