"""A controller's name is its own: two of one name would throw one another off the broker."""

import asyncio

from derms.errors import ConflictError
from derms.ports import Claimant, LeaseStore

_LOOK_S = 0.25
_QUIET_S = 3.0
"""Whoever has not said for so long that it lives is gone [s]; the living say it every second or more often."""


async def claim_name(store: LeaseStore, me: Claimant, formerly: str) -> None:
    """Claim this controller's name.

    The last run's is had at once where it is known to have ended; otherwise it is watched for a moment.

    Args:
        store: Where names are claimed.
        me: Who claims it.
        formerly: The last run on this state directory.

    Raises:
        ConflictError: Another controller of that name lives.
        StoreError: The store does not answer.
    """
    before_s = float("inf")
    while (ago_s := await store.claim_name(me, formerly=formerly)) is not None:
        if ago_s < before_s < float("inf"):
            raise ConflictError(
                f"the controller id {me.controller_id} is in use",
                why="another controller of that name lives on this database",
                next_step="give each controller its own DERMS_CONTROLLER_ID",
            )
        if ago_s > _QUIET_S:
            await store.claim_name(me, formerly=formerly, seize=True)
            return
        before_s = ago_s
        await asyncio.sleep(_LOOK_S)
