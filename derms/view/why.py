"""Why a device has the setpoint it has: the last decision read back, or an honest word where there is none."""

import numpy as np

from derms.api.schemas.why import BoundName, BoundOut, WhyOut
from derms.columns import MODE_CODE, Params
from derms.control.cause import Names, Source
from derms.control.cause import Why as Explained
from derms.control.loop import ControlLoop
from derms.control.trees import FeederTick, TreeState
from derms.control.why import why
from derms.fleet import Fleet
from derms.model import Device, Enrolment, FeederMode
from derms.view.instants import instant

_REGISTERED = {
    Enrolment.QUARANTINED: (
        "is quarantined: its telemetry is refused and it is told nothing",
        "adopt it, if it is known",
    ),
    Enrolment.RETIRED: (
        "is retired: its telemetry is refused and it is told nothing",
        "adopt it, if it is in use again",
    ),
}


class LiveWhy:
    """Implements `derms.api.view.WhyView`."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, params: Params) -> None:
        """Read from these, and own none of them."""
        self._fleet = fleet
        self._loop = loop
        self._params = params

    def why(self, device_id: str) -> WhyOut | None:
        """The answer; None: there is no such device."""
        row = self._fleet.row(device_id)
        if row is None:
            return None
        device = self._fleet.devices[row]
        if device.enrolment is not Enrolment.ACTIVE:
            return self._unasked(device, FeederMode.OFF, *_REGISTERED[device.enrolment])
        state = self._loop.feeders.get(device.feeder_id)
        if state is None:
            return self._unasked(
                device,
                FeederMode.OFF,
                f"is registered on {device.feeder_id}, which does not exist",
                "move it to a feeder that does",
            )
        mode, where = _mode(state)
        if mode is FeederMode.OFF:
            return self._unasked(device, mode, f"{where} is off: nothing is computed", f"set {where} to auto")
        found = self._decided(state.tree, row)
        if found is None:
            return self._unasked(device, mode, "nothing is decided about it yet", "wait for the next tick")
        return WhyOut(
            device_id=device_id,
            words=found.words,
            setpoint_kw=found.setpoint_kw,
            mode=mode,
            decided_at=instant(state.decided_ms),
            bounds=[
                BoundOut(
                    kind=BoundName(bound.kind.value),
                    subject=bound.subject,
                    source=bound.source,
                    limit_kw=bound.limit_kw,
                    binding=bound.binding,
                    words=bound.words,
                    remedies=list(bound.remedies),
                )
                for bound in found.bounds
            ],
        )

    def _decided(self, tree: TreeState, row: int) -> Explained | None:
        """The last decision about a row, read back; None: there is none that knows it."""
        picture, decision = tree.picture, tree.decision
        at = np.flatnonzero(tree.rows == row)
        if picture is None or decision is None or at.size == 0 or picture.devices.kind.size != tree.rows.size:
            return None
        names = Names(
            nodes=tuple(feeder.feeder_id for feeder in tree.feeders),
            devices=tuple(self._fleet.devices[one].device_id for one in tree.rows.tolist()),
            sources=self._sources(),
            overrides={
                key: Source(label="override", who=one.created_by, reason=one.reason, until=one.until)
                for key, one in self._loop.overrides.items()
            },
        )
        return why(picture, decision, self._params, int(at[0]), names)

    def _sources(self) -> dict[str, Source]:
        events = {
            key: Source(label=f"event {key}", who=event.created_by, reason=event.reason, until=event.end)
            for key, event in self._loop.events.items()
        }
        programs = {
            key: Source(label=f"program {program.name}", until=program.end)
            for key, program in self._loop.programs.items()
        }
        return events | programs

    def _unasked(self, device: Device, mode: FeederMode, words: str, remedy: str) -> WhyOut:
        """The answer where no decision says one."""
        bound = BoundOut(
            kind=BoundName.STATUS,
            subject=device.device_id,
            source="registry",
            limit_kw=None,
            binding=True,
            words=words,
            remedies=[remedy],
        )
        return WhyOut(
            device_id=device.device_id,
            words=f"{device.device_id} is told nothing: {words}",
            setpoint_kw=None,
            mode=mode,
            decided_at=None,
            bounds=[bound],
        )


def _mode(state: FeederTick) -> tuple[FeederMode, str]:
    """The least active mode on the way to the root, and the feeder that has it."""
    by_id = {feeder.feeder_id: feeder for feeder in state.tree.feeders}
    path = [state.feeder]
    while path[-1].parent_id is not None:
        path.append(by_id[path[-1].parent_id])
    least = max(path, key=lambda feeder: MODE_CODE[feeder.mode])
    return least.mode, least.feeder_id
