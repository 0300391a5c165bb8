"""The lines at the top and at the bottom. Pure."""

from collections.abc import Sequence
from datetime import datetime

from derms.model import AlarmState, Priority, Role
from derms.tui.access import refusal
from derms.tui.commands import Command, key_name
from derms.tui.lines import Glyphs, Row, cut, row_cells, spread
from derms.tui.picture import Phase, Picture
from derms.tui.said import clock, span


def link_words(picture: Picture, now_s: float, glyphs: Glyphs) -> tuple[str, str]:
    """How the connection stands, and its tone."""
    phase = picture.phase(now_s)
    old = "" if picture.at is None else f", data {span(now_s - picture.heard_s)} old"
    match phase:
        case Phase.LIVE:
            return f"{glyphs.dot} live", "good"
        case Phase.STALE:
            return f"{glyphs.half} stale{old}", "warn"
        case Phase.BROKEN:
            retry = picture.link.retry_at_s
            left = "" if retry is None or retry <= now_s else f" {max(int(retry - now_s + 0.99), 1)}s"
            return f"{glyphs.warn} reconnecting{left}{old}", "bad"
        case Phase.LOGGED_OUT:
            return f"{glyphs.ring} logged out{old}", "warn"
        case _:
            return f"{glyphs.ring} connecting{old}", "warn"


def top_row(picture: Picture, *, context: str, url: str, now_s: float, width: int, glyphs: Glyphs) -> Row:
    """Which controller, who, how the connection stands, and the time there."""
    words, tone = link_words(picture, now_s, glyphs)
    who = f"{picture.username} ({picture.role.value})" if picture.role is not None else ""
    now: datetime = picture.now(now_s)
    left: Row = [(" derms ", "tab"), (f" {context}", "title")]
    if width >= 96:
        left.append((f"  {url}", "dim"))
    right: Row = [(f"{who}  " if who else "", "dim" if picture.role is not Role.ADMIN else "warn"), (words, tone)]
    right.append((f"  {clock(now)} ", "dim"))
    return spread(left, right, width, ascii_only=glyphs.ascii_only)


def tabs_row(titles: Sequence[str], chosen: int, picture: Picture, width: int, glyphs: Glyphs) -> tuple[Row, list[int]]:
    """The screens and their numbers; and where each begins."""
    row: Row = []
    begins: list[int] = []
    fresh = [one for one in picture.open_alarms() if one.state in (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED)]
    urgent = any(one.priority is Priority.HIGH for one in fresh)
    room = sum(len(title) + 4 for title in titles) + 3 <= width
    for number, title in enumerate(titles):
        begins.append(row_cells(row))
        shown = title if room or number == chosen else title[:4].strip()
        badge = f" {len(fresh)}" if title == "Alarms" and fresh else ""
        if number == chosen:
            row.append((f" {number + 1} {shown}{badge} ", "tab"))
        else:
            row.append((f" {number + 1}", "key"))
            row.append((f" {shown}", "dim"))
            row.append((f"{badge} ", "bad" if urgent else "warn"))
    return cut(row, width, ascii_only=glyphs.ascii_only), begins


def foot_row(commands: Sequence[Command], role: Role | None, width: int, notice: tuple[str, str] | None) -> Row:
    """The keys that matter most; or what somebody is told for a moment."""
    if notice is not None:
        return cut([(f" {notice[0]}", notice[1])], width)
    row: Row = [(" ", "")]
    for command in commands:
        why = refusal(role, command.needs)
        piece: Row = [(key_name(command.keys[0]), "dim" if why else "key"), (f" {command.title}", "dim" if why else "")]
        if why:
            piece.append((f" ({command.needs.value if command.needs else ''})", "dim"))
        if row_cells(row) + row_cells(piece) + 2 > width:
            break
        row += [*piece, ("  ", "")]
    return row
