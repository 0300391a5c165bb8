"""Demand response: events and programs on a line of time, and what came of one. Pure."""

from datetime import datetime, timedelta

from derms.api.schemas.events import EventOut, PreviewOut
from derms.api.schemas.outcomes import OutcomeOut
from derms.api.schemas.programs import ProgramOut, ProgramState
from derms.model import EventState
from derms.plot import Chart, Series, Stroke, XAxis, chart, fitted
from derms.tui.lines import Glyphs, Row, beside, cut, heading, padded, stacked, wrapped
from derms.tui.paint.overview import Scene
from derms.tui.said import count, day_clock, kw, percent, span

_TONES = {
    EventState.ACTIVE: "window", EventState.SCHEDULED: "planned", EventState.OVER: "dim", EventState.CANCELLED: "stale",
}  # fmt: skip
_PROGRAM_TONES = {
    ProgramState.BEARING: "window", ProgramState.WAITING: "planned", ProgramState.INACTIVE: "stale",
    ProgramState.OVER: "dim",
}  # fmt: skip
_PARTS = (("participated", "good"), ("refused", "bad"), ("overridden", "warn"), ("silent", "warn"),
          ("not_called", "dim"))  # fmt: skip
_SPANS_H = (1, 3, 6, 12, 24, 72, 168)


def event_rank(event: EventOut) -> tuple[int, float]:
    """Active ones first, then what is to come, then what was, the newest first."""
    start = event.start.timestamp()
    match event.state:
        case EventState.ACTIVE:
            return 0, start
        case EventState.SCHEDULED:
            return 1, start
        case _:
            return 2, -start


def amount(event: EventOut) -> str:
    """What it asks for."""
    parts = []
    if event.import_limit_kw is not None:
        parts.append(f"import {event.import_limit_kw:g}")
    if event.export_limit_kw is not None:
        parts.append(f"export {event.export_limit_kw:g}")
    if event.shed_kw is not None:
        parts.append(f"shed {event.shed_kw:g}")
    return f"{', '.join(parts)} kW"


def event_cells(event: EventOut, now: datetime, width: int, glyphs: Glyphs) -> Row:
    """One event as a row of the table."""
    tone = _TONES[event.state]
    mark = {
        EventState.ACTIVE: glyphs.dot, EventState.SCHEDULED: glyphs.half, EventState.OVER: glyphs.pick("·", "."),
        EventState.CANCELLED: glyphs.pick("✕", "x"),
    }[event.state]  # fmt: skip
    end = event.cancelled_at or event.end
    left = ""
    if event.state is EventState.ACTIVE:
        left = f"{span((event.end - now).total_seconds())} left"
    elif event.state is EventState.SCHEDULED:
        left = f"in {span((event.start - now).total_seconds())}"
    named = event.name or event.reason
    row: Row = [
        (f"{mark} {event.state.value:<10}", tone),
        (fitted(event.event_id, 16, ascii_only=glyphs.ascii_only), ""), (" ", ""),
        (fitted(f"{day_clock(event.start, now)}-{day_clock(end, now)}", 15), "dim"), (" ", ""),
        (fitted(left, 8, right=True), tone), ("  ", ""),
        (fitted(amount(event), 15), "limit"), (" ", ""),
        (fitted(" ".join(event.feeder_ids), 14, ascii_only=glyphs.ascii_only), "dim"), ("  ", ""), (named, ""),
    ]  # fmt: skip
    return cut(row, width, ascii_only=glyphs.ascii_only)


def program_cells(program: ProgramOut, now: datetime, width: int, glyphs: Glyphs) -> Row:
    """One program as a row of the table."""
    tone = _PROGRAM_TONES[program.state]
    mark = glyphs.dot if program.state is ProgramState.BEARING else glyphs.half if program.active else glyphs.ring
    what = f"cap {program.target_shed_kw:g} kW"
    if program.kind.value != "fixed_cap":
        what = f"price {program.incentive_per_kwh + program.penalty_per_kwh:g}/kWh"
    row: Row = [
        (f"{mark} {program.state.value:<10}", tone),
        (fitted(program.program_id, 16, ascii_only=glyphs.ascii_only), ""), (" ", ""),
        (fitted(f"{program.start.astimezone():%d %b}-{program.end.astimezone():%d %b}", 15), "dim"), (" ", ""),
        (fitted("program", 8, right=True), "dim"), ("  ", ""),
        (fitted(what, 15), "limit"), (" ", ""),
        (fitted(" ".join(program.feeder_ids) or "all feeders", 14, ascii_only=glyphs.ascii_only), "dim"), ("  ", ""),
        (program.name, ""),
    ]  # fmt: skip
    return cut(row, width, ascii_only=glyphs.ascii_only)


TITLES: Row = [
    (f"{'  state':<12}{'event':<17}{'when':<16}{'':>8}  {'asks for':<15} {'feeders':<14}  name or reason", "dim")
]


def timeline(events: list[EventOut], programs: list[ProgramOut], scene: Scene, height: int) -> list[Row]:
    """Bars over time, now in the first third."""
    width, glyphs, now = scene.width, scene.glyphs, scene.now
    shown = [one for one in events if one.state is not EventState.CANCELLED]
    hours = _span_h(shown, now)
    low, high = now - timedelta(hours=hours / 3.0), now + timedelta(hours=hours * 2.0 / 3.0)
    label = min(max(width // 6, 12), 20)
    room = max(width - label - 1, 10)
    rows: list[Row] = [
        heading("Timeline", width, glyphs, note=f"{hours} h, {_zone(now)}"),
        _scale(low, high, label, room),
    ]
    bars: list[tuple[str, datetime, datetime, str, str]] = [
        (one.name or one.event_id, one.start, one.cancelled_at or one.end, _TONES[one.state], amount(one))
        for one in sorted(shown, key=event_rank)
        if one.end > low and one.start < high
    ]
    bars += [
        (one.name, one.start, one.end, _PROGRAM_TONES[one.state], f"program {one.kind.value}")
        for one in programs
        if one.end > low and one.start < high and one.state is not ProgramState.INACTIVE
    ]
    at_now = round(room * (now - low) / (high - low))
    line = glyphs.pick("│", "|")
    most = max(height - 3, 1)
    for name, start, end, tone, words in bars[:most]:
        begin = min(max(round(room * (start - low) / (high - low)), 0), room)
        stop = min(max(round(room * (end - low) / (high - low)), begin + 1), room)
        inside = stop - begin
        text = f" {words}"
        bar = fitted(text, inside, ascii_only=glyphs.ascii_only) if inside >= len(text) + 1 else glyphs.full * inside
        body: Row = [(fitted(name, label, ascii_only=glyphs.ascii_only), ""), (" ", "")]
        body += _with_now(begin, at_now, line)
        body.append((bar, tone if bar.startswith(glyphs.full) else _bar_tone(tone)))
        if inside < len(text) + 1:
            after = fitted(text, min(len(text), max(room - stop, 0)), ascii_only=glyphs.ascii_only)
            body.append((after, "dim"))
        rows.append(padded(body, width, ascii_only=glyphs.ascii_only))
    if not bars:
        rows.append([(" " * (label + 1), ""), *_with_now(room, at_now, line)])
        rows.append([("  no event or program in sight; n makes one", "dim")])
    elif len(bars) > most:
        rows.append([(f"  {len(bars) - most} more", "dim")])
    return stacked(rows, width, height, ascii_only=glyphs.ascii_only)


def _bar_tone(tone: str) -> str:
    return {"window": "window-bar", "planned": "planned-bar"}.get(tone, "over-bar")


def _with_now(cells: int, at: int, line: str) -> Row:
    if at >= cells:
        return [(" " * cells, "")]
    return [(" " * at, ""), (line, "now"), (" " * (cells - at - 1), "")]


def _span_h(events: list[EventOut], now: datetime) -> int:
    """So long that what runs and what comes next are in sight."""
    ends = [(one.end - now).total_seconds() / 3600.0 for one in events if one.state is EventState.ACTIVE]
    ends += [(one.start - now).total_seconds() / 3600.0 + 0.5 for one in events if one.state is EventState.SCHEDULED]
    farthest = max(min(ends, default=1.0), *(end for end in ends if end < 36.0), 0.5)
    return next((hours for hours in _SPANS_H if hours * 2.0 / 3.0 >= farthest), _SPANS_H[-1])


def _zone(now: datetime) -> str:
    here = now.astimezone()
    return here.tzname() or here.strftime("%z")


def _scale(low: datetime, high: datetime, label: int, room: int) -> Row:
    """The hours above the bars."""
    total_s = (high - low).total_seconds()
    step_s = next(
        (step for step in (900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400) if room * step / total_s >= 12),
        86_400,
    )
    here = low.astimezone()
    offset = here.utcoffset()
    shift = 0.0 if offset is None else offset.total_seconds()
    at_s = ((low.timestamp() + shift) // step_s + 1) * step_s - shift
    text = [" "] * (room + 8)
    while at_s < high.timestamp():
        cell = round(room * (at_s - low.timestamp()) / total_s)
        stamp = datetime.fromtimestamp(at_s).astimezone()
        mark = f"{stamp:%a %d}" if step_s >= 86_400 or (stamp.hour == 0 and stamp.minute == 0) else f"{stamp:%H:%M}"
        text[cell : cell + len(mark)] = list(mark)
        at_s += step_s
    return [(" " * (label + 1), ""), ("".join(text[:room]), "label")]


def outcome_rows(outcome: OutcomeOut | None, event: EventOut | None, scene: Scene, problem: str) -> list[Row]:
    """Committed against delivered, and the part each device played."""
    width, height, glyphs = scene.width, scene.height, scene.glyphs
    if event is None:
        return stacked([heading("Outcome", width, glyphs), [("choose an event", "dim")]], width, height)
    title = heading(f"Outcome of {event.event_id}", width, glyphs, note=event.state.value)
    if outcome is None or outcome.event.event_id != event.event_id:
        words = problem or ("it has not begun" if event.state is EventState.SCHEDULED else "asking ...")
        return stacked([title, *wrapped(words, width, "dim")], width, height, ascii_only=glyphs.ascii_only)
    words_width = max(min(width * 2 // 5, 60), 30)
    chart_width = width - words_width - 3
    xs: list[float] = []
    committed: list[float | None] = []
    delivered: list[float | None] = []
    for interval in outcome.total:
        xs.append(interval.start.timestamp())
        committed.append(interval.committed_kw)
        delivered.append(interval.delivered_kw)
    offset = scene.now.astimezone().utcoffset()
    drawn = chart(
        Chart(
            series=[
                Series(name="committed", xs=xs, ys=committed, tone="setpoint", step=True, stroke=Stroke.DASHED),
                Series(name="delivered", xs=xs, ys=delivered, tone="actual", step=True),
            ],
            unit="kW",
            x=XAxis(low=event.start.timestamp(), high=(event.cancelled_at or event.end).timestamp(),
                    offset_s=0.0 if offset is None else offset.total_seconds()),
        ),
        chart_width, max(height - 1, 1), ascii_only=glyphs.ascii_only,
    )  # fmt: skip
    body = beside([(drawn, chart_width), (_outcome_words(outcome, words_width, height, glyphs), words_width)],
                  max(height - 1, 1), gap=3)  # fmt: skip
    return stacked([title, *body], width, height, ascii_only=glyphs.ascii_only)


def _outcome_words(outcome: OutcomeOut, width: int, height: int, glyphs: Glyphs) -> list[Row]:
    rows: list[Row] = []
    last = next((one for one in reversed(outcome.total) if one.delivered_kw is not None), None)
    if last is not None:
        rows.append([("now    ", "dim"), (f"delivered {kw(last.delivered_kw)} kW", "actual"),
                     (f" of {kw(last.committed_kw)} committed", "setpoint")])  # fmt: skip
    for feeder in outcome.feeders[:2]:
        held = percent(feeder.compliance_s / feeder.observed_s) if feeder.observed_s else "-"
        rows.append(
            [("held   ", "dim"), (f"{held} of {span(feeder.observed_s)}", ""), (f" on {feeder.feeder_id}", "dim")]
        )
        after = "never yet" if feeder.until_under_limit_s is None else f"after {feeder.until_under_limit_s:.0f} s"
        rows.append([("within ", "dim"), (after, ""), (f"  baseline {kw(feeder.baseline_kw)} kW", "dim")])
    parts: Row = []
    for part, tone in _PARTS:
        number = sum(device.part.value == part for device in outcome.devices)
        if number:
            parts += [(f"{number} {part.replace('_', ' ')}  ", tone)]
    rows.append(parts)
    given = [one for one in outcome.devices if one.part.value != "not_called"]
    room = max(height - len(rows) - 2, 0)
    for device in sorted(given, key=lambda one: -(one.shed_kw or 0.0))[:room]:
        tone = dict(_PARTS)[device.part.value]
        rows.append([(f"{glyphs.dot if tone == 'good' else glyphs.warn} ", tone),
                     (fitted(device.device_id, 14, ascii_only=glyphs.ascii_only), ""),
                     (f" {kw(device.before_kw)} {glyphs.arrow} {kw(device.during_kw)} kW", "dim"),
                     (f"  gave {kw(device.shed_kw)}", tone)])  # fmt: skip
    return [cut(row, width, ascii_only=glyphs.ascii_only) for row in rows]


def preview_rows(told: PreviewOut, now: datetime, width: int, glyphs: Glyphs) -> list[Row]:
    """Which devices are expected to give how much, for a question before it is done."""
    rows: list[Row] = [
        [("expected   ", "dim"), (f"{count(len(told.devices), 'device')} give about {kw(told.relief_kw)} kW", "title")],
        [("when       ", "dim"), (f"{day_clock(told.start, now)} to {day_clock(told.end, now)}", "")],
    ]
    for feeder in told.feeders[:3]:
        words = f"{feeder.feeder_id}: {kw(feeder.load_before_kw)} {glyphs.arrow} {kw(feeder.load_after_kw)} kW"
        if feeder.import_limit_kw is not None:
            words += f", limit {kw(feeder.import_limit_kw)}"
        rows.append([("load       ", "dim"), (words, "")])
        if not feeder.sends:
            rows.append([(f"{glyphs.warn} {feeder.feeder_id} is not on auto: nothing is sent there", "warn")])
    if told.feasible is False:
        rows.append([(f"{glyphs.warn} not enough: {kw(told.shortfall_kw)} kW remain that nothing can relieve", "bad")])
    rows += [
        [(f"  {fitted(device.device_id, 16, ascii_only=glyphs.ascii_only)}", ""),
         (f" {kw(device.now_kw)} {glyphs.arrow} {kw(device.expected_kw)} kW", "dim"),
         (f"  gives {kw(device.relief_kw)}", "actual")]
        for device in told.devices[:6]
    ]  # fmt: skip
    if len(told.devices) > 6:
        rows.append([(f"  and {len(told.devices) - 6} more", "dim")])
    for note in told.notes:
        rows += wrapped(note, width, "dim")
    return rows
