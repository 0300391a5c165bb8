"""Feeders -> trees of nodes, parents first. Pure."""

from collections.abc import Iterable

from derms.errors import ConfigError
from derms.model import Feeder


def trees_of(feeders: Iterable[Feeder]) -> list[tuple[Feeder, ...]]:
    """Sort feeders into trees, each with its root first and every parent before its children; by id otherwise.

    Raises:
        ConfigError: A parent does not exist, or a feeder stands below itself.
    """
    known = {feeder.feeder_id: feeder for feeder in feeders}
    children: dict[str | None, list[Feeder]] = {}
    for feeder in sorted(known.values(), key=lambda item: item.feeder_id):
        if feeder.parent_id is not None and feeder.parent_id not in known:
            raise ConfigError(
                f"feeder {feeder.feeder_id} names parent {feeder.parent_id}",
                why="there is no feeder of that id",
                next_step="create the parent first, or name another",
            )
        children.setdefault(feeder.parent_id, []).append(feeder)
    trees = []
    for root in children.get(None, []):
        tree = [root]
        for feeder in tree:
            tree += children.get(feeder.feeder_id, [])
        trees.append(tuple(tree))
    rooted = {feeder.feeder_id for tree in trees for feeder in tree}
    astray = sorted(set(known) - rooted)
    if astray:
        raise ConfigError(
            f"feeders {', '.join(astray)} stand below themselves",
            why="following the parents from one of them comes back to it",
            next_step="give one of them another parent, or none",
        )
    return trees


def parents_of(tree: tuple[Feeder, ...]) -> list[int]:
    """The row of each feeder's parent in its tree; -1 for the root."""
    row = {feeder.feeder_id: index for index, feeder in enumerate(tree)}
    return [-1 if feeder.parent_id is None else row[feeder.parent_id] for feeder in tree]
