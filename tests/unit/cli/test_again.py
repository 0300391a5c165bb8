"""The same command again and again."""

import asyncio
import json
from dataclasses import replace

import pytest

from derms.cli.again import watched
from derms.cli.contexts import Context
from derms.cli.formats import Format
from derms.cli.run import Run
from derms.cli.shared import Shared
from derms.cli.terminal import Terminal
from derms.errors import NotFoundError, UnavailableError, UsageError

PIPE = Terminal(looks=False, narrates=False, asks=False, colour=False, unicode=True, width=10_000)


class Enough(Exception):
    """The command has been asked often enough."""


def a_run(how: Format, terminal: Terminal = PIPE) -> Run:
    return Run(shared=Shared(output=how), terminal=terminal, context=Context(), origin="default")


async def watch(run: Run, *pictures: str | Exception) -> None:
    """Watch a command that gives these, one after the other."""
    left = list(pictures)

    async def command(again: Run) -> None:
        if not left:
            raise Enough
        picture = left.pop(0)
        if isinstance(picture, Exception):
            raise picture
        again.write(picture)

    with pytest.raises(Enough):
        await asyncio.wait_for(watched(command, run, 0.1), 10.0)


AWAY = UnavailableError("http://h does not answer", why="connection refused", next_step="start it")


async def test_a_controller_that_goes_away_is_said_once_asked_again_and_said_to_be_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await watch(a_run(Format.NAME), "a\n", AWAY, AWAY, AWAY, "b\n", AWAY, "c\n")
    out, err = capsys.readouterr()
    assert out == "a\nb\nc\n"
    told = [line.split("  ")[1] for line in err.splitlines()]
    gone = "http://h does not answer: connection refused; asking again"
    assert told == [gone, "it answers again", gone, "it answers again"]


async def test_one_that_never_answered_is_an_error_and_so_is_anything_else() -> None:
    async def away(_: Run) -> None:
        raise AWAY

    async def gone(_: Run) -> None:
        raise NotFoundError("there is no such thing")

    with pytest.raises(UnavailableError):
        await watched(away, a_run(Format.JSON), 0.1)
    with pytest.raises(NotFoundError):
        await watched(gone, a_run(Format.JSON), 0.1)
    with pytest.raises(UsageError, match="interval"):
        await watched(gone, a_run(Format.JSON), 0.01)


@pytest.mark.parametrize(
    ("how", "pictures", "text"),
    [
        (Format.CSV, ("h\n1\n", "h\n2\n"), "h\n1\n2\n"),
        (Format.YAML, ("a: 1\n", "a: 2\n"), "---\na: 1\n---\na: 2\n"),
        (Format.TABLE, ("A\n1\n", "A\n2\n"), "A\n1\n\nA\n2\n"),
    ],
)
async def test_in_a_pipe_pictures_follow_one_another(
    how: Format, pictures: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await watch(a_run(how), *pictures)
    assert capsys.readouterr().out == text


async def test_a_terminal_is_drawn_over_and_its_picture_cut_to_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "8")
    await watch(a_run(Format.TABLE, replace(PIPE, looks=True, width=40)), "".join(f"row {n}\n" for n in range(20)))
    out = capsys.readouterr().out
    assert out.startswith("\x1b[H")
    assert out.endswith("(16 lines more)\x1b[K\n\x1b[J")
    assert max(len(line.replace("\x1b[K", "")) for line in out.splitlines()) <= 42


def test_json_stands_on_one_line_of_its_own() -> None:
    from derms.cli.formats import document

    assert json.loads(document({"a": [1]}, line=True)) == {"schema_version": 1, "a": [1]}
