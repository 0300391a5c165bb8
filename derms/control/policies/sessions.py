"""As many sessions as possible get all they asked. Pure.

The sessions that need least are admitted first, as long as all admitted ones can be finished in time. Who can no longer
be finished at all is not admitted, and gets what the others leave. Of the admitted those that cannot wait go first,
then who leaves first: so sessions are finished one after the other, and where more cars come than there is room for,
few of those that lose have had much.

Source: Moore, An n Job, One Machine Sequencing Algorithm for Minimizing the Number of Late Jobs, 1968 (earliest due
date first, and reject what costs most), with rates and with energies instead of one machine.
"""

import numpy as np

from derms.control.policies.plan import Outlook, admit
from derms.control.policies.serving import must_kw, now_kw, rest_of, urgency_h
from derms.control.wants import Round, Wants, Wish

_FORESIGHT_H = 48.0
"""Cars that come later count for little [h]: they can be refused, if they are large, and those who are here cannot."""
_CLOSE, _CLOSE_KWH = 1e-4, 1e-6
"""A session that lacks no more than this share of what is left of it is still met."""
_LAST = 1e6
"""Less than any merit."""


def sessions(wants: Wants) -> Wish:
    """Serve those who can all be finished, then the others."""
    hours = wants.time_left_s / 3600.0
    hopeful = ~wants.departs | (wants.left_kwh <= wants.cap_kw * hours * (1.0 + _CLOSE) + _CLOSE_KWH)
    outlook = Outlook.of(wants, hopeful, foresight_h=_FORESIGHT_H)
    nothing = np.zeros_like(wants.left_kwh)
    energy = admit(outlook, nothing, -wants.left_kwh, -wants.time_left_s, whole=True)
    urgency = urgency_h(wants, outlook, energy)
    able = np.where(wants.cap_kw > 0.0, wants.cap_kw, 1.0)
    # Time to spare plus the time it takes: when it leaves.
    first = urgency - energy / able
    must, now = must_kw(wants, outlook, energy), now_kw(wants, energy)
    others = np.where(hopeful, 0.0, -_LAST) - wants.left_kwh
    rounds = (
        Round(ceiling_kw=must, rank=urgency),
        Round(ceiling_kw=now - must, rank=first),
        Round(ceiling_kw=rest_of(wants, now), rank=others),
    )
    return Wish(rounds=rounds, turn=np.where(must > 0.0, urgency, first), claim_kw=now)
