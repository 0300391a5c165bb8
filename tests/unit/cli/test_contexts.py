"""Which controllers there are, and the files they and their tokens stand in."""

import stat
from pathlib import Path

import pytest

from derms.cli.contexts import (
    Context,
    Contexts,
    Tokens,
    checked_name,
    config_file,
    forget_tokens,
    read_contexts,
    read_tokens,
    token_file,
    write_contexts,
    write_tokens,
)
from derms.errors import ConfigError, NotFoundError, UsageError

TOKENS = Tokens(url="http://127.0.0.1:8080", username="op", token="a.b.c", refresh_token="r")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_contexts_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "derms" / "contexts.toml"
    assert read_contexts(path) == Contexts()
    plant = Context(name="plant.1", url="https://derms.example:8443", ca_file='/a "b"/ca.pem', feeder="feeder-1")
    contexts = Contexts("plant.1", {}).with_one(plant).with_one(Context(name="lab"))
    write_contexts(path, contexts)
    assert read_contexts(path) == contexts
    assert [one.name for one in path.parent.iterdir()] == ["contexts.toml"]
    assert contexts.without("plant.1") == Contexts("default", {"lab": Context(name="lab")})


def test_the_default_context_is_always_there_and_no_other() -> None:
    assert Contexts().named("default").url == "http://127.0.0.1:8080"
    with pytest.raises(NotFoundError, match="there are default"):
        Contexts().named("plant")


@pytest.mark.parametrize("text", ["current = ", "[context.x]\nurl = 3\n", "[context.x]\ncolour = 'red'\n", "\xff",
                                  '[context."../x"]\nurl = "http://a"\n', "[context]\nx = 3\n"])  # fmt: skip
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contexts.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"contexts\.toml"):
        read_contexts(path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 65, "a\n", "-x"])
def test_a_name_that_would_be_another_file_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        checked_name(name)


def test_tokens_are_for_their_owner_alone_however_open_the_place_was(tmp_path: Path) -> None:
    directory = tmp_path / "tokens"
    directory.mkdir(mode=0o755)
    path = directory / "default.json"
    write_tokens(path, TOKENS)
    assert (mode(path), mode(directory)) == (0o600, 0o700)
    assert read_tokens(path) == TOKENS
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        read_tokens(path)
    forget_tokens(path)
    forget_tokens(path)
    assert read_tokens(path) is None
    assert list(directory.iterdir()) == []


def test_a_damaged_token_file_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "default.json"
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="derms login"):
        read_tokens(path)


def test_files_stand_where_xdg_says_and_a_relative_place_is_ignored() -> None:
    home = {"HOME": "/home/a"}
    assert config_file(home) == Path("/home/a/.config/derms/contexts.toml")
    assert config_file(home | {"XDG_CONFIG_HOME": "/etc/a"}) == Path("/etc/a/derms/contexts.toml")
    assert config_file(home | {"XDG_CONFIG_HOME": "here"}) == Path("/home/a/.config/derms/contexts.toml")
    assert token_file(home, "lab") == Path("/home/a/.local/state/derms/tokens/lab.json")
