"""The demo's live view on a terminal: a function of the newest moment."""

import logging
from collections import deque
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.events import EventOut
from derms.demo import Moment, Stage
from derms.model import DeviceKind, Origin
from derms.plot import sparkline
from derms.wording.powers import activity, direction

_BAR_CELLS = 60
_DEVICES = 14
_HISTORY = 120


class FeederView:
    """Keeps the newest moment and draws it when asked."""

    def __init__(self) -> None:
        """Nothing to show yet."""
        self._stage: Stage | None = None
        self._moment: Moment | None = None
        self._events: deque[EventOut] = deque(maxlen=3)
        self._heads: deque[float] = deque(maxlen=_HISTORY)
        self.log_handler = _LastLines()

    def set_stage(self, stage: Stage) -> None:
        """Everything is up."""
        self._stage = stage

    def set_moment(self, moment: Moment) -> None:
        """A new picture."""
        self._moment = moment
        self._heads.append(moment.true_head_kw)

    def add_event(self, event: EventOut) -> None:
        """A DR event was created."""
        self._events.append(event)

    def __rich__(self) -> RenderableType:
        """Draw."""
        if self._moment is None or self._stage is None:
            return Panel(Text("Starting broker, database, controller and feeder ..."), title="derms demo")
        return Group(
            self._head(self._stage, self._moment),
            self._fleet(self._moment),
            self._devices(self._moment),
            Text("\n".join(self.log_handler.lines), style="yellow"),
            Text("Ctrl-C ends it with a report", style="dim"),
        )

    def _head(self, stage: Stage, moment: Moment) -> Panel:
        feeder = moment.feeder
        hours, minutes = divmod(int(moment.simulated_s // 60), 60)
        limit_kw = feeder.import_limit_kw or 0.0
        peak_kw = max(stage.scenario.uncontrolled_peak_kw, limit_kw, 1.0)
        over = moment.true_head_kw > limit_kw
        lines = [
            Text(f"simulated day {hours:02d}:{minutes:02d}   broker {stage.broker_url}"),
            Text(f"API {stage.api_url}   derms login {stage.username}, password {stage.password}"),
            _bar(moment.true_head_kw, limit_kw, peak_kw),
            Text.assemble(
                f"head {direction(moment.true_head_kw)}   limit {limit_kw:.0f} kW   ",
                ("OVER" if over else "WITHIN", "bold red" if over else "bold green"),
                f"   headroom {feeder.headroom_kw or 0.0:.1f} kW   reserved {feeder.reserved_kw:.1f} kW   "
                f"without control {stage.scenario.uncontrolled_peak_kw:.0f} kW",
            ),
            Text(sparkline(list(self._heads), len(self._heads), low=0.0, high=peak_kw), style="cyan"),
            self._event_line(),
        ]
        return Panel(Group(*lines), title=f"{feeder.name or feeder.feeder_id}", title_align="left")

    def _event_line(self) -> Text:
        if not self._events:
            return Text("no DR event yet")
        event, now = self._events[-1], datetime.now(UTC)
        if now >= event.end:
            return Text(f"DR event {event.event_id} is over (import limit {event.import_limit_kw:.0f} kW)")
        left_s = (event.end - now).total_seconds()
        return Text(
            f"DR event {event.event_id}: import limit {event.import_limit_kw:.0f} kW for {left_s:.0f} s more",
            style="bold magenta",
        )

    def _fleet(self, moment: Moment) -> Table:
        feeder = moment.feeder
        table = Table(expand=True, box=None, pad_edge=False)
        for name in ("PV", "EV", "battery", "load", "unmetered", "leases acknowledged", "samples stored", "setpoints"):
            table.add_column(name)
        leased = [device.lease for device in moment.devices if device.lease is not None]
        table.add_row(
            direction(feeder.pv_kw),
            direction(feeder.ev_kw),
            direction(feeder.battery_kw),
            direction(feeder.base_kw),
            direction(feeder.background_kw),
            f"{sum(lease.acknowledged for lease in leased)} of {len(leased)}",
            str(moment.stored),
            str(moment.sent),
        )
        return table

    def _devices(self, moment: Moment) -> Table:
        table = Table(expand=True, title=f"{len(moment.devices)} devices", title_justify="left")
        for name, right in (
            ("device", False), ("", False), ("type", False), ("SOC", True), ("prio", True), ("does", False),
            ("power", True), ("setpoint", True), ("why", False),
        ):  # fmt: skip
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
        for device in _shown(moment.devices):
            lease = device.lease
            table.add_row(
                device.device_id,
                Text("PI", style="bold black on yellow") if device.origin is Origin.PHYSICAL else "",
                device.type.value,
                "" if device.soc is None else f"{device.soc:.0%}",
                str(device.priority),
                activity(device.p_actual_kw or 0.0) if device.type in (DeviceKind.EV, DeviceKind.BATTERY) else "",
                "" if device.p_actual_kw is None else direction(device.p_actual_kw),
                "" if lease is None else direction(lease.p_setpoint_kw),
                "" if lease is None else lease.reason,
            )
        return table


class _LastLines(logging.Handler):
    """Keeps the newest warnings for the view."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=3)

    def emit(self, record: logging.LogRecord) -> None:
        # Of what is merely good to know, only that the limit is held again: the warning before it must not stand alone.
        if record.levelno >= logging.WARNING or record.name == "derms.control.loop":
            self.lines.append(f"{record.levelname:<7} {record.getMessage()}")


def _shown(devices: list[DeviceOut]) -> list[DeviceOut]:
    """The physical ones, then those that draw or push the most."""
    controlled = [device for device in devices if device.type in (DeviceKind.EV, DeviceKind.BATTERY, DeviceKind.PV)]
    controlled.sort(key=lambda device: (device.origin is not Origin.PHYSICAL, -abs(device.p_actual_kw or 0.0)))
    return controlled[:_DEVICES]


def _bar(head_kw: float, limit_kw: float, scale_kw: float) -> Text:
    filled = round(_BAR_CELLS * max(head_kw, 0.0) / scale_kw)
    mark = min(round(_BAR_CELLS * limit_kw / scale_kw), _BAR_CELLS - 1)
    bar = Text()
    for cell in range(_BAR_CELLS):
        if cell == mark:
            bar.append("|", style="bold magenta")
        elif cell < filled:
            bar.append("█", style="red" if cell > mark else "green")
        else:
            bar.append("░", style="dim")
    return bar
