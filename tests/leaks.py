"""A pytest plugin: what a test leaves open is told against that test.

A socket, a transport or a process that nobody closed is complained about when the garbage collector finds it; left
alone it comes by some tests later, and another test fails.
"""

import gc
from collections.abc import Iterator

import pytest


def pytest_collection_finish() -> None:
    """Set aside what the imports made, so that looking after every test takes milliseconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Collect the garbage; being autouse it is the first fixture set up, so that the others are taken down by then."""
    yield
    gc.collect()
