"""How the demo is shown: lines for a pipe, a live view for a terminal, and a report at the end of both."""

import asyncio
import logging

from rich.console import Console
from rich.live import Live

from derms.api.schemas.events import EventOut
from derms.cli.live import FeederView
from derms.demo import Demo, DemoOptions, Moment, Stage
from derms.demo_report import DemoReport
from derms.log import configure_logging
from derms.runtime import stop_on_signals
from derms.wording.powers import direction

_LINE_S = 5.0


class _Console(Console):
    """A console that ends well when its reader has had enough."""

    def on_broken_pipe(self) -> None:
        """End with 0, as every other command does; Rich's own 1 would say that the limit was not held."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(0) from None


async def watch(options: DemoOptions, *, live: bool) -> bool:
    """Run the demo and show it.

    Args:
        options: What was asked for.
        live: A live view instead of lines.

    Returns:
        Whether the limit was held.

    Raises:
        DermsError: Something cannot start.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    console = _Console(highlight=False, soft_wrap=True)
    report = await (_watch_live if live else _watch_lines)(options, console, stop)
    print_report(report, console)
    return report.held


async def _watch_lines(options: DemoOptions, console: Console, stop: asyncio.Event) -> DemoReport:
    configure_logging(level="error")
    next_s = 0.0

    def show(moment: Moment) -> None:
        nonlocal next_s
        if moment.elapsed_s >= next_s:
            next_s = moment.elapsed_s + _LINE_S
            console.print(status_line(moment), markup=False)

    def announce(event: EventOut) -> None:
        lasts_s = (event.end - event.start).total_seconds()
        console.print(
            f"DR event {event.event_id}: import limit {event.import_limit_kw:.0f} kW for {lasts_s:.0f} s", markup=False
        )

    console.print("Starting broker, database, controller and feeder ...", markup=False)
    demo = Demo(options, on_stage=lambda stage: print_stage(stage, console), on_moment=show, on_event=announce)
    return await demo.run(stop)


async def _watch_live(options: DemoOptions, console: Console, stop: asyncio.Event) -> DemoReport:
    view = FeederView()
    # Log lines would tear the picture apart: the newest ones are shown in it.
    configure_logging(level="info")
    logging.getLogger().handlers = [view.log_handler]
    with Live(view, console=console, screen=True, refresh_per_second=4, transient=True):
        demo = Demo(options, on_stage=view.set_stage, on_moment=view.set_moment, on_event=view.add_event)
        return await demo.run(stop)


def print_stage(stage: Stage, console: Console) -> None:
    """Say what is up and how to get at it."""
    limit_kw = stage.scenario.feeder.import_limit_kw or 0.0
    peak_kw = stage.scenario.uncontrolled_peak_kw
    kinds: dict[str, int] = {}
    for device in stage.scenario.devices:
        kinds[device.kind.value] = kinds.get(device.kind.value, 0) + 1
    fleet = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    for line in (
        f"broker   {stage.broker_url}  {stage.broker_note}",
        f"API      {stage.api_url}  user {stage.username}, password {stage.password}",
        f"feeder   {len(stage.scenario.members)} devices: {fleet}",
        f"limit    import {limit_kw:.0f} kW; by itself the fleet would draw {peak_kw:.0f} kW "
        f"(the limit is {1 - limit_kw / peak_kw:.0%} below that)",
    ):
        console.print(line, markup=False)


def status_line(moment: Moment) -> str:
    """One line of what is going on."""
    feeder = moment.feeder
    hours, minutes = divmod(int(moment.simulated_s // 60), 60)
    charging = sum(1 for device in moment.devices if device.type == "ev" and (device.p_actual_kw or 0.0) > 0.1)
    event = f"  event {feeder.active_events[0].event_id}" if feeder.active_events else ""
    limit = "none" if feeder.import_limit_kw is None else f"{feeder.import_limit_kw:.0f} kW"
    return (
        f"{moment.elapsed_s:5.0f} s  day {hours:02d}:{minutes:02d}  "
        f"head {direction(moment.true_head_kw)} of {limit}  "
        f"PV {direction(feeder.pv_kw)}  EV {direction(feeder.ev_kw)} ({charging} charging)  "
        f"battery {direction(feeder.battery_kw)}  devices {feeder.devices_total}  "
        f"stored {moment.stored}  setpoints {moment.sent}{event}"
    )


def print_report(report: DemoReport, console: Console) -> None:
    """Say what it came to."""
    lines = [
        "",
        f"limit                  import {report.limit_kw:.0f} kW",
        f"peak without control   import {report.uncontrolled_peak_kw:.1f} kW (same fleet, same sky, simulated)",
        f"peak under control     import {report.peak_kw:.1f} kW",
        f"above the limit        {report.over_share:.1%} of the time, at most {report.longest_over_s:.1f} s on end",
        f"limit used             {report.used_share:.0%} while there was something to hold",
    ]
    for window in report.windows:
        after = window.compliant_after_s
        took = "never complied" if after is None else f"complied after {after:.1f} s"
        lines.append(f"DR event               import {window.limit_kw:.0f} kW, {took} ({window.event_id})")
    lines += [
        f"samples stored         {report.samples_stored} of {report.devices} devices",
        f"setpoints sent         {report.setpoints_sent}",
        "the limit was held" if report.held else "THE LIMIT WAS NOT HELD",
    ]
    for line in lines:
        console.print(line, markup=False)
