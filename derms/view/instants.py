"""Instants as the API tells them."""

from datetime import UTC, datetime


def instant(at_ms: int) -> datetime:
    """Epoch milliseconds as UTC."""
    return datetime.fromtimestamp(at_ms / 1000.0, tz=UTC)
