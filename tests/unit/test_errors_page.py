"""`docs/errors.md` against the exception tree and the exit codes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Imported for the subclasses they add to the tree.
import derms.api.middleware
import derms.mqtt.refusals  # noqa: F401
from derms.cli.output import ExitCode, report
from derms.errors import DermsError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def tree(kind: type[DermsError] = DermsError) -> Iterator[type[DermsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_code_of_the_tree_has_a_row_with_its_exit_code_and_a_section(
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes = section("Codes")
    rows = dict(re.findall(r"^\| \[`([a-z-]+)`\]\(#[a-z-]+\) \| (\d+) \|", codes, re.MULTILINE))
    assert {kind.code for kind in tree()} == set(rows)
    for kind in tree():
        error = DermsError.__new__(kind)  # some kinds need more to be made, and the exit code needs none of it
        DermsError.__init__(error, "x")
        assert rows[kind.code] == str(int(report(error))), kind
        assert f"\n### `{kind.code}`\n" in codes
    capsys.readouterr()


def test_every_exit_code_has_a_row() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", section("Exit codes"), re.MULTILINE))
    assert {str(code.value): code.name for code in ExitCode} == rows
