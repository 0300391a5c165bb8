"""One device: what it was told and what it did, its charge, and why. Pure."""

from dataclasses import dataclass
from datetime import datetime

from derms.api.schemas.why import WhyOut
from derms.plot import Chart, Series, XAxis, chart
from derms.tui.device_columns import soc_bar, state_row
from derms.tui.fleet import Fleet, error_kw, seconds_of, setpoint_kw
from derms.tui.lines import Glyphs, Row, beside, cut, heading, spread, stacked, wrapped
from derms.tui.paint.overview import Scene
from derms.tui.said import coarse, flow, kw
from derms.tui.series import Trail, steady

DEVICE_LINES = ("actual", "setpoint", "soc")


@dataclass(slots=True)
class Chosen:
    """The device that is looked at."""

    device_id: str
    trail: Trail
    why: WhyOut | None = None
    problem: str = ""
    """Why there is no `why`."""


def new_chosen(device_id: str) -> Chosen:
    """A device that is looked at from now on."""
    return Chosen(device_id, Trail(DEVICE_LINES, every_s=5.0))


def device_values(row: dict[str, object]) -> dict[str, float | None]:
    """What the charts of a device draw."""
    actual, soc = row.get("p_actual_kw"), row.get("soc")
    return {
        "actual": float(actual) if isinstance(actual, int | float) else None,
        "setpoint": setpoint_kw(row),
        "soc": float(soc) if isinstance(soc, int | float) else None,
    }


def detail(fleet: Fleet, chosen: Chosen | None, scene: Scene) -> list[Row]:
    """Charts at the left, words at the right."""
    width, height, glyphs = scene.width, scene.height, scene.glyphs
    if chosen is None or (row := fleet.row(chosen.device_id)) is None:
        return stacked([heading("", width, glyphs), [("no device", "dim")]], width, height)
    words_width = max(min(width * 2 // 5, 64), 30)
    chart_width = width - words_width - 3
    head = heading(chosen.device_id, chart_width, glyphs, note="setpoint against actual")
    inner = max(height - 1, 1)
    with_soc = row.get("soc") is not None and inner >= 11
    soc_rows = inner // 3 if with_soc else 0
    charts = [head, *device_chart(chosen, scene, chart_width, inner - soc_rows)]
    if with_soc:
        charts += soc_chart(chosen, scene, chart_width, soc_rows)
    words = facts(fleet, row, chosen, words_width, scene.now, glyphs)
    return beside([(charts, chart_width), (words, words_width)], height, gap=3)


def device_chart(chosen: Chosen, scene: Scene, width: int, height: int) -> list[Row]:
    """What it was told and what it drew."""
    now_s = steady(scene.now.timestamp(), scene.minutes)

    def draw() -> list[Row]:
        xs, ys = chosen.trail.since(now_s - scene.minutes * 60.0)
        lines = [
            Series(name="setpoint", xs=xs, ys=ys["setpoint"], tone="setpoint", step=True),
            Series(name="actual", xs=xs, ys=ys["actual"], tone="actual"),
        ]
        what = Chart(series=lines, unit="kW", x=_axis(scene, now_s))
        return chart(what, width, height, ascii_only=scene.glyphs.ascii_only)

    return chosen.trail.drawn("device", (now_s, scene.minutes, width, height), draw)


def soc_chart(chosen: Chosen, scene: Scene, width: int, height: int) -> list[Row]:
    """Its state of charge."""
    now_s = steady(scene.now.timestamp(), scene.minutes)

    def draw() -> list[Row]:
        xs, ys = chosen.trail.since(now_s - scene.minutes * 60.0)
        percent = [None if value is None else value * 100.0 for value in ys["soc"]]
        lines = [Series(name="SOC", xs=xs, ys=percent, tone="soc")]
        what = Chart(series=lines, unit="%", x=_axis(scene, now_s), include=(0.0, 100.0))
        return chart(what, width, height, ascii_only=scene.glyphs.ascii_only)

    return chosen.trail.drawn("soc", (now_s, scene.minutes, width, height), draw)


def _axis(scene: Scene, now_s: float) -> XAxis:
    offset = scene.now.astimezone().utcoffset()
    offset_s = 0.0 if offset is None else offset.total_seconds()
    return XAxis(low=now_s - scene.minutes * 60.0, high=now_s, offset_s=offset_s)


def facts(fleet: Fleet, row: dict[str, object], chosen: Chosen, width: int, now: datetime, glyphs: Glyphs) -> list[Row]:
    """What is known of it, and why it has its setpoint."""
    heard = row.get("heard_at")
    age_s = now.timestamp() - seconds_of(heard if isinstance(heard, str) else None)
    rows: list[Row] = [
        spread([("why", "title")], [*state_row(row, glyphs), (f"  heard {coarse(max(age_s, 0.0))} ago", "dim")], width)
    ]
    if chosen.why is not None:
        rows += wrapped(chosen.why.words, width)
        binding = [bound for bound in chosen.why.bounds if bound.binding]
        for bound in binding:
            rows += wrapped(f"{glyphs.pointer} {bound.words}", width, "warn", hang=2)
            for remedy in bound.remedies:
                rows += wrapped(f"{glyphs.arrow} {remedy}", width, "accent", hang=2)
    else:
        rows += wrapped(chosen.problem or "asking why ...", width, "warn" if chosen.problem else "dim")
    actual = row.get("p_actual_kw")
    error = error_kw(row)
    told = flow(setpoint_kw(row)).strip()
    drawn = flow(float(actual) if isinstance(actual, int | float) else None).strip()
    rows.append([("actual ", "dim"), (drawn, "actual"), ("  setpoint ", "dim"), (told, "setpoint"),
                 ("  error ", "dim"), (kw(None if error is None else abs(error), digits=2), "")])  # fmt: skip
    lease = row.get("lease")
    if isinstance(lease, dict):
        left = coarse(seconds_of(lease["valid_until"]) - now.timestamp())
        said = "acknowledged" if lease.get("acknowledged") else "not acknowledged"
        rows.append([("lease  ", "dim"), (f"{left} left, {said}", ""), (f"  {lease.get('reason', '')}", "dim")])
    override = row.get("override")
    if isinstance(override, dict):
        what = "held" if override["kind"] == "hold" else "blocked"
        rows += wrapped(f"{what} by {override['created_by']}: {override['reason']}", width, "warn")
    soc = row.get("soc")
    if isinstance(soc, int | float):
        rows.append([("SOC    ", "dim"), *soc_bar(float(soc), 16, glyphs)])
    rating = f"{row.get('p_import_max_kw', 0):g} in / {row.get('p_export_max_kw', 0):g} out kW"
    rows.append([("rating ", "dim"), (rating, ""), (f"  priority {row.get('priority')}", "dim")])
    place = f"{row.get('type')} on {row.get('feeder_id')}"
    rows.append([("where  ", "dim"), (place, ""), (f"  {row.get('site_id') or ''}", "dim")])
    return [cut(one, width, ascii_only=glyphs.ascii_only) for one in rows]
