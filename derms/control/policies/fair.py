"""Everybody ends with nearly the same share of what it asked. Pure.

The highest common share that can still be delivered to all who are here is found, and served least laxity first.
Nearly: of a small session a little more is delivered than of a large one, because that costs others next to nothing
and lifts those that would otherwise be worst off.
"""

import numpy as np

from derms.columns import Floats
from derms.control.choice import keep
from derms.control.policies.plan import Outlook, even_out
from derms.control.policies.serving import by_laxity_only, now_kw, rest_of
from derms.control.wants import Round, Wants, Wish

_TILT = 0.3
_LEAST_TILT, _MOST_TILT = 0.2, 2.0


def fair(wants: Wants) -> Wish:
    """Serve what brings all to one share, then who has the lowest share."""
    outlook = Outlook.of(wants)
    energy = common_share_kwh(wants, outlook)
    asked = np.maximum(wants.asked_kwh, 1e-3)
    rest = rest_of(wants, now_kw(wants, energy))
    return by_laxity_only(wants, outlook, energy, Round(ceiling_kw=rest, weight=asked, start=wants.got_kwh / asked))


def common_share_kwh(wants: Wants, outlook: Outlook) -> Floats:
    """What each must still get to end with the common share, shape (n,) [kWh].

    What is missing of the whole, not what is delivered, is alike: ``1 - share`` in proportion to ``asked ^ 0.3``.
    """
    planned = outlook.cap_kw > 0.0
    asked = keep(planned, wants.asked_kwh)
    mean = float(np.sum(asked)) / max(int(np.count_nonzero(planned)), 1)
    # Divided by the least tilt so that at level 0 nobody is owed anything.
    steep = np.clip((np.maximum(asked, 1e-3) / max(mean, 1e-3)) ** _TILT, _LEAST_TILT, _MOST_TILT) / _LEAST_TILT

    # (1 - (1 - level) steep) asked - got
    rise = steep * asked
    return even_out(outlook, asked - rise - wants.got_kwh, rise)
