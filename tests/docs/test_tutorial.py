"""The tutorial does what it says; `scripts/follow-tutorial` does the same with an environment made from nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.tutorial import Follower, environment_of, missing

SHOWN = (
    "FEEDER  LOAD kW\nfeeder-1    81.8\n▶  4.1 kW  feeder-1 import limit 100.0 kW (event dr-c32e6e9e83e5), load 3 kW\n"
)


@pytest.mark.parametrize(
    ("expected", "first"),
    [
        ("FEEDER LOAD kW\nfeeder-1 118.0\n", None),
        ("4.1 kW feeder-1 import limit 120.0 kW (event dr-000000000000)...\n", None),
        ("feeder-1 118.0\nFEEDER LOAD kW\n", "FEEDER LOAD kW"),
        ("feeder-1 none\n", "feeder-1 none"),
        ("feeder-1\n", "feeder-1"),
        ("feeder-1 export limit...\n", "feeder-1 export limit..."),
    ],
)
def test_what_is_shown_is_compared_but_for_numbers_and_ids(expected: str, first: str | None) -> None:
    assert missing(SHOWN, expected) == first


def clone_with_environment(target: Path) -> None:
    """A clean clone of the pages and the code as they stand, with this environment where `make demo` looks for one."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True, timeout=60.0)
    # What is not committed yet is followed too.
    changed = subprocess.run(
        ["git", "-C", str(ROOT), "diff", "--binary", "HEAD"], check=True, capture_output=True, timeout=60.0
    ).stdout
    if changed:
        subprocess.run(["git", "-C", str(target), "apply"], input=changed, check=True, timeout=60.0)
    venv = target / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("."):
            (venv / part.name).symlink_to(part)
    (venv / ".run").touch()


@pytest.mark.timeout(300)  # it waits for what it is shown, on a machine that may be busy
def test_the_tutorial_followed_word_by_word_shows_what_it_says(tmp_path: Path) -> None:
    target, home = tmp_path / "derms", tmp_path / "home"
    home.mkdir()
    clone_with_environment(target)
    # The environment is installed from elsewhere: the clone's code comes first.
    environment = environment_of(home, {"PYTHONPATH": str(target), "TMPDIR": os.environ.get("TMPDIR", "/tmp")})
    follower = Follower(target, environment, say=print, start_s=60.0)
    try:
        follower.follow((target / "docs/tutorial.md").read_text(encoding="utf-8"))
    finally:
        follower.close()
