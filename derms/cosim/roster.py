"""The devices of a session: their registrations, and what each has said last.

A field that is not said is as before; null puts it back to its default. So a driver may say everything at every tick,
or only what has changed.
"""

from dataclasses import dataclass, fields, replace
from operator import attrgetter

from msgspec import UNSET, UnsetType, structs

from derms.cosim.clock import EPOCH_MS, instant_ms
from derms.cosim.forest import Forest, not_later
from derms.cosim.said import REGISTRY, TELEMETRY, DeviceSaid, OverrideSaid
from derms.cosim.wrong import Code, WrongLine, near
from derms.model import Device, DeviceKind, DeviceStatus, Dialect, Telemetry

NEVER_MS = -(2**62)
"""Before every instant [ms]."""

_PLAIN = ("p_min_kw", "p_step_kw", "capacity_kwh", "min_soc_reserve", "target_soc", "priority", "default_power_kw")
"""Registry fields that are taken over as they are."""
_DEFAULT = {item.name: item.default for item in fields(Device)}
# Tuples compare by identity first: many times quicker than asking field by field.
_REGISTRY_OF, _NO_REGISTRY = attrgetter(*REGISTRY), (UNSET,) * len(REGISTRY)
_TELEMETRY_OF, _NO_TELEMETRY = attrgetter(*TELEMETRY), (UNSET,) * len(TELEMETRY)
_EXPORTS = (DeviceKind.PV, DeviceKind.BATTERY)


@dataclass(slots=True, kw_only=True)
class Member:
    """One device, and what it has said last."""

    device: Device
    row: int
    """Its row in the fleet."""
    node: int
    """The row of its node."""
    here: bool = True
    at_ms: int = NEVER_MS
    """When it was last heard [ms]."""
    p_actual_kw: float | None = None
    p_max_kw: float | None = None
    soc: float | None = None
    status: DeviceStatus = DeviceStatus.OK
    ready_by_ms: int | None = None
    energy_needed_kwh: float | None = None
    remark: str = ""
    """Why an operator has overridden it."""
    seated: bool = False
    """It has been in a tick."""

    def leave(self) -> None:
        """It is unplugged; only its registration is kept."""
        self.here, self.at_ms, self.p_actual_kw, self.p_max_kw, self.soc = False, NEVER_MS, None, None, None
        self.status, self.ready_by_ms, self.energy_needed_kwh = DeviceStatus.OK, None, None
        self.remark = ""

    def reading(self, assumed_kw: float, setpoint_kw: float | None) -> Telemetry:
        """What it has said last, as a measurement.

        Args:
            assumed_kw: Its power where it has said none [kW].
            setpoint_kw: What it says that it follows [kW].
        """
        return Telemetry(
            device_id=self.device.device_id,
            kind=self.device.kind,
            at_ms=self.at_ms + EPOCH_MS,
            p_actual_kw=assumed_kw if self.p_actual_kw is None else self.p_actual_kw,
            p_setpoint_kw=setpoint_kw,
            soc=self.soc,
            p_max_kw=self.p_max_kw,
            ready_by_ms=None if self.ready_by_ms is None else self.ready_by_ms + EPOCH_MS,
            energy_needed_kwh=self.energy_needed_kwh,
            status=self.status,
            dialect=Dialect.PLAIN,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a line says of one device, judged, not yet done."""

    device: Device | None
    """Its new registration; None: as it was."""
    joins: bool
    said: DeviceSaid
    heard_ms: int | None
    """When it was heard [ms]; None: the line does not show that."""
    ready_by_ms: int | None
    override_until_ms: int | None
    """None: for ever."""


def judged(
    device_id: str, said: DeviceSaid, member: Member | None, *, leaves: bool, forest: Forest, now_ms: int
) -> Change:
    """Judge what a line says of a device.

    Args:
        device_id: Which one.
        said: What is said.
        member: What is known of it; None: nothing.
        leaves: It goes and comes back in this line.
        forest: The nodes.
        now_ms: The line's instant [ms].

    Raises:
        WrongLine: It cannot be so.
    """
    where = f"device {device_id}"
    joins = member is None or not member.here or leaves
    known = None if member is None else member.device
    device = None
    if joins or _REGISTRY_OF(said) != _NO_REGISTRY:
        device = _registration(device_id, said, known, joins, forest)
        device = None if device == known and not joins else device
    if device is not None and (known is None or known.kind is not device.kind):
        # It is the rating then, and says nothing of the present moment.
        said = structs.replace(said, p_max_kw=UNSET) if _rates(said) else said
    heard_ms = None
    if _TELEMETRY_OF(said) != _NO_TELEMETRY:
        heard_ms = now_ms
        if isinstance(said.at, float | str):
            heard_ms = not_later(instant_ms(said.at, f"{where}: at"), now_ms, f"{where}: at")
    until = said.override.until if isinstance(said.override, OverrideSaid) else None
    return Change(
        device=device,
        joins=joins,
        said=said,
        heard_ms=heard_ms,
        ready_by_ms=instant_ms(said.ready_by, f"{where}: ready_by") if isinstance(said.ready_by, float | str) else None,
        override_until_ms=None if until is None else instant_ms(until, f"{where}: override.until"),
    )


def heard(member: Member, change: Change, at_ms: int) -> None:
    """Note what was said in a reading that is newer than the last."""
    said = change.said
    member.at_ms = at_ms
    if said.p_actual_kw is not UNSET:
        member.p_actual_kw = said.p_actual_kw
    if said.p_max_kw is not UNSET:
        member.p_max_kw = said.p_max_kw
    if said.soc is not UNSET:
        member.soc = said.soc
    if said.status is not UNSET:
        member.status = DeviceStatus.OK if said.status is None else said.status
    if said.ready_by is not UNSET:
        member.ready_by_ms = change.ready_by_ms
    if said.energy_needed_kwh is not UNSET:
        member.energy_needed_kwh = said.energy_needed_kwh


def _rates(said: DeviceSaid) -> bool:
    return said.p_import_max_kw is UNSET and said.p_export_max_kw is UNSET


def _registration(device_id: str, said: DeviceSaid, before: Device | None, joins: bool, forest: Forest) -> Device:
    where = f"device {device_id}"
    kind = _kind(said, before, joins, where)
    if before is None or before.kind is not kind:
        before = Device(device_id=device_id, kind=kind, feeder_id="")
    changes: dict[str, object] = {"feeder_id": _node(said.node, before.feeder_id, forest, where)}
    for name in _PLAIN:
        value = getattr(said, name)
        if value is not UNSET:
            changes[name] = _DEFAULT[name] if value is None else value
    if isinstance(said.priority, float):
        changes["priority"] = _whole(said.priority, where)
    import_kw, export_kw = _given(said.p_import_max_kw), _given(said.p_export_max_kw)
    if before.feeder_id == "":
        usual = _given(said.p_max_kw)
        import_kw = usual if import_kw is None and kind is not DeviceKind.PV else import_kw
        export_kw = usual if export_kw is None and kind in _EXPORTS else export_kw
        rating = {DeviceKind.EV: import_kw, DeviceKind.PV: export_kw, DeviceKind.LOAD: 0.0}
        if rating.get(kind, import_kw if export_kw is None else export_kw) is None:
            raise WrongLine(
                Code.MISSING_FIELD,
                f"{where} has no rating",
                why="how much it may be given at the most is bounded by its rating",
                next_step="say p_max_kw, or p_import_max_kw and p_export_max_kw",
            )
    if import_kw is not None:
        changes["p_import_max_kw"] = import_kw
    if export_kw is not None:
        changes["p_export_max_kw"] = export_kw
    return replace(before, **changes)  # type: ignore[arg-type]  # a table of fields


def _kind(said: DeviceSaid, before: Device | None, joins: bool, where: str) -> DeviceKind:
    if said.type is UNSET:
        if before is None:
            raise WrongLine(
                Code.UNKNOWN_DEVICE,
                f"{where} is not known",
                why="a device joins with the line that says its type",
                next_step='say "type" and a rating too, or correct the id',
            )
        return before.kind
    if said.type is DeviceKind.METER:
        raise WrongLine(
            Code.BAD_VALUE,
            f"{where}: type is 'meter'",
            why="a head meter is its node's",
            next_step='say "metered_kw" of the node',
        )
    if before is not None and not joins and before.kind is not said.type:
        raise WrongLine(
            Code.BAD_VALUE,
            f"{where}: type is {said.type.value!r}",
            why=f"it is a {before.kind.value}, and still here",
            next_step='let it be "gone" first',
        )
    return said.type


def _node(said: str | UnsetType | None, before: str, forest: Forest, where: str) -> str:
    if isinstance(said, str):
        forest.check(said, where)
        return said
    if said is UNSET and before:
        return before
    if len(forest.roots) > 1:
        raise WrongLine(
            Code.MISSING_FIELD,
            f"{where} has no node",
            why="there are several roots, so none can be meant without being named",
            next_step=near("", forest.ids),
        )
    return forest.roots[0]


def _whole(priority: float, where: str) -> int:
    if not priority.is_integer():
        raise WrongLine(
            Code.BAD_VALUE,
            f"{where}: priority is {priority:g}",
            why="it is a whole number from 1 to 10",
            next_step="round it",
        )
    return int(priority)


def _given(value: float | UnsetType | None) -> float | None:
    return None if isinstance(value, UnsetType) else value
