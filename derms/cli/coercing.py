"""Words into values, for the kinds of values that the commands have.

Typer would build a pydantic validator for every parameter of a command, also for those that were left out: 200 ms
before the first line of `derms dr create -h`. What is not known here is still left to it.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption

_TRUE = ("1", "true", "t", "yes", "y", "on")
_FALSE = ("0", "false", "f", "no", "n", "off")


class Coercion:
    """What Typer asks to make a value of words; stands in the place of its own.

    Args:
        one: Makes one value.
    """

    def __init__(self, one: Callable[[Any], Any]) -> None:
        self._one = one

    def coerce(self, value: Any, param: TyperOption | TyperArgument, ctx: typer.Context) -> Any:
        """Make it.

        Raises:
            BadParameter: It is none of the kind.
        """
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        try:
            return tuple(map(self._one, value)) if many else self._one(value)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from error


def lighten(parameter: TyperOption | TyperArgument) -> None:
    """Let a parameter coerce its words without pydantic, where its kind is known here."""
    said = parameter.type_descriptor.parameter_info
    one = said.parser or _of(_bare(parameter.type_descriptor.annotation), said.min, said.max)
    if one is not None:
        parameter._runtime_param = Coercion(one)  # type: ignore[assignment]


def _bare(annotation: Any) -> Any:
    """Of `X | None` and `list[X]` the X."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is list else annotation


def _of(kind: Any, least: float | None, most: float | None) -> Callable[[Any], Any] | None:
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return lambda word: _member(kind, word)
    if kind in (int, float):
        return lambda word: _number(kind, word, least, most)
    known: dict[type, Callable[[Any], Any]] = {str: str, bool: _flag, Path: Path}
    return known.get(kind)


def _member(kind: type[Enum], word: Any) -> Enum:
    known = {str(one.value): one for one in kind}
    if isinstance(word, kind):
        return word
    if str(word) not in known:
        raise ValueError(f"{word!r} is not one of {', '.join(map(repr, known))}.")
    return known[str(word)]


def _number(kind: type, word: Any, least: float | None, most: float | None) -> float:
    try:
        number: float = kind(word)
    except ValueError as error:
        raise ValueError(f"{word!r} is not a valid {kind.__name__}.") from error
    if not (least is None or number >= least) or not (most is None or number <= most) or number != number:
        bounds = f"{'' if least is None else f'{least}<='}x{'' if most is None else f'<={most}'}"
        raise ValueError(f"{word} is not in the range {bounds}.")
    return number


def _flag(word: Any) -> bool:
    if isinstance(word, bool):
        return word
    if str(word).strip().lower() in (*_TRUE, *_FALSE):
        return str(word).strip().lower() in _TRUE
    raise ValueError(f"{word!r} is not a valid boolean.")
