"""How the daemon and its parts do."""

from derms import __version__
from derms.api.schemas.health import HealthOut, PartHealth, PartState, ReadyOut
from derms.columns import Params
from derms.control.loop import ControlLoop
from derms.ports import Clock
from derms.recorder import Recorder
from derms.version import commit
from derms.view.links import LinkState

_LAG_SHARE = 0.1
"""An event loop that is later than this share of the control interval does not keep up."""


class LiveHealth:
    """Implements `derms.api.view.HealthView`."""

    def __init__(
        self, *, loop: ControlLoop, recorder: Recorder, mqtt: LinkState, store: LinkState, clock: Clock, params: Params
    ) -> None:
        """Read from these, and own none of them."""
        self.lag_s = 0.0
        """How late the event loop last woke a timer [s]; told by who measures it."""
        self._loop = loop
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
        well = all(part.state is not PartState.DOWN for part in parts.values())
        return HealthOut(
            status="ok" if well else "degraded",
            version=__version__,
            commit=commit(),
            uptime_s=now_s - self._started_s,
            parts=parts,
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
        }
        return ReadyOut(ready=all(part.state is PartState.OK for part in parts.values()), parts=parts)

    def _store_part(self) -> PartHealth:
        return _part(self._store, f"{self._recorder.spool_bytes} bytes spooled")

    def _loop_part(self) -> PartHealth:
        tick_s = self._loop.last_tick_s
        age_s = self._clock.monotonic_s() - (self._started_s if tick_s is None else tick_s)
        late = age_s > 3.0 * self._params.interval_s
        state = PartState.DOWN if late else PartState.STARTING if tick_s is None else PartState.OK
        return PartHealth(state=state, age_s=age_s, detail="since the last tick")


def _part(state: LinkState, detail: str = "") -> PartHealth:
    return PartHealth(state=PartState.OK if state.connected else PartState.DOWN, age_s=state.age_s(), detail=detail)
