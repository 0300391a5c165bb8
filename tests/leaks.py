"""A pytest plugin: what a test leaves open is told against that test.

A socket, a transport or a process that nobody closed is complained about when the garbage collector finds it; left
alone it comes by some tests later, and another test fails.
"""

import gc
import time
from collections.abc import Iterator

import pytest

_LONG_S = 0.03
"""A collection that took longer looks through too much that stays."""
_growing = False


def pytest_collection_finish() -> None:
    """Set aside what the imports made, so that looking after every test takes milliseconds."""
    _set_aside()


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Collect the garbage; being autouse it is the first fixture set up, so that the others are taken down by then."""
    global _growing
    if _growing:
        # What tests import and remember grows to a million objects: to look through those takes longer than the tests.
        _set_aside()
    yield
    began_s = time.perf_counter()
    gc.collect()
    _growing = time.perf_counter() - began_s > _LONG_S


def _set_aside() -> None:
    gc.collect()
    gc.freeze()
