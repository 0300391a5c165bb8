"""The driver's clock: numbers of seconds on any epoch, or RFC 3339 texts, as whole milliseconds. Pure."""

from derms.contract.fields import from_iso, to_iso
from derms.contract.strict import Refused
from derms.cosim.wrong import Code, WrongLine, shown

MAX_S = 1e11
"""The largest number of seconds that is taken for one; the milliseconds of today are more."""

EPOCH_MS = 10**14
"""Added to the driver's milliseconds for rooms that take only positive ones."""


def instant_ms(said: float | str, where: str) -> int:
    """An instant on the driver's clock [ms].

    Raises:
        WrongLine: It is none.
    """
    if isinstance(said, str):
        try:
            return from_iso(said)
        except Refused as refused:
            raise WrongLine(
                Code.BAD_VALUE,
                f"{where} is {shown(said)}",
                why=refused.detail,
                next_step="write it like 2026-05-13T06:17:00Z, or as a number of seconds",
            ) from refused
    if abs(said) > MAX_S:
        raise WrongLine(
            Code.BAD_VALUE,
            f"{where} is {said:g}",
            why=f"an instant is a number of seconds, between -{MAX_S:g} and {MAX_S:g}",
            next_step="divide milliseconds by 1000",
        )
    return round(said * 1000.0)


def as_said(at_ms: int, like: float | str) -> float | str:
    """An instant in the form that the driver writes its own."""
    return to_iso(at_ms) if isinstance(like, str) else at_ms / 1000.0
