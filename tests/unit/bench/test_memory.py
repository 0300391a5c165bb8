"""What a process holds in memory, and how its growth is judged."""

import pytest

from derms.bench.daemon import resident_mb
from derms.bench.memory import slope
from derms.errors import UnavailableError


def test_growth_is_that_of_the_second_half() -> None:
    # Up by 100 MB in the first half, then by 0.001 MB a second: 3.6 MB an hour.
    seen = [(float(at_s), 100.0 + min(at_s, 300)) for at_s in range(300)]
    seen += [(float(at_s), 400.0 + 0.001 * (at_s - 300)) for at_s in range(300, 600)]
    assert slope(seen) == pytest.approx(3.6)


def test_the_kernel_counts_in_kibibytes() -> None:
    assert resident_mb("Name:\tpython\nVmRSS:\t  500000 kB\nThreads:\t1\n") == 512.0


def test_a_process_that_has_ended_holds_nothing() -> None:
    with pytest.raises(UnavailableError, match="holds no memory"):
        resident_mb("Name:\tpython\nState:\tZ (zombie)\n")
