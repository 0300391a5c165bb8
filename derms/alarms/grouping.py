"""Many at once are one: a storm of alarms of one kind becomes a single alarm. Pure.

A device that was silent alone keeps its own alarm. Once more than `ALONE` of a kind stand or are about to, those that
come are counted into one alarm about many, and stay there until they are well.
"""

from collections.abc import Iterable, Set

from derms.alarms.machine import Condition

ALONE = 5
"""So many of a kind have an alarm each."""
MANY = "*"
"""The subject of the alarm about many."""
_NAMED = 3


def grouped(conditions: Iterable[Condition], standing: Set[str]) -> list[Condition]:
    """Put the conditions of one kind together.

    Args:
        conditions: What is wrong now, each about something else.
        standing: The subjects of the alarms of this kind that are raised or whose on-delay runs.

    Returns:
        Conditions, each with the subject of the alarm it belongs to.
    """
    found = list(conditions)
    apart = [one for one in found if one.subject in standing]
    new = [one for one in found if one.subject not in standing]
    if not new or (MANY not in standing and len(apart) + len(new) <= ALONE):
        return found
    return [*apart, _together(new)]


def _together(found: list[Condition]) -> Condition:
    first = sorted(found, key=lambda one: one.subject)
    names = ", ".join(one.subject for one in first[:_NAMED])
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return Condition(
        kind=first[0].kind,
        subject=MANY,
        cause=f"{len(first)} at once: {names}{more}; of {first[0].subject}: {first[0].cause}",
        raises=any(one.raises for one in first),
    )
