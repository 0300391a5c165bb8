"""The first screen: how a feeder stands to its limits, what it did lately, and how everything does. Pure."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from derms.api.schemas.events import EventOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import PartState
from derms.model import AlarmState, EventState, FeederMode, Priority
from derms.plot import Chart, Series, Stroke, Window, XAxis, chart
from derms.tui.fleet import Fleet
from derms.tui.lines import Glyphs, Row, beside, cut, heading, padded, share, spread, stacked
from derms.tui.paint.gauge import gauge, standing, used
from derms.tui.paint.log import merged_log
from derms.tui.picture import Picture
from derms.tui.said import clock, coarse, count, day_clock, kw, span
from derms.tui.series import Trail, steady

_HEAD_ROWS = 5
_AHEAD_S = 300.0
"""Of the future a chart shows, when nothing is scheduled [s]."""
_FAR = 0.6
"""Of what a chart shows of the past, what it shows of the future at most."""
_KINDS = (("ev", "EV", "ev"), ("battery", "battery", "battery"), ("pv", "PV", "pv"), ("load", "load", "base"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a screen is drawn of, beside the picture."""

    width: int
    height: int
    now: datetime
    """The controller's clock."""
    glyphs: Glyphs
    feeder_id: str = ""
    minutes: int = 30
    limit_kw: float | None = None
    """Where the mark of the import limit is on its way; None: where it belongs."""


def overview(picture: Picture, scene: Scene) -> list[Row]:
    """The whole screen."""
    width, height, glyphs = scene.width, scene.height, scene.glyphs
    feeder = picture.feeder(scene.feeder_id)
    if feeder is None:
        return stacked(waiting(picture, glyphs), width, height)
    roots = [feeder_id for feeder_id, depth in picture.tree() if depth == 0]
    rows: list[Row] = []
    if len(roots) > 1:
        rows += _roots(picture, roots, scene)
    rows += feeder_head(picture, feeder, scene)
    tall = height - len(rows)
    bottom = 6 if tall < 26 else 7
    lately = min(max(tall - bottom - 30, 0), 14)
    drawn = max(tall - bottom - lately, 3)
    title = heading(f"Last {scene.minutes} minutes", width, glyphs, note="- / + longer or shorter")
    rows.append(title)
    rows += feeder_chart(picture, scene, width, drawn - 1)
    rows += _bottom(picture, feeder, scene, bottom)
    if lately > 2:
        rows.append(heading("Lately", width, glyphs))
        rows += log_rows(picture, width, lately - 1, scene)
    return stacked(rows, width, height, ascii_only=glyphs.ascii_only)


def waiting(picture: Picture, glyphs: Glyphs) -> list[Row]:
    """What stands there before anything is known."""
    rows: list[Row] = [[], [(f"  {picture.link.phase.value} {glyphs.pick('…', '...')}", "title")]]
    if picture.link.why:
        rows.append([(f"  {picture.link.why}", "warn")])
        rows += [[], [("  It is tried again by itself; ctrl-r tries at once, q quits.", "dim")]]
    elif picture.at is not None:
        rows.append([("  The controller has no feeder yet.", "dim")])
    return rows


def feeder_head(picture: Picture, feeder: FeederSummaryOut, scene: Scene) -> list[Row]:
    """Gauges and the words below them."""
    width, glyphs = scene.width, scene.glyphs
    limit = feeder.import_limit_kw if scene.limit_kw is None else scene.limit_kw
    word, tone = standing(max(feeder.load_kw, 0.0), feeder.import_limit_kw)
    if feeder.load_kw < 0.0 and feeder.export_limit_kw is not None:
        word, tone = standing(-feeder.load_kw, feeder.export_limit_kw)
    sign = {"good": glyphs.dot, "warn": glyphs.half, "bad": glyphs.warn}.get(tone, glyphs.ring)
    mode = (f"{feeder.mode.value.upper()}", "good" if feeder.mode is FeederMode.AUTO else "warn")
    name = f"  {feeder.name}" if feeder.name and feeder.name != feeder.feeder_id else ""
    rows: list[Row] = [
        spread(
            [(feeder.feeder_id, "title"), (name, "dim")],
            [("mode ", "dim"), mode, ("   ", ""), (f"{sign} {word}", tone)],
            width,
            ascii_only=glyphs.ascii_only,
        )
    ]
    rows.append(_side("import", max(feeder.load_kw, 0.0), limit, feeder.import_limit_kw, scene))
    rows.append(_side("export", max(-feeder.load_kw, 0.0), feeder.export_limit_kw, feeder.export_limit_kw, scene))
    rows.append(cut(_who_limits(feeder, scene), width, ascii_only=glyphs.ascii_only))
    rows.append(cut(_held_back(picture, feeder, scene), width, ascii_only=glyphs.ascii_only))
    return rows


def _side(name: str, value: float, mark: float | None, limit: float | None, scene: Scene) -> Row:
    """A direction: the gauge, and what is free below the limit."""
    if limit is None:
        figures, room = f" {kw(value):>8} kW, no limit", ""
    else:
        figures, room = (
            f" {kw(value):>8} of {kw(limit):>8} kW {used(value, limit):>5}",
            f"  free {kw(limit - value):>7}",
        )
    bar = max(scene.width - 8 - 44, 8)
    return [
        (f"{name:<8}", "dim"),
        *gauge(value, mark, bar, scene.glyphs),
        (f"{figures:<30}", ""),
        (f"{room:<14}", "good" if limit is None or limit > value else "warn"),
    ]


def _who_limits(feeder: FeederSummaryOut, scene: Scene) -> Row:
    """`limit 124 kW by DR event dr-1 (peak) until 21:32, static 165 kW`."""
    row: Row = [("binds   ", "dim")]
    source = feeder.limit_source
    event = next((one for one in feeder.active_events if one.event_id == source), None)
    if feeder.import_limit_kw is None:
        row.append(("no import limit", ""))
    elif event is not None:
        row += [(f"{kw(feeder.import_limit_kw)} kW by DR event {source}", "window"), (_until(event, scene.now), "dim")]
        if feeder.static_import_limit_kw is not None:
            row.append((f", static {kw(feeder.static_import_limit_kw)} kW", "dim"))
    elif source in ("static", ""):
        row.append((f"{kw(feeder.import_limit_kw)} kW, static", ""))
    else:
        row.append((f"{kw(feeder.import_limit_kw)} kW by {source}", "window"))
    if feeder.headroom_kw is not None:
        row.append((f"{scene.glyphs.middle}to give {kw(feeder.headroom_kw)} kW, "
                    f"given {kw(feeder.commanded_kw)}", "dim"))  # fmt: skip
    if feeder.next_event is not None and feeder.next_event.state is EventState.SCHEDULED:
        row.append((f"{scene.glyphs.middle}next {_short(feeder.next_event)} at "
                    f"{day_clock(feeder.next_event.start, scene.now)}", "planned"))  # fmt: skip
    elif event is None and not feeder.active_events:
        row.append((f"{scene.glyphs.middle}no DR event", "dim"))
    return row


def _until(event: EventOut, now: datetime) -> str:
    name = event.name or event.reason
    return f"{f' ({name})' if name else ''} until {day_clock(event.end, now)}"


def _short(event: EventOut) -> str:
    if event.import_limit_kw is not None:
        return f"{event.event_id} {event.import_limit_kw:g} kW"
    if event.shed_kw is not None:
        return f"{event.event_id} shed {event.shed_kw:g} kW"
    return event.event_id


def _held_back(picture: Picture, feeder: FeederSummaryOut, scene: Scene) -> Row:
    """The reserve, who makes room, and what is left."""
    glyphs = scene.glyphs
    silent = sum(feeder.freshness.get(name, 0) for name in ("stale", "lost", "never"))
    row: Row = [("reserve ", "dim")]
    row.append((f"{kw(feeder.reserved_kw)} kW for {count(silent, 'silent device')}",
                "reserve" if feeder.reserved_kw > 0.0 else ""))  # fmt: skip
    if feeder.measured_kw is None:
        row.append((f"{glyphs.middle}{glyphs.warn} no head meter: load is estimated", "warn"))
    if feeder.shortfall_kw > 0.0:
        row.append((f"{glyphs.middle}{glyphs.warn} {kw(feeder.shortfall_kw)} kW cannot be relieved", "bad"))
    making, room_kw = picture.fleet.making_room(scene.now.timestamp())
    if making:
        row.append((f"{glyphs.middle}{glyphs.down} {count(making, 'device')} making room: {kw(room_kw)} kW", "warn"))
    if feeder.margin_kw:
        row.append((f"{glyphs.middle}margin {feeder.margin_kw:g} kW", "dim"))
    if feeder.policy is not None:
        row.append((f"{glyphs.middle}policy {feeder.policy.value}", "dim"))
    if feeder.active_programs:
        row.append((f"{glyphs.middle}{count(len(feeder.active_programs), 'program')}", "window"))
    return row


def _roots(picture: Picture, roots: list[str], scene: Scene) -> list[Row]:
    """One line for each tree, as many as there is room for."""
    shown = max(scene.height // 6, 2)
    at = next((number for number, root in enumerate(roots) if scene.feeder_id == root), 0)
    first = max(min(at - shown // 2, len(roots) - shown), 0)
    rows: list[Row] = []
    for root in roots[first : first + shown]:
        if (feeder := picture.feeder(root)) is None:
            continue
        mine = root == scene.feeder_id
        value = max(feeder.load_kw, 0.0)
        word, tone = standing(value, feeder.import_limit_kw)
        figures = (
            f" {kw(value):>8} of {kw(feeder.import_limit_kw) if feeder.import_limit_kw is not None else '-':>8} kW  "
        )
        bar = max(scene.width - 18 - len(figures) - 18, 8)
        rows.append(padded([
            (f"{scene.glyphs.pointer if mine else ' '} {root:<15.15} ", "accent" if mine else ""),
            *gauge(value, feeder.import_limit_kw, bar, scene.glyphs), (figures, ""), (word, tone),
        ], scene.width))  # fmt: skip
    return rows


def feeder_chart(picture: Picture, scene: Scene, width: int, height: int) -> list[Row]:
    """Load, limit, background, what is commanded, and PV; DR events are shaded."""
    now_s = steady(scene.now.timestamp(), scene.minutes)
    windows, high = _windows(picture, scene, now_s)
    feeder = picture.feeder(scene.feeder_id)
    include = [0.0]
    if feeder is not None and feeder.import_limit_kw is not None:
        include.append(feeder.import_limit_kw)
    trail = picture.trail(scene.feeder_id)
    made_of = (now_s, high, scene.minutes, width, height, tuple(include), tuple(windows))
    return trail.drawn(
        "feeder", made_of, lambda: _drawn(trail, scene, windows, include, (now_s, high), (width, height))
    )


def _drawn(
    trail: Trail, scene: Scene, windows: list[Window], include: list[float], until_s: tuple[float, float],
    size: tuple[int, int],
) -> list[Row]:  # fmt: skip
    now_s, high = until_s
    low = now_s - scene.minutes * 60.0
    xs, ys = trail.since(low)
    lines = [
        Series(name="background", xs=xs, ys=ys["background"], tone="background", stroke=Stroke.DOTTED),
        Series(name="PV made", xs=xs, ys=ys["pv"], tone="pv"),
        Series(name="commanded", xs=xs, ys=ys["commanded"], tone="commanded", step=True),
        Series(name="limit", xs=xs, ys=ys["import_limit"], tone="limit", step=True, stroke=Stroke.DASHED),
        Series(name="load", xs=xs, ys=ys["load"], tone="load"),
    ]
    what = Chart(
        series=lines[3:] if size[1] < 6 else lines,
        windows=windows,
        unit="kW",
        x=XAxis(low=low, high=high, offset_s=_offset_s(scene.now)),
        include=include,
        now=now_s,
    )
    return chart(what, *size, ascii_only=scene.glyphs.ascii_only)


def _offset_s(now: datetime) -> float:
    offset = now.astimezone().utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _windows(picture: Picture, scene: Scene, now_s: float) -> tuple[list[Window], float]:
    """What is shaded, and how far ahead the chart goes."""
    past_s = scene.minutes * 60.0
    high, most = now_s + _AHEAD_S * scene.minutes / 30.0, now_s + _FAR * past_s
    windows = []
    for event in picture.windows(scene.feeder_id):
        start, end = event.start.timestamp(), (event.cancelled_at or event.end).timestamp()
        if end <= start or end < now_s - past_s or start >= most:
            continue
        high = min(max(high, end + 0.02 * past_s), most) if end > now_s else high
        planned = event.state is EventState.SCHEDULED
        name = f"DR {_short(event)}" if not planned else f"DR planned {_short(event)}"
        windows.append(Window(start=start, end=end, name=name, tone="shade-planned" if planned else "shade"))
    return windows, high


def _bottom(picture: Picture, feeder: FeederSummaryOut, scene: Scene, height: int) -> list[Row]:
    """Panels side by side."""
    glyphs = scene.glyphs
    if scene.width >= 112:
        widths = share(scene.width, 4, gap=3)
        panels = [
            _fleet_panel(feeder, widths[0], glyphs),
            following_panel(picture.fleet, feeder, widths[1], glyphs),
            alarms_panel(picture, widths[2], height, scene),
            health_panel(picture, widths[3], scene),
        ]
    else:
        widths = share(scene.width, 3, gap=2)
        alarms = alarms_panel(picture, widths[2], 3, scene)
        panels = [
            _fleet_panel(feeder, widths[0], glyphs),
            following_panel(picture.fleet, feeder, widths[1], glyphs),
            [*alarms[:2], *health_panel(picture, widths[2], scene)],
        ]
    return beside(list(zip(panels, widths, strict=True)), height, gap=3 if scene.width >= 112 else 2)


def _fleet_panel(feeder: FeederSummaryOut, width: int, glyphs: Glyphs) -> list[Row]:
    rows = [heading("Fleet", width, glyphs, note=f"{feeder.devices_total:,}, kW")]
    powers = {"ev": feeder.ev_kw, "battery": feeder.battery_kw, "pv": feeder.pv_kw, "load": feeder.base_kw}
    for key, name, tone in _KINDS:
        number, power = feeder.devices_by_type.get(key, 0), powers[key]
        rows.append([
            (f"{glyphs.pick('▪', '*')} {name:<7}", tone), (f"{number:>5,}", "dim"),
            (f"{kw(abs(power)) if number or abs(power) > 0.05 else '-':>7} {_way(power)}", ""),
        ])  # fmt: skip
    rows.append([("  unmetered   ", "dim"), (f"{kw(abs(feeder.background_kw)):>7} {_way(feeder.background_kw)}", "")])
    return rows


def _way(power_kw: float) -> str:
    return "in " if power_kw > 0.05 else "out" if power_kw < -0.05 else "   "


def following_panel(fleet: Fleet, feeder: FeederSummaryOut, width: int, glyphs: Glyphs) -> list[Row]:
    """Origin, freshness, and how well devices follow."""
    origins = feeder.devices_by_origin
    rows = [heading("Following", width, glyphs)]
    rows.append([("PI", "physical"), (f" {origins.get('physical', 0):,} physical", ""),
                 (f"  {origins.get('simulated', 0):,} {'simulated' if width >= 27 else 'sim'}", "dim")])  # fmt: skip
    fresh = feeder.freshness
    bad = fresh.get("lost", 0) + fresh.get("never", 0)
    rows.append([
        (f"{glyphs.dot} {fresh.get('good', 0):,} ok", "good"),
        (f"  {glyphs.half} {fresh.get('stale', 0):,} stale", "warn" if fresh.get("stale") else "dim"),
        (f"  {glyphs.ring} {bad:,} lost", "bad" if bad else "dim"),
    ])  # fmt: skip
    errors = fleet.column("error")
    known = np.flatnonzero(np.isfinite(errors))
    if not known.size:
        rows.append([("error no setpoint is followed", "dim")])
        return rows
    mean = float(errors[known].mean())
    rows.append([("error ", "dim"), (f"mean {mean:.2f} kW", "warn" if mean > 0.5 else ""),
                 (f" of {known.size:,}", "dim")])  # fmt: skip
    worst = known[np.argsort(-errors[known], kind="stable")[:2]]
    for number, at in enumerate(worst.tolist()):
        far = errors[at] >= 0.5
        label = "worst " if not number else "      "
        rows.append([(label, "dim"), (f"{fleet.ids[at]:<10.14} {errors[at]:>6.2f}", "warn" if far else "")])
    return rows


def alarms_panel(picture: Picture, width: int, height: int, scene: Scene) -> list[Row]:
    """The alarms that want somebody, the most urgent first."""
    glyphs = scene.glyphs
    alarms = picture.open_alarms()
    fresh = sum(alarm.state in (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED) for alarm in alarms)
    note = f"{len(alarms)} open, {fresh} new" if alarms else "none"
    rows = [heading("Alarms", width, glyphs, note=note, tone="alarm" if fresh else "title")]
    if not alarms:
        rows.append([(f"{glyphs.dot} nothing is wrong", "good")])
    room = max(height - 1, 1)
    for alarm in alarms[: room if len(alarms) <= room else max(room - 1, 1)]:
        tone = {Priority.HIGH: "bad", Priority.MEDIUM: "warn"}.get(alarm.priority, "")
        mark = glyphs.warn if not alarm.acknowledged else glyphs.half
        rows.append(cut([(f"{mark} {alarm.cause}", tone if not alarm.acknowledged else "dim")], width))
    if len(alarms) > room:
        rows.append([(f"  {len(alarms) - max(room - 1, 1)} more: 5", "dim")])
    return rows


def health_panel(picture: Picture, width: int, scene: Scene) -> list[Row]:
    """The parts of the daemon, with their ages."""
    glyphs, health = scene.glyphs, picture.health
    if health is None:
        return [heading("Health", width, glyphs), [("not known", "dim")]]
    rows = [heading("Health", width, glyphs, note=f"up {span(health.uptime_s)}")]
    names = {"mqtt": "MQTT", "store": "DB", "loop": "loop"}
    passed_s = 0.0 if picture.at is None else max((scene.now - picture.at).total_seconds(), 0.0)
    for name, part in health.parts.items():
        good = part.state is PartState.OK
        tone = "good" if good else "warn" if part.state is PartState.STARTING else "bad"
        age = coarse(part.age_s + passed_s)
        if name == "loop" and good:
            age = f"last tick {int(part.age_s + passed_s)}s ago" if part.age_s + passed_s >= 5 else "ticking"
        mark = glyphs.dot if good else glyphs.warn
        rows.append(cut([
            (f"{mark} {names.get(name, name):<6}", tone), (f"{part.state.value.upper():<9}", tone), (age, "dim"),
            (f"  {part.detail}" if part.detail and not good else "", "warn"),
        ], width))  # fmt: skip
    return rows


def log_rows(picture: Picture, width: int, height: int, scene: Scene) -> list[Row]:
    """The newest lines of the log, the newest first."""
    newest = merged_log(picture)[:height]
    return [
        cut([(clock(line.at), "dim"), (f"  {line.kind:<6} ", "dim"), (line.text, line.tone)], width)
        for line in newest
    ]  # fmt: skip
