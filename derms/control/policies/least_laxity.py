"""Who has least time to spare goes first: delivers the most energy. Pure."""

from derms.control.policies.plan import Outlook
from derms.control.policies.serving import by_laxity_only
from derms.control.wants import Wants, Wish


def least_laxity(wants: Wants) -> Wish:
    """Serve by laxity: the time until a device must be ready, less the time it needs at full power."""
    return by_laxity_only(wants, Outlook.of(wants), wants.left_kwh)
