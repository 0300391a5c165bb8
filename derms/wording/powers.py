"""Power in words: a face never prints a bare minus."""

_NOTHING_KW = 0.05


def direction(p_kw: float, *, unit: str = " kW") -> str:
    """`import 12.3 kW`, `export 4.1 kW`, or `0.0 kW`."""
    if abs(p_kw) < _NOTHING_KW:
        return f"0.0{unit}"
    return f"{'import' if p_kw > 0.0 else 'export'} {abs(p_kw):.1f}{unit}"


def activity(p_kw: float) -> str:
    """`charging`, `discharging`, or `idle`."""
    if abs(p_kw) < _NOTHING_KW:
        return "idle"
    return "charging" if p_kw > 0.0 else "discharging"
