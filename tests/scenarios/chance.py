"""What a story leaves to chance, drawn from its seed. Pure: the same story and seed give the same day."""

import numpy as np
from msgspec.structs import replace

from tests.scenarios.story import Call, Device, Event, Fault, Node, Often, Story, Traffic

HOUR_S = 3600.0


class Session:
    """One car at one charger."""

    __slots__ = ("arrives_s", "charger", "leaves_s", "says_s", "soc", "takes_kw")

    def __init__(
        self, charger: int, arrives_s: float, leaves_s: float, soc: float, takes_kw: float, says_s: float
    ) -> None:
        self.charger, self.arrives_s, self.leaves_s = charger, arrives_s, leaves_s
        self.soc, self.takes_kw, self.says_s = soc, takes_kw, says_s


def drawn(told: Story) -> Story:
    """The story with its random faults and events told one by one."""
    rng = np.random.default_rng([told.seed, 1])
    devices, nodes = told.devices(), {node.id: node for node in told.node}
    faults, events = list(told.fault), list(told.event)
    could = [[d for d in devices if any(_is_called(d.id, name) for name in often.among)] for often in told.often]
    # Hour by hour, so that the first hours of a day are the same however long it is told.
    for hour in range(int(np.ceil(told.seconds / HOUR_S))):
        for often, among in zip(told.often, could, strict=True):
            faults += [_fault(often, among, hour, rng) for _ in range(often.per_hour)]
        for call in told.call:
            for _ in range(call.per_hour):
                events.append(_event(call, nodes, f"dr-{len(events)}", hour, rng))
    return replace(told, fault=faults, event=events, often=[], call=[])


def _fault(often: Often, among: list[Device], hour: int, rng: np.random.Generator) -> Fault:
    at_s, for_s, share = (hour + rng.random()) * HOUR_S, rng.uniform(*often.for_s), rng.uniform(*often.of_rating)
    if not often.among:
        return Fault(kind=often.kind, at_s=at_s, for_s=for_s)  # type: ignore[arg-type]  # checked when read
    one = among[int(rng.integers(len(among)))]
    kw = share * (one.rating_kw if share >= 0.0 else one.export_kw)
    return Fault(kind=often.kind, at=[one.id], at_s=at_s, for_s=for_s, kw=kw)  # type: ignore[arg-type]  # the same


def _is_called(device_id: str, name: str) -> bool:
    return device_id == name or device_id.rpartition("-")[0] == name


def _event(call: Call, nodes: dict[str, Node], event_id: str, hour: int, rng: np.random.Generator) -> Event:
    at_s, for_s = (hour + rng.random()) * HOUR_S, rng.uniform(*call.for_s)
    told_s = max(at_s - rng.uniform(*call.notice_s), 0.0)
    node = nodes[call.among[int(rng.integers(len(call.among)))]]

    def limit(share: tuple[float, float] | None, static: float | None) -> float | None:
        if share is None:
            return None
        assert static is not None, f"{node.id} has no limit to take a share of"
        return float(rng.uniform(*share)) * static

    return Event(
        id=event_id,
        nodes=[node.id],
        at_s=at_s,
        for_s=for_s,
        told_s=told_s,
        import_kw=limit(call.import_share, node.import_kw),
        export_kw=limit(call.export_share, node.export_kw),
    )


def sessions(told: Story) -> list[Session]:
    """Every car of the day before, the days told and the day after, in order of charger and arrival."""
    rng = np.random.default_rng([told.seed, 2])
    devices, days = told.devices(), int(np.ceil((told.from_h * HOUR_S + told.seconds) / 86400.0))
    found: list[Session] = []
    for traffic in told.traffic:
        for charger, device in enumerate(devices):
            if _is_called(device.id, traffic.at):
                found += _cars(told, traffic, charger, range(-1, days), rng)
    return found


def _cars(told: Story, traffic: Traffic, charger: int, days: range, rng: np.random.Generator) -> list[Session]:
    cars, free_s = [], -np.inf
    for day in days:
        arrives_s = (24.0 * day + rng.uniform(*traffic.arrive_h) - told.from_h) * HOUR_S
        leaves_s = arrives_s + rng.uniform(*traffic.stay_h) * HOUR_S
        soc, takes_kw = rng.uniform(*traffic.soc), rng.uniform(*traffic.takes_kw)
        says = rng.random() < traffic.says
        arrives_s = max(arrives_s, free_s)
        if leaves_s > max(arrives_s, 0.0):
            cars.append(Session(charger, arrives_s, leaves_s, soc, takes_kw, leaves_s if says else np.inf))
            free_s = leaves_s + 60.0
    return cars
