"""A pytest plugin: commands that look at this machine alone, run in this process, in a home of their own."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from derms.cli import invoke
from derms.cli.output import exit_code_of
from derms.settings_names import ALIASES, COMPOSED, ENV_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str


class Home:
    """Where commands are run."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def derms(self, *words: str) -> Ran:
        """Run one."""
        self._capsys.readouterr()
        code = exit_code_of(lambda: invoke(list(words)))
        said = self._capsys.readouterr()
        return Ran(code=int(code), out=said.out, err=said.err)


@pytest.fixture(name="home")
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    """A user without settings."""
    parts = {part for names in COMPOSED.values() for part in names}
    for name in list(os.environ):
        if name.startswith((ENV_PREFIX, "XDG_")) or name in ALIASES or name in parts:
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path, capsys)
