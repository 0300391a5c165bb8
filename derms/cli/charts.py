"""What `--chart` draws: history as lines over time, as wide and as high as the terminal."""

import math
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from derms.cli.formats import Format
from derms.cli.run import Run
from derms.errors import UsageError
from derms.plot import AXIS, NOW, Chart, Row, Series, Stroke, XAxis, chart, plain

if TYPE_CHECKING:
    from derms.api.schemas.history import FeederHistoryOut
    from derms.api.schemas.telemetry import TelemetryBucketOut

_PIPED = (80, 20)
"""Columns and rows where nobody looks."""
_ROWS = (10, 30)
_SOC_ROWS = 8
_COLOURS = {
    "load": "36",
    "peak": "34",
    "limit": "31",
    "export": "35",
    "setpoint": "33",
    "soc": "32",
    AXIS: "2",
    NOW: "2",
}
_BUCKETS = 240
"""Two a column of a usual terminal: as many dots as braille has there."""


def check_chart(run: Run) -> None:
    """Refuse a chart in a format for programs.

    Raises:
        UsageError: One was asked for.
    """
    if run.format is not Format.TABLE:
        raise UsageError(
            f"--chart with -o {run.format.value}",
            why="a chart is for people",
            next_step="leave one of them out",
        )


def chart_bucket_s(since: datetime, until: datetime) -> int:
    """How long a bucket is of which there are about as many as a chart has columns of dots [s]."""
    return min(max(1, math.ceil((until - since).total_seconds() / _BUCKETS)), 86_400)


def draw_feeder(run: Run, told: "FeederHistoryOut") -> None:
    """Draw load, its peaks, and the limits."""
    starts = [one.at for one in told.buckets]
    of_peaks = [one.load_max_kw for one in told.buckets]
    peaks = _middles("peak", "peak", starts, of_peaks, told.bucket_s)
    series = [
        _steps("limit", "limit", starts, [one.import_limit_kw for one in told.buckets], told.bucket_s),
        _steps("export limit", "export", starts, [_negative(one.export_limit_kw) for one in told.buckets],
               told.bucket_s),
        Series(name=peaks.name, xs=peaks.xs, ys=peaks.ys, tone=peaks.tone, stroke=Stroke.DOTTED),
        _middles("load", "load", starts, [one.load_kw for one in told.buckets], told.bucket_s),
    ]  # fmt: skip
    _draw(run, _known(series), "kW", told.since, told.until, _size(run)[1])


def draw_device(
    run: Run, buckets: "Sequence[TelemetryBucketOut]", bucket_s: int, since: datetime, until: datetime
) -> None:
    """Draw power and setpoint, and below them the state of charge where there is one."""
    starts = [one.at for one in buckets]
    power = [
        _steps("follows", "setpoint", starts, [one.p_setpoint_kw for one in buckets], bucket_s),
        _middles("actual", "load", starts, [one.p_actual_kw for one in buckets], bucket_s),
    ]
    soc = [None if one.soc is None else one.soc * 100.0 for one in buckets]
    height = _size(run)[1]
    charged = any(one is not None for one in soc)
    _draw(run, _known(power), "kW", since, until, height - _SOC_ROWS if charged else height)
    if charged:
        line = _middles("SOC", "soc", starts, soc, bucket_s)
        _draw(run, [line], "%", since, until, _SOC_ROWS, include=(0.0, 100.0))


def _draw(
    run: Run,
    series: Sequence[Series],
    unit: str,
    since: datetime,
    until: datetime,
    height: int,
    *,
    include: Sequence[float] = (0.0,),
) -> None:
    offset = until.astimezone(UTC if run.shared.utc else None).utcoffset() or timedelta()
    drawn = Chart(
        series=series,
        unit=unit,
        x=XAxis(
            low=since.timestamp(),
            high=until.timestamp(),
            offset_s=offset.total_seconds(),
            # One offset for the whole axis: where clocks are changed in between, all of it is told by the later one.
            unit=_offset(offset),
        ),
        include=include,
    )
    rows = chart(drawn, _size(run)[0], height, ascii_only=not run.terminal.unicode)
    run.write("".join(f"{_text(row, colour=run.terminal.colour)}\n" for row in rows))


def _text(row: Row, *, colour: bool) -> str:
    if not colour:
        return plain(row).rstrip()
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if (code := _COLOURS.get(tone)) else text for text, tone in row)


def _size(run: Run) -> tuple[int, int]:
    """Columns and rows; what was typed and the next prompt stay in sight."""
    if not run.terminal.looks:
        return _PIPED
    size = shutil.get_terminal_size(_PIPED)
    return max(size.columns, 20), min(max(size.lines - 2, _ROWS[0]), _ROWS[1])


def _middles(name: str, tone: str, starts: Sequence[datetime], values: Sequence[float | None], bucket_s: int) -> Series:
    """Means, each in the middle of its bucket; a bucket that is missing is a gap."""
    xs: list[float] = []
    ys: list[float | None] = []
    for start, value in zip(starts, values, strict=True):
        at = start.timestamp() + bucket_s / 2
        if xs and at - xs[-1] > bucket_s * 1.5:
            xs.append(xs[-1] + bucket_s)
            ys.append(None)
        xs.append(at)
        ys.append(value)
    return Series(name=name, xs=xs, ys=ys, tone=tone)


def _steps(name: str, tone: str, starts: Sequence[datetime], values: Sequence[float | None], bucket_s: int) -> Series:
    """What holds for a whole bucket, and no longer."""
    xs: list[float] = []
    ys: list[float | None] = []
    for start, value in zip(starts, values, strict=True):
        if xs and start.timestamp() > xs[-1] + bucket_s:
            xs.append(xs[-1] + bucket_s)
            ys.append(None)
        xs.append(start.timestamp())
        ys.append(value)
    if xs:
        xs.append(xs[-1] + bucket_s)
        ys.append(None)
    return Series(name=name, xs=xs, ys=ys, tone=tone, step=True, stroke=Stroke.DASHED)


def _known(series: Sequence[Series]) -> list[Series]:
    return [one for one in series if any(y is not None for y in one.ys)]


def _negative(kw: float | None) -> float | None:
    return None if kw is None else -kw


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
