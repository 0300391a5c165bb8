"""One pass of the upkeep in a process of its own, which kills itself before the n-th step: `URL RAW_HOURS N`."""

import asyncio
import os
import random
import signal
import sys

from derms.runtime import SystemClock
from derms.store.retention import Retention
from derms.store.upkeep import Keeping, Upkeep


async def main(url: str, raw_hours: float, last: int) -> None:
    steps = 0

    def count(_step: str) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    keeping = Keeping(raw_hours=raw_hours, retention=Retention(samples=None), step_rows=40)
    upkeep = Upkeep(url, clock=SystemClock(), rng=random.Random(1), keeping=keeping, rests=False, before_step=count)
    await upkeep.once()
    await upkeep.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
