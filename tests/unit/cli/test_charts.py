"""What `--chart` draws."""

import os
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from derms.api.schemas.history import FeederBucketOut, FeederHistoryOut
from derms.api.schemas.telemetry import TelemetryBucketOut
from derms.cli.charts import chart_bucket_s, check_chart, draw_device, draw_feeder
from derms.cli.contexts import Context
from derms.cli.formats import Format
from derms.cli.run import Run
from derms.cli.shared import Shared
from derms.cli.terminal import Terminal
from derms.errors import UsageError

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def run(
    *, looks: bool = False, colour: bool = False, unicode: bool = True, output: Format = Format.TABLE, utc: bool = True
) -> Run:
    terminal = Terminal(looks=looks, narrates=looks, asks=looks, colour=colour, unicode=unicode, width=100, lines=99)
    shared = Shared(utc=utc, output=output)
    return Run(shared=shared, terminal=terminal, context=Context(), origin="default")


def bucket(minute: int, load: float | None, limit: float | None = 150.0) -> FeederBucketOut:
    return FeederBucketOut(
        at=NOON + timedelta(minutes=minute),
        ticks=12,
        load_kw=load,
        load_max_kw=None if load is None else load + 20.0,
        load_min_kw=load,
        import_limit_kw=limit,
        export_limit_kw=40.0,
        background_kw=0.0,
        commanded_kw=0.0,
        headroom_kw=0.0,
        reserved_kw=0.0,
        shortfall_kw=0.0,
        export_shortfall_kw=0.0,
        pv_kw=0.0,
        battery_kw=0.0,
        ev_kw=0.0,
        base_kw=0.0,
        deferred_kw=0.0,
        curtailed_kw=0.0,
    )


def history(buckets: list[FeederBucketOut]) -> FeederHistoryOut:
    return FeederHistoryOut(feeder_id="f", since=NOON, until=NOON + timedelta(hours=1), bucket_s=60, buckets=buckets)


def test_piped_it_is_80_by_20_without_colours_and_says_who_is_who(capsys: pytest.CaptureFixture[str]) -> None:
    draw_feeder(run(), history([bucket(minute, 80.0 + minute) for minute in range(60)]))
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 20
    assert max(len(row) for row in rows) <= 80
    assert "\x1b" not in "".join(rows)
    for name in ("kW", "limit", "export limit", "peak", "load"):
        assert name in rows[0]
    assert rows[-1].startswith("+00:00 ")
    assert "12:00" in rows[-1]


def test_the_axis_is_in_the_zone_of_who_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as there:
            there.setenv("TZ", "Asia/Kolkata")
            time.tzset()
            draw_feeder(run(utc=False), history([bucket(minute, 80.0) for minute in range(60)]))
    finally:
        time.tzset()
    # 12:00 to 13:00 in UTC is 17:30 to 18:30 there.
    assert capsys.readouterr().out.splitlines()[-1].split() == ["+05:30", *("17:30", "17:40", "17:50", "18:00"),
                                                              *("18:10", "18:20", "18:30")]  # fmt: skip


def test_ascii_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    draw_feeder(run(unicode=False), history([bucket(minute, 80.0) for minute in range(60)]))
    assert capsys.readouterr().out.isascii()


def test_a_terminal_is_filled_and_coloured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((100, 26)))
    draw_feeder(run(looks=True, colour=True), history([bucket(minute, 80.0) for minute in range(60)]))
    out = capsys.readouterr().out
    rows = re.sub(r"\x1b\[\d*m", "", out).splitlines()
    assert [len(row) for row in rows] == [100] * 24
    assert "\x1b[36m" in out
    assert out.count("\x1b[0m") == len(re.findall(r"\x1b\[[1-9]\d*m", out))


def test_what_was_not_recorded_is_a_gap_in_load_and_limit(capsys: pytest.CaptureFixture[str]) -> None:
    draw_feeder(run(unicode=False), history([bucket(minute, 100.0) for minute in (*range(15), *range(45, 60))]))
    rows = capsys.readouterr().out.splitlines()
    field = [row.partition("|")[2] if "|" in row else row.partition("+")[2] for row in rows[1:-2]]
    width = max(len(row) for row in field)
    middle = slice(width // 3, 2 * width // 3)
    assert all(set(row[middle]) <= {" ", "."} for row in field)
    assert any("*" in row[: width // 4] for row in field)


def test_a_device_has_its_setpoint_and_its_charge_below(capsys: pytest.CaptureFixture[str]) -> None:
    buckets = [
        TelemetryBucketOut(
            at=NOON + timedelta(minutes=minute),
            samples=60,
            p_actual_kw=7.0,
            p_actual_max_kw=7.1,
            p_actual_min_kw=6.9,
            p_setpoint_kw=11.0,
            soc=minute / 60,
        )
        for minute in range(60)
    ]
    draw_device(run(), buckets, 60, NOON, NOON + timedelta(hours=1))
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 20
    assert "follows" in rows[0]
    assert "actual" in rows[0]
    assert "SOC" in rows[12]
    assert rows[13].startswith("   100 ")


def test_buckets_are_as_many_as_a_chart_can_show() -> None:
    assert chart_bucket_s(NOON, NOON + timedelta(hours=2)) == 30  # 7200 s / 240
    assert chart_bucket_s(NOON, NOON + timedelta(seconds=20)) == 1


def test_a_chart_is_not_for_programs() -> None:
    check_chart(run())
    with pytest.raises(UsageError, match="--chart with -o json"):
        check_chart(run(output=Format.JSON))
