"""How much the load that nobody controls swings, over minutes; and what that says while nobody can see it. Pure."""

from dataclasses import replace

import numpy as np

from derms.columns import Bools, Floats, NodeMemory
from derms.control.layout import Layout

_SLOW_S = 600.0
"""Swings are seen against a mean over about this long [s]."""
_SWING_S = 1800.0
"""...and remembered for about this long [s]."""
_WINDOW_S = 900.0
"""The highest load of this window and of the one before it is remembered [s]."""


def watch_swings(import_kw: Floats, memory: NodeMemory, dt_s: float) -> NodeMemory:
    """Learn by how much the load that nobody controls swings, and how high it was of late.

    Args:
        import_kw: That load, shape (m,) [kW].
        memory: What was remembered.
        dt_s: Since the last tick [s].
    """
    turns = memory.high_age_s + dt_s >= _WINDOW_S
    mean = np.where(np.isfinite(memory.mean_kw), memory.mean_kw, import_kw)
    off = import_kw - mean
    slow, fade = 1.0 - np.exp(-dt_s / _SLOW_S), 1.0 - np.exp(-dt_s / _SWING_S)
    return replace(
        memory,
        high_kw=np.where(turns, import_kw, np.fmax(memory.high_kw, import_kw)),
        high_before_kw=np.where(turns, memory.high_kw, memory.high_before_kw),
        high_age_s=np.where(turns, 0.0, memory.high_age_s + dt_s),
        mean_kw=mean + slow * off,
        swing_kw2=memory.swing_kw2 + fade * (off * off - memory.swing_kw2),
    )


def swinging(memory: NodeMemory, target_kw: Floats, layout: Layout) -> Floats:
    """How much of what each device shares in swings, shape (n,) [share]; the most on its way to the root."""
    shared = layout.sums(np.maximum(target_kw, 0.0))
    swing = np.sqrt(memory.swing_kw2) / np.maximum(shared, 1e-3)
    return -layout.tree.down_min(-np.minimum(swing, 1.0))[layout.node]


def unseen_rise_kw(import_kw: Floats, blind: Bools, memory: NodeMemory) -> Floats:
    """What is kept free, shape (m,) [kW], for what may rise while a head meter is silent.

    The load is taken to be as high as it was within the last half hour, and a swing higher.

    Args:
        import_kw: As it was last believed, shape (m,) [kW].
        blind: Where the head meter is silent, shape (m,).
        memory: What was remembered.
    """
    high = np.fmax(np.fmax(memory.high_kw, memory.high_before_kw), import_kw)
    return np.where(blind, high - import_kw + np.sqrt(memory.swing_kw2), 0.0)
