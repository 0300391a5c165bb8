import pytest
import typer

from derms.cli.output import ExitCode, exit_code_of
from derms.cli.values import parse_duration
from derms.cli.words import activity, direction
from derms.errors import (
    AccessError,
    AddressInUseError,
    BrokerError,
    ConfigError,
    ConflictError,
    DermsError,
    NotFoundError,
    StoreError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), ExitCode.USAGE),
        (ConfigError("x"), ExitCode.USAGE),
        (NotFoundError("x"), ExitCode.NOT_FOUND),
        (AccessError("x"), ExitCode.AUTH),
        (ConflictError("x"), ExitCode.CONFLICT),
        (AddressInUseError("x"), ExitCode.CONFLICT),
        (BrokerError("x"), ExitCode.UNAVAILABLE),
        (StoreError("x"), ExitCode.UNAVAILABLE),
        (DermsError("x"), ExitCode.FAILURE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (typer.Abort(), ExitCode.INTERRUPTED),
        (typer.Exit(3), 3),
        (typer.BadParameter("x"), ExitCode.USAGE),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    def fail() -> None:
        raise error

    assert exit_code_of(fail) == code


def test_an_error_is_one_line_with_what_why_next_step_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ExceptionGroup("tasks", [ConfigError("the value is 3", why="it must be 2", next_step="write 2")])

    assert exit_code_of(fail) == ExitCode.USAGE
    assert capsys.readouterr().err == "derms: the value is 3; it must be 2; write 2 [config]\n"


def test_what_nobody_expected_is_not_hidden() -> None:
    def fail() -> None:
        raise ExceptionGroup("tasks", [ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        exit_code_of(fail)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("60s", 60), ("2m", 120), ("1h30m", 5400), ("1.5h", 5400), (" 2 min ", 120)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-3s", "0s", "400d", "1h and a bit", "nan"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("kw", "words"), [(12.34, "import 12.3 kW"), (-4.1, "export 4.1 kW"), (0.01, "0.0 kW"), (-0.01, "0.0 kW")]
)
def test_power_is_said_with_its_direction_and_never_with_a_minus(kw: float, words: str) -> None:
    assert direction(kw) == words


def test_storage_charges_discharges_or_idles() -> None:
    assert [activity(kw) for kw in (1.0, -1.0, 0.0)] == ["charging", "discharging", "idle"]
