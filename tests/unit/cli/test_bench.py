"""`derms bench control`: what it says, writes and refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derms.bench import control, effort, plots
from derms.bench.figures import Figure, Section
from derms.bench.report import Report
from derms.cli import app
from derms.cli.output import ExitCode, exit_code_of

ROOT = Path(__file__).parents[3]
TINY = replace(effort.QUICK, days=1, thinned=(), sizes=(1_000,), runs=3)
RUN = ["bench", "control", "--quick", "--only", "fairness", "--only", "cost"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "QUICK", TINY)
    monkeypatch.setattr(plots, "draw", lambda say: iter([("day", "<svg/>\n")]))


def test_it_measures_shows_and_writes(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), encoding="utf-8")
    written = ["--json", str(tmp_path / "f.json"), "--plots", str(tmp_path / "p"), "--page", str(page)]
    result = CliRunner().invoke(app, [*RUN, *written])
    assert result.exit_code == 0, result.output
    assert "4 Fairness" in result.stdout
    assert "1,000 devices: `decide`, p99" in result.stdout
    assert "cost: 1000 devices" in result.stderr
    report = json.loads((tmp_path / "f.json").read_text())
    assert [section["key"] for section in report["sections"]] == ["fairness", "cost"]
    assert {"HiGHS", "numpy", "processor"} <= report["machine"].keys()
    assert report["sections"][0]["figures"][0]["rivals"].keys() == {"first come", "earliest deadline", "equal shares"}
    assert (tmp_path / "p" / "day.svg").read_text() == "<svg/>\n"
    assert "| 1,000 devices: allocation, p99 |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("flags", "code"), [([], ExitCode.OK), (["--strict"], ExitCode.FAILURE)])
def test_only_strict_ends_with_an_error_when_a_target_is_missed(
    flags: list[str], code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = Section(key="dr", title="", setting="", figures=(Figure(what="delivered", value=90.0, target=99.0),))
    monkeypatch.setattr(control, "measure", lambda *_: Report(machine=(), sections=(missed,)))
    assert exit_code_of(lambda: app(["bench", "control", *flags], standalone_mode=False)) == code
    assert "1 of 1 figures miss a target" in capsys.readouterr().out


def test_a_section_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code_of(lambda: app(["bench", "control", "--only", "speed"], standalone_mode=False))
    assert code == ExitCode.USAGE
    assert "one of energy, sessions" in capsys.readouterr().err
