"""Policies: one file each; `PLUGS` names them all. Pure."""

from collections.abc import Mapping

import numpy as np

from derms.columns import Floats
from derms.control.policies import rotation
from derms.control.policies.deficit import deficit
from derms.control.policies.equal import equal
from derms.control.policies.fair import fair
from derms.control.policies.least_laxity import least_laxity
from derms.control.policies.priority import priority
from derms.control.policies.proportional import proportional
from derms.control.policies.sessions import sessions
from derms.control.wants import Plug, Wants, Wish
from derms.model import Policy

PLUGS: Mapping[Policy, Plug] = {
    Policy.DEFICIT: deficit,
    Policy.PROPORTIONAL: proportional,
    Policy.PRIORITY: priority,
    Policy.LEAST_LAXITY: least_laxity,
    Policy.SESSIONS: sessions,
    Policy.FAIR: fair,
    Policy.EQUAL: equal,
}

_ALIKE = (Policy.EQUAL, Policy.PRIORITY)
"""Policies under which what a bucket is credited with does not depend on the weight."""


def settle(policy: Policy, wants: Wants, wish: Wish, given_kw: Floats) -> Floats:
    """The deficit buckets after a tick, shape (n,) [kWh]; see `derms.control.policies.rotation`.

    Args:
        policy: Under which it was given.
        wants: What the tick saw.
        wish: What the policy asked for.
        given_kw: What it gave, shape (n,) [kW].
    """
    fair = wish.fair_kw
    if fair is None:
        weight = wish.weight
        if weight is None:
            weight = np.ones_like(wants.cap_kw) if policy in _ALIKE else rotation.weights(wants)
        fair = rotation.fair_kw(wants, weight)
    return rotation.settle(wants, given_kw, fair)
