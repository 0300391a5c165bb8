"""Choosing row by row without a branch. Pure.

`numpy.where` jumps one way or the other at every row. Where a mask is as irregular as kinds of devices, or who runs,
the processor guesses wrong at every other row, which costs ten times what the copy does. Here all rows are worked out
alike, bit for bit. Where nearly all of them go one way `numpy.where` is as fast.
"""

import numpy as np

from derms.columns import Bools, Floats


def keep(mask: Bools, value: Floats) -> Floats:
    """``where(mask, value, 0.0)``, shape (n,)."""
    return (value.view(np.int64) * mask).view(np.float64)


def choose(mask: Bools, yes: Floats, no: Floats | float) -> Floats:
    """``where(mask, yes, no)``, shape (n,)."""
    other = np.asarray(no, dtype=np.float64).view(np.int64)
    bits = yes.view(np.int64) ^ other
    bits *= mask
    bits ^= other
    return bits.view(np.float64)
