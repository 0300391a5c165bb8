"""What an event or a program is expected to do, in lines."""

from typing import TYPE_CHECKING

from derms.cli.command import Run
from derms.wording.instants import span

if TYPE_CHECKING:
    from derms.api.schemas.events import PreviewOut


def expectation(run: Run, told: "PreviewOut") -> list[str]:
    """`5 devices, about 42 kW, 17:00-19:00 CET`, and what is wrong with it."""
    devices = "1 device" if len(told.devices) == 1 else f"{len(told.devices)} devices"
    lines = [f"{devices}, about {told.relief_kw:.0f} kW, {span(told.start, told.end, run.now, utc=run.shared.utc)}"]
    lines += [f"{one.feeder_id} is not on auto: nothing is sent there" for one in told.feeders if not one.sends]
    if told.feasible is False:
        lines.append(f"not enough: {told.shortfall_kw or 0.0:.1f} kW remain that nothing can relieve")
    return lines + told.notes


def show_preview(run: Run, told: "PreviewOut") -> None:
    """Show what is expected of an event or a program."""

    def lines() -> str:
        parts = expectation(run, told)
        for device in told.devices:
            now = "?" if device.now_kw is None else f"{device.now_kw:.1f}"
            parts.append(f"  {device.device_id:<20} {now:>8} -> {device.expected_kw:.1f} kW")
        return "".join(f"{line}\n" for line in parts)

    run.thing(told, "preview", lines)
