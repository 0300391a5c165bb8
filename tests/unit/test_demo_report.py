import pytest

from derms.demo_report import Window, judge
from sim.world import HeadSample


def _heads(*kw: float) -> list[HeadSample]:
    """One sample a second."""
    return [HeadSample(1000 * second, value) for second, value in enumerate(kw)]


WINDOW = Window(event_id="dr-1", limit_kw=50.0, start_ms=2000, end_ms=4000, compliant_after_s=0.0)


@pytest.mark.parametrize(
    ("kw", "windows", "longest_s", "share"),
    [
        ((90, 100, 100, 90), (), 0.0, 0.0),
        ((90, 100.9, 100.9, 90), (), 0.0, 0.0),  # within the tolerance of 1 %
        ((90, 102, 103, 90, 104), (), 2.0, 3 / 4),
        ((90, 90, 90, 90, 90), (WINDOW,), 2.0, 2 / 4),  # too much at 2 and 3 s, fine again at 4: [start, end)
        ((90, 90, 50, 50, 90), (WINDOW,), 0.0, 0.0),
    ],
)
def test_what_flowed_is_judged_by_the_limit_in_force_at_each_instant(
    kw: tuple[float, ...], windows: tuple[Window, ...], longest_s: float, share: float
) -> None:
    judged = judge(_heads(*kw), 100.0, windows)
    assert judged.longest_over_s == longest_s
    assert judged.over_share == pytest.approx(share)
