"""Words into values, as Typer itself would make them."""

import inspect
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperArgument, TyperOption

from derms.cli import app
from derms.cli.coercing import Coercion
from derms.cli.nouns import Noun, made


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


CASES: list[tuple[Any, list[str], Any]] = [
    (Annotated[str | None, typer.Option("--x")], ["--x", "5"], "5"),
    (Annotated[str | None, typer.Option("--x")], [], None),
    (Annotated[int | None, typer.Option("--x", min=1, max=10)], ["--x", "10"], 10),
    (Annotated[float | None, typer.Option("--x", min=0.1)], ["--x", "0.1"], 0.1),
    (Annotated[Colour | None, typer.Option("--x")], ["--x", "blue"], Colour.BLUE),
    (Annotated[Path | None, typer.Option("--x")], ["--x", "a/b"], Path("a/b")),
    (Annotated[list[str] | None, typer.Option("--x")], ["--x", "a", "--x", "b"], ["a", "b"]),
    (Annotated[list[str] | None, typer.Option("--x")], [], None),
    (Annotated[bool, typer.Option("--x")], ["--x"], True),
    (Annotated[float | None, typer.Option("--x", parser=lambda text: float(text) * 2)], ["--x", "2"], 4.0),
    (Annotated[list[Colour] | None, typer.Option("--x")], ["--x", "red"], [Colour.RED]),
]


def result(annotation: Any, words: list[str]) -> Any:
    got: list[Any] = []

    def command(x: Any = False if annotation.__origin__ is bool else None) -> None:
        got.append(x)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, default=command.__defaults__[0], annotation=annotation)]  # type: ignore[index]
    )
    command.__annotations__ = {"x": annotation}
    made(command, "try").main(words, standalone_mode=False, prog_name="try")
    return got[0]


@pytest.mark.parametrize(("annotation", "words", "value"), CASES, ids=range(len(CASES)))
def test_a_value_is_made_of_its_words(annotation: Any, words: list[str], value: Any) -> None:
    assert result(annotation, words) == value


@pytest.mark.parametrize(
    ("annotation", "word", "said"),
    [
        (Annotated[int | None, typer.Option("--x", min=1, max=10)], "11", "11 is not in the range 1<=x<=10"),
        (Annotated[int | None, typer.Option("--x", min=1)], "x", "'x' is not a valid int"),
        (Annotated[float | None, typer.Option("--x", min=0.1)], "nan", "nan is not in the range 0.1<=x"),
        (Annotated[Colour | None, typer.Option("--x")], "green", "'green' is not one of 'red', 'blue'"),
    ],
)
def test_a_word_that_makes_none_is_refused_with_the_rule(annotation: Any, word: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        result(annotation, ["--x", word])


def test_no_parameter_of_any_command_needs_a_validator_of_pydantic() -> None:
    def walk(command: Any, words: str) -> list[str]:
        heavy = [
            f"{words} {each.name}"
            for each in command.params
            if isinstance(each, TyperOption | TyperArgument) and not isinstance(each._runtime_param, Coercion)
        ]
        context = typer.Context(command, info_name=words)
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            heavy += walk(command.get_command(context, name), f"{words} {name}")
        return heavy

    assert walk(typer.main.get_command(app), "derms") == []


def test_a_noun_says_its_examples_as_they_are_written() -> None:
    noun = Noun("Things.", "derms thing list", "derms thing show a")
    noun.command("list")(lambda: None)
    noun.command("show")(lambda: None)
    command = made(noun, "thing")
    shown = command.get_help(typer.Context(command, info_name="thing"))
    assert "Examples:\n    derms thing list\n    derms thing show a\n" in shown
