"""The line of filters above the device table. Pure."""

from derms.tui.device_source import DeviceSource
from derms.tui.lines import Glyphs, Row, cut, row_cells, spread

ORIGINS = (("", "All"), ("physical", "Physical"), ("simulated", "Simulated"))
KINDS = (("", "any"), ("ev", "EV"), ("battery", "Battery"), ("pv", "PV"), ("load", "Load"), ("meter", "Meter"))


def chips_row(source: DeviceSource, width: int, glyphs: Glyphs) -> tuple[Row, list[tuple[int, int, str, str]]]:
    """The chips, and which cells each of them has: begin, end, `origin` or `kind`, value."""
    row: Row = [(" ", "")]
    places: list[tuple[int, int, str, str]] = []
    for group, chips, chosen in (("origin", ORIGINS, source.origin), ("kind", KINDS, source.kind)):
        row.append(("o " if group == "origin" else " t ", "key"))
        for value, title in chips:
            begin = row_cells(row)
            row.append((f" {title} ", "tab" if value == chosen else "dim"))
            places.append((begin, begin + len(title) + 2, group, value))
    total = len(source.picture.fleet)
    found = source.count()
    said = f"{found:,} of {total:,}" if found != total else f"{total:,} devices"
    right: Row = [(said, "accent" if found != total else "dim"), (" ", "")]
    if source.problem:
        right = [(f"{glyphs.warn} {source.problem} ", "warn")]
    elif source.text:
        right = [(f"/{source.text}  ", "key"), *right]
    return spread(row, cut(right, max(width // 2, 20)), width, ascii_only=glyphs.ascii_only), places
