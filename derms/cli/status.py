"""`derms status`: one screen of what a controller does."""

from typing import TYPE_CHECKING

from derms.cli.command import Run, watching
from derms.cli.formats import Column, Format, Listing, written
from derms.wording.instants import age, span

if TYPE_CHECKING:
    from derms.api.schemas.alarms import AlarmOut
    from derms.api.schemas.feeders import FeederSummaryOut
    from derms.api.schemas.health import HealthOut, PartHealth

_SHOWN_ALARMS = 5


@watching
async def status(run: Run) -> None:
    r"""One screen: the controller's parts, its feeders with load, limit and headroom, its alarms.

    \b
    Examples:
      derms status
      derms status --watch 5s
      derms status -o json | jq -r '.feeders[] | select(.shortfall_kw > 0) | .feeder_id'
    """
    import asyncio

    import msgspec

    from derms.api.schemas.alarms import AlarmOut
    from derms.api.schemas.feeders import FeederSummaryOut
    from derms.api.schemas.health import HealthOut
    from derms.cli.paging import pages

    class StatusOut(msgspec.Struct, frozen=True, kw_only=True):
        """What stands on the screen."""

        url: str
        health: HealthOut
        feeders: list[FeederSummaryOut]
        alarms: list[AlarmOut]

    async with run.client() as client:
        from derms.api.schemas.alarms import AlarmsQuery

        health, feeders, got = await asyncio.gather(
            client.health(), client.feeder_summary(), pages(client.alarms, AlarmsQuery())
        )
    alarms = [one for page in got for one in page.alarms]
    told = StatusOut(url=run.context.url, health=health, feeders=feeders, alarms=alarms)
    run.thing(told, "status", lambda: _screen(run, health, feeders, alarms))


def _screen(run: Run, health: "HealthOut", feeders: "list[FeederSummaryOut]", alarms: "list[AlarmOut]") -> str:
    commit = f" {health.commit}" if health.commit else ""
    lines = [
        f"{run.context.name} {run.context.url}  derms {health.version}{commit}  up {_uptime(health.uptime_s)}",
        "  ".join(_part(name, part) for name, part in health.parts.items()),
        "",
        *_feeders(run, feeders).splitlines(),
    ]
    for feeder in feeders:
        if feeder.shortfall_kw > 0.0:
            lines.append(
                f"{feeder.feeder_id}: {run.power(feeder.shortfall_kw)} too much, and nothing left to relieve it with"
            )
        lines += [
            f"{feeder.feeder_id}: event {event.event_id} {span(event.start, event.end, run.now, utc=run.shared.utc)}"
            f"{f' ({event.reason})' if event.reason else ''}"
            for event in feeder.active_events
        ]
    lines += ["", *_alarms(run, alarms)]
    return "".join(f"{line}\n" for line in lines)


def _part(name: str, part: "PartHealth") -> str:
    state = part.state.value if part.state.value == "ok" else part.state.value.upper()
    return f"{name} {state} ({age(part.age_s).removesuffix(' ago')})"


def _uptime(seconds: float) -> str:
    return age(seconds).removesuffix(" ago")


def _feeders(run: Run, feeders: "list[FeederSummaryOut]") -> str:
    columns: list[Column[FeederSummaryOut]] = [
        Column(name="feeder_id", title="FEEDER", value=lambda one: one.feeder_id),
        Column(name="mode", title="MODE", value=lambda one: one.mode),
        Column(name="is", title="IS", value=_verdict),
        Column(name="load_kw", title="LOAD kW", value=lambda one: one.load_kw),
        Column(name="import_limit_kw", title="LIMIT kW", value=lambda one: one.import_limit_kw),
        Column(name="limit_source", title="SET BY", value=lambda one: one.limit_source),
        Column(name="headroom_kw", title="HEADROOM kW", value=lambda one: one.headroom_kw),
        Column(name="export_limit_kw", title="EXPORT kW", value=lambda one: one.export_limit_kw),
        Column(name="devices_total", title="DEVICES", value=lambda one: one.devices_total),
        Column(name="silent", title="SILENT", value=lambda one: sum(one.freshness.get(key, 0) for key in _SILENT)),
    ]
    # It is one text that is checked as a whole, so it has no colours of its own.
    listing = Listing(kind="feeders", rows=feeders, columns=columns, name=lambda one: one.feeder_id)
    return written(listing, Format.TABLE, run.plain()) or "no feeder is registered\n"


_SILENT = ("stale", "lost", "never")


def _verdict(feeder: "FeederSummaryOut") -> str:
    if feeder.at is None:
        return "STARTING"
    over = feeder.import_limit_kw is not None and feeder.load_kw > feeder.import_limit_kw + 0.05
    under = feeder.export_limit_kw is not None and -feeder.load_kw > feeder.export_limit_kw + 0.05
    return "OVER" if over or under else "within" if _limited(feeder) else "no limit"


def _limited(feeder: "FeederSummaryOut") -> bool:
    return feeder.import_limit_kw is not None or feeder.export_limit_kw is not None


def _alarms(run: Run, alarms: "list[AlarmOut]") -> list[str]:
    if not alarms:
        return ["no alarm"]
    now = run.now
    lines = [f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}, the most urgent first:"]
    for one in alarms[:_SHOWN_ALARMS]:
        since = age((now - one.raised_at).total_seconds())
        lines.append(f"  {one.priority.value:<7} {one.state.value:<9} {one.alarm_id}  {since}: {one.cause}")
    if len(alarms) > _SHOWN_ALARMS:
        lines.append(f"  and {len(alarms) - _SHOWN_ALARMS} more: derms alarm list")
    return lines
