"""Which trees fall to whom where several controllers share them. Pure.

Who commands a tree keeps it; only what is free is given out, and who has two more than another gives one back. So the
numbers come to differ by one at most, and nothing moves without need.
"""

from collections.abc import Collection, Mapping


def falls_to(me: str, free: Collection[str], held: Mapping[str, int]) -> set[str]:
    """Which of the free trees fall to one controller: each to who has fewest, by the same rule at all of them.

    Args:
        me: Its instance.
        free: Roots that nobody commands.
        held: How many each controller commands that lives and could command more, by instance; also `me`.
    """
    counts = dict(held)
    mine = set()
    for root in sorted(free):
        least = min(counts, key=lambda instance: (counts[instance], instance))
        counts[least] += 1
        if least == me:
            mine.add(root)
    return mine


def has_too_many(me: str, held: Mapping[str, int]) -> bool:
    """Whether one controller commands so many that another had better have one of them."""
    return held[me] >= min(held.values()) + 2
