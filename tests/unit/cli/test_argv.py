"""Words as they were typed, made into what Typer understands."""

import pytest

from derms.cli.argv import typed
from derms.cli.options import takes_value


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("device list", "device list"),
        ("--json device list", "device list --json"),
        ("--context plant -q device list --type ev", "device list --type ev --context plant -q"),
        ("--context=plant status", "status --context=plant"),
        ("-o json status", "status -o json"),
        ("--version", "--version"),
        ("-h", "-h"),
        ("--frob status", "--frob status"),  # not ours: the library says what is wrong
        ("status -w", "status -w 2s"),
        ("status --watch", "status --watch 2s"),
        ("status --watch --json", "status --watch 2s --json"),
        ("status --watch 5s --json", "status --watch 5s --json"),
        ("status -w 0.5", "status -w 0.5"),
        ("feeder history --watch feeder-1", "feeder history --watch 2s feeder-1"),
        ("why -- -w", "why -- -w"),
        ("--json why -- -w", "why --json -- -w"),
    ],
)
def test_shared_options_may_stand_before_the_command_and_watch_alone(words: str, told: str) -> None:
    assert typed(words.split(), takes_value) == told.split()


@pytest.mark.parametrize(
    ("option", "takes"),
    [("--context", True), ("-o", True), ("--json", False), ("-v", False), ("--frob", None), ("--timeout", True)],
)
def test_it_is_known_which_shared_options_take_a_value(option: str, takes: bool | None) -> None:
    assert takes_value(option) is takes
