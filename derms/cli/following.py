"""`derms dr create --wait`: watch an event until its limits are held."""

import asyncio
import time
from typing import TYPE_CHECKING

from derms.cli.command import Run
from derms.cli.output import ExitCode
from derms.cli.progress import Progress
from derms.errors import UnavailableError
from derms.model import EventState

if TYPE_CHECKING:
    from derms.api.schemas.events import EventOut
    from derms.api.schemas.feeders import FeederSummaryOut
    from derms.client import ApiClient

_LOOK_S = 0.5
_SLOW_S = 1.0
"""What takes no longer than this gets no progress bar."""


async def follow(run: Run, client: "ApiClient", event: "EventOut", patience_s: float) -> int:
    """Wait until every feeder of an event is within its limits.

    Args:
        run: Says on stderr how it goes.
        client: Asked twice a second; that it does not answer for a while is no end.
        event: As it was created.
        patience_s: How long, from the event's start on [s].

    Returns:
        `OK`, or `UNMET`.
    """
    began_s = time.monotonic()
    start_s = max((event.start - run.now).total_seconds(), 0.0)
    if start_s > _LOOK_S:
        run.say(f"waiting for {run.local(event.start)}")
    progress = Progress(run.terminal, wanted=not run.shared.quiet and not run.shared.no_progress)
    first_kw: float | None = None
    try:
        while (waited_s := time.monotonic() - began_s) < start_s + patience_s:
            await asyncio.sleep(_LOOK_S if waited_s >= start_s else min(start_s - waited_s, 30.0))
            try:
                feeders = [one for one in await client.feeder_summary() if one.feeder_id in event.feeder_ids]
                if not any(_bears(one, event) for one in feeders) and (ended := await _ended(client, event)):
                    progress.end()
                    run.say(f"{event.event_id} is {ended.value}; its limits were not held before that")
                    return ExitCode.UNMET
            except UnavailableError:
                continue
            over = [excess_kw(one, event) for one in feeders]
            known = [one for one in over if one is not None]
            if not over or len(known) < len(over):
                continue
            worst_kw = max(known)
            if worst_kw <= 0.0:
                progress.end()
                run.say(f"held after {max(time.monotonic() - began_s - start_s, 0.0):.1f} s")
                return ExitCode.OK
            first_kw = max(first_kw or worst_kw, worst_kw)
            if waited_s > start_s + _SLOW_S:
                progress.show(1.0 - worst_kw / first_kw, f"{worst_kw:.1f} kW too much, {waited_s - start_s:.0f} s")
    finally:
        progress.end()
    run.say(f"not held within {patience_s:g} s; see `derms dr outcome {event.event_id}`")
    return ExitCode.UNMET


def excess_kw(feeder: "FeederSummaryOut", event: "EventOut") -> float | None:
    """By how much the last tick saw a feeder above an event's limits [kW]; None: it has not decided with it yet.

    Give or take what the outcome of an event gives: 0.5 % or 0.1 kW.
    """
    if not _bears(feeder, event):
        return None
    # What a shed becomes is the limit in force.
    limits = [event.import_limit_kw, feeder.import_limit_kw if event.shed_kw is not None else None]
    over = [feeder.load_kw - _with_tolerance(kw) for kw in limits if kw is not None]
    if event.export_limit_kw is not None:
        over.append(-feeder.load_kw - _with_tolerance(event.export_limit_kw))
    return max(over, default=None)


def _bears(feeder: "FeederSummaryOut", event: "EventOut") -> bool:
    decided = feeder.at is not None and feeder.at >= event.start
    return decided and any(one.event_id == event.event_id for one in feeder.active_events)


async def _ended(client: "ApiClient", event: "EventOut") -> EventState | None:
    state = (await client.event(event.event_id)).state
    return state if state in (EventState.OVER, EventState.CANCELLED) else None


def _with_tolerance(limit_kw: float) -> float:
    return limit_kw + max(0.1, 0.005 * limit_kw)
