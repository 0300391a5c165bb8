"""Arrays on memory pages of their own, for those that are large and grow."""

import contextlib
import math
import mmap
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)
_WORTH_PAGES = 256 * 1024
"""What is smaller the allocator may have [bytes]."""


def blank(shape: tuple[int, ...], dtype: np.dtype[S]) -> NDArray[S]:
    """Zeros, of which a page takes memory when it is first written, and which give all of it back when they go.

    What the allocator makes it may keep for others, or round up to pages of 2 MB, and so hold twice what is in use
    while an array grows.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _WORTH_PAGES:
        return np.zeros(shape, dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # not everywhere, and where there are no large pages not needed
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype=dtype, count=math.prod(shape)).reshape(shape)
