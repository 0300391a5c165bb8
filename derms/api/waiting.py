"""Waiting for the store, within bounds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from derms.errors import StoreError

STORE_TIMEOUT_S = 10.0
"""What a request gives the store [s]."""


@contextlib.asynccontextmanager
async def store_answers(what: str, *, next_step: str = "try again") -> AsyncIterator[None]:
    """Give the store so long, and no longer.

    Args:
        what: What the one who asks is told when it takes longer.
        next_step: What they should do then.

    Raises:
        StoreError: It took longer; what was to be written may or may not be.
    """
    try:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise StoreError(what, why=f"the store took more than {STORE_TIMEOUT_S:g} s", next_step=next_step) from error
