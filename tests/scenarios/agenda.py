"""What happens when in a story: joins, faults, events, programs, overrides. Each entry is an instant and a deed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from derms.control.loop import ControlLoop
from derms.model import (
    Device,
    DeviceOverride,
    DrEvent,
    DrProgram,
    Enrolment,
    Feeder,
    OverrideKind,
    ProgramKind,
)
from tests.scenarios import story
from tests.scenarios.chance import Session, sessions

if TYPE_CHECKING:
    from tests.scenarios.stage import Stage

Deed = Callable[[], Awaitable[None] | None]
Entry = tuple[float, Deed]


def feeder(node: story.Node) -> Feeder:
    """A node as the controller knows it."""
    return Feeder(
        feeder_id=node.id,
        parent_id=node.parent,
        import_limit_kw=node.import_kw,
        export_limit_kw=node.export_kw,
        margin_kw=node.margin_kw,
        assumed_unmetered_kw=node.unmetered_kw,
        mode=node.mode,
        policy=node.policy,
    )


def registration(device: story.Device) -> Device:
    """A device as the operator registered it."""
    return Device(
        device_id=device.id,
        kind=device.kind,
        feeder_id=device.node,
        dialect=device.dialect,
        p_import_max_kw=device.rating_kw,
        p_export_max_kw=device.export_kw,
        p_min_kw=device.min_kw,
        p_step_kw=device.step_kw,
        capacity_kwh=device.capacity_kwh,
        min_soc_reserve=device.reserve,
        target_soc=device.target,
        priority=device.priority,
        default_power_kw=device.default_kw,
    )


def agenda(stage: "Stage") -> list[Entry]:
    """Everything that happens, in order."""
    told = stage.story
    entries: list[Entry] = []
    for row, device in enumerate(stage.devices.told):
        if device.joins_s > 0.0:
            entries.append((device.joins_s, _join(stage, row, device)))
        if device.retires_s < story.FOREVER:
            retired = replace(registration(device), enrolment=Enrolment.RETIRED)
            entries.append((device.retires_s, _do(stage.controller.register, retired)))
    entries += [(event.told_s, _event(stage, event)) for event in told.event]
    entries += [(0.0, _program(stage, program)) for program in told.program]
    for laid in told.override:
        entries.append((laid.at_s, _lay(stage, laid)))
        if laid.release_s < story.FOREVER:
            entries.append((laid.release_s, _release(stage, laid.device)))
    for fault in told.fault:
        entries += _fault(stage, fault)
    for one in sessions(told):
        stage.devices.plugged[one.charger] = False
        entries += [(max(one.arrives_s, 0.0), _do(_arrives, stage, one)), (one.leaves_s, _do(_leaves, stage, one))]
    return sorted(entries, key=lambda entry: entry[0])


def _do(deed: Callable[..., None], *arguments: Any) -> Deed:
    return lambda: deed(*arguments)


def _with(deed: Callable[..., None], argument: Any) -> Callable[[ControlLoop], None]:
    return lambda loop: deed(loop, argument)


def _join(stage: "Stage", row: int, device: story.Device) -> Deed:
    def deed() -> None:
        stage.devices.plugged[row] = True
        if not device.first_sight:
            stage.controller.register(registration(device))

    return deed


def _arrives(stage: "Stage", one: Session) -> None:
    devices, row = stage.devices, one.charger
    devices.plugged[row], devices.taken_kwh[row] = True, 0.0
    devices.soc[row], devices.accepts_kw[row], devices.ready_by_s[row] = one.soc, one.takes_kw, one.says_s
    stage.speaks_now[row] = True


def _leaves(stage: "Stage", one: Session) -> None:
    """Gone, with what it got of what it could have had: up to its target, at its own pace."""
    devices, row = stage.devices, one.charger
    told = devices.told[row]
    hours = (one.leaves_s - max(one.arrives_s, 0.0)) / 3600.0
    gap_kwh = max(told.target - one.soc, 0.0) * told.capacity_kwh
    could_kwh = min(gap_kwh, min(told.rating_kw, one.takes_kw) * hours)
    stage.could_kwh += could_kwh
    stage.got_kwh += min(could_kwh, float(devices.taken_kwh[row]))
    devices.plugged[row] = False
    stage.speaks_now[row] = True


def _instant(stage: "Stage", at_s: float) -> datetime:
    """Of the story, on the controller's wall clock."""
    return datetime.fromtimestamp(stage.clock.now_ms() / 1000.0, UTC) + timedelta(seconds=at_s - stage.now_s)


def _event(stage: "Stage", event: story.Event) -> Deed:
    def deed() -> None:
        found = DrEvent(
            event_id=event.id,
            feeder_ids=tuple(event.nodes),
            start=_instant(stage, event.at_s),
            end=_instant(stage, event.at_s + event.for_s),
            import_limit_kw=event.import_kw,
            export_limit_kw=event.export_kw,
            shed_kw=event.shed_kw,
            created_at=_instant(stage, event.told_s),
        )
        stage.controller.ask(lambda loop: loop.add_event(found))

    return deed


def _program(stage: "Stage", program: story.Program) -> Deed:
    def deed() -> None:
        found = DrProgram(
            program_id=program.id,
            name=program.id,
            kind=ProgramKind(program.kind),
            feeder_ids=tuple(program.nodes),
            start=_instant(stage, program.at_s),
            end=_instant(stage, program.at_s + program.for_s),
            target_shed_kw=program.shed_kw,
            incentive_per_kwh=program.incentive,
            penalty_per_kwh=program.penalty,
            active=True,
        )
        stage.controller.ask(lambda loop: loop.put_program(found))

    return deed


def _lay(stage: "Stage", laid: story.Laid) -> Deed:
    def deed() -> None:
        for row in story.named(stage.devices.ids, laid.device):
            found = DeviceOverride(
                device_id=stage.devices.ids[row],
                kind=OverrideKind(laid.kind),
                p_kw=laid.kw,
                reason="test",
                created_by="operator",
                created_at=_instant(stage, laid.at_s),
                until=_instant(stage, laid.at_s + laid.for_s),
            )
            stage.controller.ask(_with(ControlLoop.put_override, found))

    return deed


def _release(stage: "Stage", device: str) -> Deed:
    def deed() -> None:
        for row in story.named(stage.devices.ids, device):
            stage.controller.ask(_with(ControlLoop.release, stage.devices.ids[row]))

    return deed


def _fault(stage: "Stage", fault: story.Fault) -> list[Entry]:
    """Its beginning and its end."""
    begin, end = fault.at_s, fault.at_s + fault.for_s
    match fault.kind:
        case "broker":
            return [(begin, _do(setattr, stage.wire, "down", True)), (end, lambda: _broker_back(stage))]
        case "store":
            return [(begin, _do(setattr, stage.books, "away", True)), (end, _do(setattr, stage.books, "away", False))]
        case "clock_step":
            return [(begin, lambda: _step_clock(stage, fault))]
        case "die":
            return [(begin, stage.controller.stop)]
        case "restart":
            return [(begin, stage.controller.stop), (end, stage.start_controller)]
        case "meter_silent" | "meter_frozen":
            return [(begin, lambda: _meter_fault(stage, fault, True)), (end, lambda: _meter_fault(stage, fault, False))]
        case _:
            return [(begin, lambda: device_fault(stage, fault, True)), (end, lambda: device_fault(stage, fault, False))]


def _broker_back(stage: "Stage") -> None:
    stage.wire.down = False
    stage.speaks_now[:] = True


def _step_clock(stage: "Stage", fault: story.Fault) -> None:
    stage.clock.shift_ms += round(fault.step_s * 1000.0)
    if "devices" in fault.at:
        stage.device_clock.shift_ms += round(fault.step_s * 1000.0)


def _meter_fault(stage: "Stage", fault: story.Fault, on: bool) -> None:
    for node in fault.at:
        row = stage.forest.row[node]
        if fault.kind == "meter_silent":
            stage.meter_silent[row] = on
        else:
            stage.meter_frozen_kw[row] = stage.load_kw[row] if on else float("nan")


def device_fault(stage: "Stage", fault: story.Fault, on: bool) -> None:
    """Let a fault of devices begin or end."""
    rows = [row for name in fault.at for row in story.named(stage.devices.ids, name)]
    for row in rows:
        match fault.kind:
            case "silent":
                stage.silent[row] = on
            case "deaf":
                stage.devices.deaf[row] = on
            case "frozen":
                stage.reports_as[row] = stage.devices.p_kw[row] if on else float("nan")
            case "stuck":
                stage.stuck_ms[row] = stage.device_clock.now_ms() if on else -1
            case "wrong_sign":
                stage.wrong_sign[row] = on
            case "disobedient":
                stage.devices.defies_kw[row] = fault.kw if on else float("nan")
            case "takes":
                stage.devices.accepts_kw[row] = fault.kw if on else stage.devices.told[row].accepts_kw
            case "fault_status":
                stage.broken[row] = on
            case _:
                raise AssertionError(f"{fault.kind} is no fault of a device")
