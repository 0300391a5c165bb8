"""How the daemon and its parts do."""

from derms import __version__
from derms.api.schemas.health import HealthOut, PartHealth, PartState
from derms.columns import Params
from derms.control.loop import ControlLoop
from derms.ports import Clock
from derms.recorder import Recorder
from derms.view.links import LinkState


class LiveHealth:
    """Implements `derms.api.view.HealthView`."""

    def __init__(
        self, *, loop: ControlLoop, recorder: Recorder, mqtt: LinkState, store: LinkState, clock: Clock, params: Params
    ) -> None:
        """Read from these, and own none of them."""
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
        tick_s = self._loop.last_tick_s
        tick_age_s = now_s - (self._started_s if tick_s is None else tick_s)
        late = tick_age_s > 3.0 * self._params.interval_s
        loop_state = PartState.DOWN if late else PartState.STARTING if tick_s is None else PartState.OK
        parts = {
            "mqtt": _part(self._mqtt),
            "store": _part(self._store, f"{self._recorder.spool_bytes} bytes spooled"),
            "loop": PartHealth(state=loop_state, age_s=tick_age_s, detail="since the last tick"),
        }
        well = all(part.state is not PartState.DOWN for part in parts.values())
        return HealthOut(
            status="ok" if well else "degraded",
            version=__version__,
            uptime_s=now_s - self._started_s,
            parts=parts,
        )


def _part(state: LinkState, detail: str = "") -> PartHealth:
    return PartHealth(state=PartState.OK if state.connected else PartState.DOWN, age_s=state.age_s(), detail=detail)
