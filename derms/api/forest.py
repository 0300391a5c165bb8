"""What people say of feeders, checked against the forest it would make. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from msgspec import UNSET

from derms.api.checks import check_feeder, check_line
from derms.api.schemas.feeders import FeederIn, FeederPatch
from derms.errors import UsageError
from derms.model import Feeder, Policy


def to_feeder(asked: FeederIn) -> Feeder:
    """The feeder that is asked for, not checked yet."""
    said = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return Feeder(**said | {"policy": asked.policy or Policy.DEFICIT})


def changes_of(patch: FeederPatch) -> dict[str, Any]:
    """The fields that were sent, and what they are to be."""
    return {name: getattr(patch, name) for name in patch.__struct_fields__ if getattr(patch, name) is not UNSET}


def checked(
    feeder: Feeder,
    known: Mapping[str, Feeder],
    *,
    said: bool,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Feeder:
    """A feeder as it is to be, once it is seen that it can be meant.

    Args:
        feeder: As it is, or as it is to be when it is new.
        known: All feeders there are.
        said: Whether its policy is said.
        changes: What is to be changed.

    Raises:
        UsageError: It would stand below itself, its margin leaves nothing of a limit, or its policy has no effect.
        NotFoundError: The parent does not exist.
    """
    wanted = replace(feeder, **changes)
    check_line("name", wanted.name)
    if wanted.parent_id is not None:
        check_feeder(wanted.parent_id, known.keys() | {wanted.feeder_id})
        _refuse_circle(wanted, known)
        if said:
            raise UsageError(
                f"feeder {wanted.feeder_id} is to have a policy and has the parent {wanted.parent_id}",
                why="a whole tree is under the policy of its root",
                next_step="change it there, and leave it out here",
            )
    limits = [limit for limit in (wanted.import_limit_kw, wanted.export_limit_kw) if limit]
    if limits and wanted.margin_kw >= min(limits):
        raise UsageError(
            f"margin_kw is {wanted.margin_kw:g}",
            why=f"it must leave something of the limit, which is {min(limits):g}",
            next_step="lower margin_kw",
        )
    return wanted


def _refuse_circle(wanted: Feeder, known: Mapping[str, Feeder]) -> None:
    way, at = [wanted.feeder_id], wanted.parent_id
    while at is not None:
        way.append(at)
        if at == wanted.feeder_id:
            raise UsageError(
                f"parent_id is {str(wanted.parent_id)[:64]}",
                why=f"the feeders {' -> '.join(way)} would be each other's parents",
                next_step="choose a parent that does not lie below it",
            )
        at = known[at].parent_id
