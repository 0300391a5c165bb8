"""What could come next."""

from typing import Any

import pytest
import typer

from derms.cli import app, known_names
from derms.cli.completing import SCRIPTS, answer
from derms.cli.names import Kind
from derms.cli.nouns import Root


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Ask, where the controller knows two devices and one feeder."""
    held = {Kind.DEVICE: ["ev-1", "ev-2"], Kind.FEEDER: ["feeder-1"]}
    monkeypatch.setattr(known_names, "names", lambda kind, words: held.get(kind, []))
    root = typer.main.get_command(app)
    assert isinstance(root, Root)

    def ask(line: str) -> list[str]:
        answer(root, line.split(" "))
        return [one.split("\t")[0] for one in capsys.readouterr().out.splitlines()]

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("de", ["demo", "device"]),
        ("device sh", ["show"]),
        ("device list --ty", ["--type"]),
        ("device list --type e", ["ev"]),
        ("device list --type=e", ["--type=ev"]),
        ("device list --type = e", ["ev"]),  # as bash takes it apart
        ("device list --feeder ", ["feeder-1"]),
        ("device show ", ["ev-1", "ev-2"]),
        ("device show ev-1 ", []),  # it takes one
        ("device block ev-1 e", ["ev-1", "ev-2"]),  # it takes several
        ("device list --watch --js", ["--json"]),  # its value may be left out
        ("device list -o j", ["json"]),
        ("-q device list -o y", ["yaml"]),
        ("why ev-2", ["ev-2"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("serve --config ", [":files"]),
        ("nonsense ", []),
        ("device nonsense ", []),
        ("device list --type", ["--type"]),
    ],
)
def test_what_fits_is_offered(asked: Any, line: str, words: list[str]) -> None:
    assert asked(line) == words


def test_an_option_that_stands_there_is_not_offered_again_unless_it_may_be(asked: Any) -> None:
    assert "--limit" not in asked("dr create --limit 5 --")
    assert "--feeder" in asked("dr create --feeder feeder-1 --")


def test_every_shell_has_a_script_that_asks_the_same() -> None:
    assert {name: "derms __complete --" in script for name, script in SCRIPTS.items()} == {
        "bash": True, "zsh": True, "fish": True,
    }  # fmt: skip
