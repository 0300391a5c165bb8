"""How the daemon and its parts do."""

from derms import __version__
from derms.api.schemas.health import ControllerRole, HealthOut, PartHealth, PartState, ReadyOut, TreeRole
from derms.columns import Params
from derms.control.loop import ControlLoop
from derms.leadership import Leadership
from derms.ports import Clock, Duty
from derms.recorder import Recorder
from derms.version import commit
from derms.view.links import LinkState

_LAG_SHARE = 0.1
"""An event loop that is later than this share of the control interval does not keep up."""


class LiveHealth:
    """Implements `derms.api.view.HealthView`."""

    def __init__(
        self,
        *,
        loop: ControlLoop,
        leadership: Leadership,
        recorder: Recorder,
        mqtt: LinkState,
        store: LinkState,
        clock: Clock,
        params: Params,
        lease_s: float,
    ) -> None:
        """Read from these, and own none of them."""
        self.lag_s = 0.0
        """How late the event loop last woke a timer [s]; told by who measures it."""
        self._loop = loop
        self._leadership = leadership
        self._lease_s = lease_s
        self._leader_since_s = clock.monotonic_s()
        self._leader_state = PartState.STARTING
        self._recorder = recorder
        self._mqtt = mqtt
        self._store = store
        self._clock = clock
        self._params = params
        self._started_s = clock.monotonic_s()

    def health(self) -> HealthOut:
        """How the daemon and its parts do."""
        now_s = self._clock.monotonic_s()
        parts = {"mqtt": _part(self._mqtt), "store": self._store_part(), "loop": self._loop_part()}
        parts["leader"] = self._leader_part()
        well = all(part.state is not PartState.DOWN for part in parts.values())
        return HealthOut(
            status="ok" if well else "degraded",
            version=__version__,
            commit=commit(),
            uptime_s=now_s - self._started_s,
            parts=parts,
            role=self._role(),
            trees={
                one.root: TreeRole(
                    role=ControllerRole.STANDBY if one.duty is Duty.STANDS_BY else ControllerRole.ACTIVE,
                    leader=None if one.leader is None else one.leader.controller_id,
                    epoch=one.epoch,
                )
                for one in self._leadership.standings()
            },
        )

    def ready(self) -> ReadyOut:
        """Whether it can do all it is for."""
        allowed_s = _LAG_SHARE * self._params.interval_s
        parts = {
            "db": self._store_part(),
            "mqtt": _part(self._mqtt),
            "loop": self._loop_part(),
            "lag": PartHealth(
                state=PartState.OK if self.lag_s <= allowed_s else PartState.DOWN,
                age_s=self.lag_s,
                detail=f"how late a timer was woken; at most {allowed_s:g} s is well",
            ),
            "leader": self._leader_part(),
        }
        well = all(part.state is PartState.OK for part in parts.values())
        return ReadyOut(ready=well, parts=parts, role=self._role())

    def _role(self) -> ControllerRole:
        return ControllerRole.ACTIVE if self._leadership.commands else ControllerRole.STANDBY

    def _leader_part(self) -> PartHealth:
        """Whether every tree has a leader; one that only keeps what is safe is none."""
        now_s = self._clock.monotonic_s()
        standings = self._leadership.standings()
        kept = [one.root for one in standings if one.duty is Duty.KEEPS]
        bare = [one.root for one in standings if one.leader is None]
        if kept:
            state, detail = PartState.DOWN, f"the lease of {_few(kept)} cannot be renewed: nothing is raised"
        elif bare:
            starting = now_s - self._started_s < self._lease_s
            state = PartState.STARTING if starting else PartState.DOWN
            detail = f"nobody commands {_few(bare)}"
        else:
            state, detail = PartState.OK, "leads" if self._leadership.commands else "stands by"
        if state is not self._leader_state:
            self._leader_state, self._leader_since_s = state, now_s
        return PartHealth(state=state, age_s=now_s - self._leader_since_s, detail=detail)

    def _store_part(self) -> PartHealth:
        if self._recorder.disk_failed:
            detail = "the disk under the spool takes nothing: what is new waits in memory, and at the broker"
            return PartHealth(state=PartState.DOWN, age_s=self._store.age_s(), detail=detail)
        return _part(self._store, f"{self._recorder.spool_bytes} bytes spooled")

    def _loop_part(self) -> PartHealth:
        tick_s = self._loop.last_tick_s
        age_s = self._clock.monotonic_s() - (self._started_s if tick_s is None else tick_s)
        late = age_s > 3.0 * self._params.interval_s
        state = PartState.DOWN if late else PartState.STARTING if tick_s is None else PartState.OK
        return PartHealth(state=state, age_s=age_s, detail="since the last tick")


def _part(state: LinkState, detail: str = "") -> PartHealth:
    return PartHealth(state=PartState.OK if state.connected else PartState.DOWN, age_s=state.age_s(), detail=detail)


def _few(roots: list[str]) -> str:
    return ", ".join(roots[:3]) + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")
