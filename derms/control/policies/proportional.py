"""In proportion to weight, whatever the hour. Pure."""

from derms.control.policies.rotation import by_level, weights
from derms.control.wants import Wants, Wish


def proportional(wants: Wants) -> Wish:
    """Serve by priority x need."""
    return by_level(wants, weights(wants))
