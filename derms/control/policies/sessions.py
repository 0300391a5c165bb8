"""As many sessions as possible get all they asked. Pure.

The sessions that need least are admitted first, as long as all admitted ones can be finished in time; the admitted are
served least laxity first, and what they leave goes to the others. What is left of a session only shrinks while it is
served, so who was admitted stays admitted.

Source: Moore, An n Job, One Machine Sequencing Algorithm for Minimizing the Number of Late Jobs, 1968 (reject what
costs most), with rates and with energies instead of one machine.
"""

import numpy as np

from derms.control.policies.plan import Outlook, admit
from derms.control.policies.serving import by_laxity_only, now_kw, rest_of, urgency_h
from derms.control.wants import Round, Wants, Wish


def sessions(wants: Wants) -> Wish:
    """Serve those who can all be finished, then the others."""
    outlook = Outlook.of(wants)
    hopeless = np.where(wants.left_kwh > outlook.can_kwh * 1.0001 + 1e-6, 1.0, 0.0)
    nothing = np.zeros_like(wants.left_kwh)
    energy = admit(outlook, nothing, -hopeless, -wants.left_kwh, -wants.time_left_s, whole=True)
    rest = rest_of(wants, now_kw(wants, energy))
    return by_laxity_only(
        wants, outlook, energy, Round(ceiling_kw=rest, rank=urgency_h(wants, outlook, wants.left_kwh))
    )
