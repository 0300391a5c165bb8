"""The higher priority first, strictly; equals take turns. Pure."""

import numpy as np

from derms.control.policies.rotation import fair_kw, turn_h
from derms.control.wants import Round, Wants, Wish

_APART = 1e3
_MOST_H = 0.4 * _APART
"""Turns never lift one priority above the next."""


def priority(wants: Wants) -> Wish:
    """Serve by priority; who waits too long does so because of those above it."""
    fair = fair_kw(wants, np.ones_like(wants.cap_kw))
    owed_h = turn_h(wants, fair)
    rank = wants.priority * _APART + np.clip(owed_h, -_MOST_H, _MOST_H)
    return Wish(rounds=(Round(ceiling_kw=wants.cap_kw, rank=rank),), turn=rank, claim_kw=wants.cap_kw, fair_kw=fair)
