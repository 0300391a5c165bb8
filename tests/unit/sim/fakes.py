"""What the simulator's tests share."""

from sim.physics import Surroundings
from sim.sun import Sky, SunPosition

NO_SUN = SunPosition(cos_zenith=-0.5, azimuth_rad=0.0, extraterrestrial_w_m2=1361.0)


class VirtualClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_ms(self) -> int:
        return 1_700_000_000_000 + round(self.at_s * 1000.0)

    def monotonic_s(self) -> float:
        return self.at_s


def dark(t_s: float, household_kw: float = 0.1) -> Surroundings:
    return Surroundings(t_s=t_s, sky=Sky(sun=NO_SUN, beam_w_m2=0.0, diffuse_w_m2=0.0), household_kw=household_kw)
