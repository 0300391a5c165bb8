import pytest
import typer

from derms.cli import invoke
from derms.cli.output import ExitCode, exit_code_of
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
from derms.wording.powers import activity, direction
from derms.wording.values import parse_duration, parse_limit, parse_magnitude, parse_power, parse_price, parse_share


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


def test_an_error_is_three_lines_what_with_its_code_why_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ExceptionGroup("tasks", [ConfigError("the value is 3", why="it must be 2", next_step="write 2")])

    assert exit_code_of(fail) == ExitCode.USAGE
    assert capsys.readouterr().err == "derms: the value is 3 [config]\n  why:  it must be 2\n  next: write 2\n"


@pytest.mark.parametrize(
    ("words", "what", "why", "next_step"),
    [
        (
            "devcie",
            "no such command 'devcie'",
            "there is none of that name",
            "did you mean 'device'? Else see `derms -h`",
        ),
        (
            "dr lst",
            "no such command 'lst'",
            "there is none of that name",
            "did you mean 'list'? Else see `derms dr -h`",
        ),
        ("xyzzy", "no such command 'xyzzy'", "there is none of that name", "see `derms -h`"),
        (
            "dr list --stat",
            "no such option: --stat",
            "there is none of that name",
            "did you mean --state, --watch? Else see `derms dr list -h`",
        ),
        ("why", "missing argument 'device_id'", "the command needs it", "see `derms why -h`"),
        (
            "dr create --limit",
            "option '--limit' requires an argument",
            "the option is used in another way",
            "see `derms dr create -h`",
        ),
        (
            "device set x --priority 11",
            "invalid value for '--priority': 11 is not in the range 1<=x<=10",
            "the value does not fit what is expected there",
            "see `derms device set -h`",
        ),
    ],
)
def test_wrong_words_are_told_with_what_may_have_been_meant(
    words: str, what: str, why: str, next_step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(lambda: invoke(words.split())) == ExitCode.USAGE
    assert capsys.readouterr().err == f"derms: {what} [usage]\n  why:  {why}\n  next: {next_step}\n"


def test_a_group_without_a_command_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(lambda: invoke(["dr"])) == ExitCode.USAGE
    assert "Usage: derms dr" in "".join(capsys.readouterr())


def test_debug_puts_the_traceback_and_its_notes_above_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        error = NotFoundError("nothing is there")
        error.add_note("request r-1")
        raise error

    assert exit_code_of(fail, debug=True) == ExitCode.NOT_FOUND
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-2:] == ["request r-1", "derms: nothing is there [not-found]"]


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


@pytest.mark.parametrize(
    ("text", "kw"), [("150", 150.0), ("-3.5", -3.5), ("150kW", 150.0), ("1.2 MW", 1200.0), ("900W", 0.9), ("+.5", 0.5)]
)
def test_powers_are_read_as_people_write_them(text: str, kw: float) -> None:
    assert parse_power(text) == pytest.approx(kw)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e3", "5 kg", "kW", "1,5", "9" * 400])
def test_what_json_would_make_null_of_is_no_power(text: str) -> None:
    for parse in (parse_power, parse_magnitude, parse_limit):
        with pytest.raises(UsageError, match="is no power"):
            parse(text)


def test_limits_have_no_sign_and_none_takes_one_away() -> None:
    assert parse_magnitude("0") == 0.0
    assert parse_limit("none") is None
    with pytest.raises(UsageError, match="below 0"):
        parse_limit("-3")


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("0.8", 0.8), ("80%", 0.8), ("100 %", 1.0)])
def test_shares_are_fractions_or_percents(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "nan", "80", "-0.1", "101%", "%", "50%%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no share"):
        parse_share(text)


def test_a_price_is_finite_and_not_below_0() -> None:
    assert parse_price("0.15") == 0.15
    for text in ("-1", "nan", "inf", "dear"):
        with pytest.raises(UsageError, match="is no price"):
            parse_price(text)
