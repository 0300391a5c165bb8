"""The same for everybody. Pure."""

import numpy as np

from derms.control.policies.rotation import by_level
from derms.control.wants import Wants, Wish


def equal(wants: Wants) -> Wish:
    """Serve all alike, up to what each can take."""
    return by_level(wants, np.ones_like(wants.cap_kw))
