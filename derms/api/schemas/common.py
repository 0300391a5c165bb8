"""What several nouns need."""

from datetime import datetime
from typing import Annotated

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with a zone; answers are in UTC."""
PowerKw = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
"""[kW], load convention."""
MagnitudeKw = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""[kW], a limit or a rating."""
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A SOC or a share, 0..1."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 `application/problem+json`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """What is wrong, with the value that is."""
    code: str
    """The documented code, one per kind of error."""
    rule: str = ""
    """The rule it broke, or what was met."""
    next_step: str = ""
    request_id: str
