"""`derms feeder history` and `derms device telemetry`: what was measured and decided."""

from typing import Annotated

import typer

from derms.cli.command import Run, watching
from derms.cli.formats import Column, Listing
from derms.cli.names import Kind, names_of
from derms.wording.instants import parse_past
from derms.wording.values import parse_duration

_Since = Annotated[str, typer.Option(help="From when: so long ago (2h), 17:30, or an instant.")]
_Until = Annotated[str, typer.Option(help="Until when; like --since.")]
_Bucket = Annotated[str | None, typer.Option(help="Length of a bucket, such as 1m.")]
_Chart = Annotated[bool, typer.Option("--chart", help="Draw lines instead of listing rows.")]
_PAGE = 10_000


@watching
async def feeder_history(
    run: Run,
    feeder_id: Annotated[str, typer.Argument(help="The feeder's id.", autocompletion=names_of(Kind.FEEDER))],
    since: _Since = "1h",
    until: _Until = "now",
    bucket: _Bucket = None,
    chart: _Chart = False,
) -> None:
    r"""Show what a feeder drew, what was allowed, and what was held back; means, unless the title says otherwise.

    \b
    Examples:
      derms feeder history feeder-1 --since 24h --chart
      derms feeder history feeder-1 --since 24h --bucket 15m -o csv
    """
    from derms.api.schemas.history import FeederBucketOut, HistoryQuery
    from derms.cli.charts import check_chart, draw_feeder

    if chart:
        check_chart(run)

    query = HistoryQuery(
        feeder_id=feeder_id,
        since=parse_past(since, run.now, utc=run.shared.utc),
        until=parse_past(until, run.now, utc=run.shared.utc),
        bucket_s=None if bucket is None else round(parse_duration(bucket)),
    )
    async with run.client() as client:
        told = await client.feeder_history(query)
    if chart and told.buckets:
        draw_feeder(run, told)
        return
    columns: list[Column[FeederBucketOut]] = [
        Column(name="at", title="AT", value=lambda one: one.at, shown=lambda one: run.local(one.at)),
        Column(name="load_kw", title="LOAD kW", value=lambda one: one.load_kw),
        Column(name="load_max_kw", title="MOST kW", value=lambda one: one.load_max_kw),
        Column(name="import_limit_kw", title="LIMIT kW", value=lambda one: one.import_limit_kw),
        Column(name="export_limit_kw", title="EXPORT kW", value=lambda one: one.export_limit_kw),
        Column(name="commanded_kw", title="COMMANDED kW", value=lambda one: one.commanded_kw),
        Column(name="pv_kw", title="PV kW", value=lambda one: one.pv_kw),
        Column(name="battery_kw", title="BATTERY kW", value=lambda one: one.battery_kw),
        Column(name="ev_kw", title="EV kW", value=lambda one: one.ev_kw),
        Column(name="shortfall_kw", title="SHORT kW", value=lambda one: one.shortfall_kw,
               tone=lambda one: "bad" if one.shortfall_kw > 0.0 else ""),
        Column(name="deferred_kw", title="DEFERRED kW", value=lambda one: one.deferred_kw),
        Column(name="curtailed_kw", title="CURTAILED kW", value=lambda one: one.curtailed_kw),
    ]  # fmt: skip
    run.rows(
        Listing(
            kind="buckets",
            rows=told.buckets,
            columns=columns,
            name=lambda one: one.at.isoformat(),
            nothing="nothing was recorded then",
        )
    )


@watching
async def device_telemetry(
    run: Run,
    device_id: Annotated[str, typer.Argument(help="The device's id.", autocompletion=names_of(Kind.DEVICE))],
    since: _Since = "1h",
    until: _Until = "now",
    bucket: _Bucket = None,
    chart: _Chart = False,
) -> None:
    r"""Show what a device measured: every sample, or with --bucket what they come to.

    \b
    Examples:
      derms device telemetry ev-007 --since 6h --chart
      derms device telemetry ev-007 --since 10m -o csv > ev-007.csv
    """
    from derms.api.schemas.telemetry import SampleOut, TelemetryBucketOut, TelemetryQuery
    from derms.cli.charts import chart_bucket_s, check_chart, draw_device
    from derms.cli.paging import pages

    first, last = (parse_past(text, run.now, utc=run.shared.utc) for text in (since, until))
    bucket_s = None if bucket is None else round(parse_duration(bucket))
    if chart:
        check_chart(run)
        bucket_s = bucket_s or chart_bucket_s(first, last)
    query = TelemetryQuery(since=first, until=last, bucket_s=bucket_s, limit=_PAGE)
    async with run.client() as client:
        got = await pages(lambda asked: client.telemetry(device_id, asked), query)
    nothing = "nothing was measured then"
    if bucket_s is None:
        samples: list[Column[SampleOut]] = [
            Column(name="at", title="AT", value=lambda one: one.at, shown=lambda one: run.local(one.at)),
            Column(name="p_actual_kw", title="ACTUAL kW", value=lambda one: one.p_actual_kw, digits=2),
            Column(name="p_setpoint_kw", title="FOLLOWS kW", value=lambda one: one.p_setpoint_kw, digits=2),
            Column(name="soc", title="SOC", value=lambda one: one.soc, digits=3),
            Column(name="status", title="STATUS", value=lambda one: one.status),
            Column(name="seq", title="SEQ", value=lambda one: one.seq),
        ]
        rows = [one for page in got for one in page.samples or ()]
        run.rows(
            Listing(kind="samples", rows=rows, columns=samples, name=lambda one: one.at.isoformat(), nothing=nothing)
        )
        return
    buckets: list[Column[TelemetryBucketOut]] = [
        Column(name="at", title="AT", value=lambda one: one.at, shown=lambda one: run.local(one.at)),
        Column(name="samples", title="SAMPLES", value=lambda one: one.samples),
        Column(name="p_actual_kw", title="MEAN kW", value=lambda one: one.p_actual_kw, digits=2),
        Column(name="p_actual_min_kw", title="LEAST kW", value=lambda one: one.p_actual_min_kw, digits=2),
        Column(name="p_actual_max_kw", title="MOST kW", value=lambda one: one.p_actual_max_kw, digits=2),
        Column(name="p_setpoint_kw", title="FOLLOWS kW", value=lambda one: one.p_setpoint_kw, digits=2),
        Column(name="soc", title="SOC", value=lambda one: one.soc, digits=3),
    ]
    means = [one for page in got for one in page.buckets or ()]
    if chart and means:
        draw_device(run, means, bucket_s, first, last)
        return
    run.rows(Listing(kind="buckets", rows=means, columns=buckets, name=lambda one: one.at.isoformat(), nothing=nothing))
