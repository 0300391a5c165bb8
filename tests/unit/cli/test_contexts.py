"""Which controllers there are, and the files they and their tokens stand in."""

from pathlib import Path

import pytest

from derms.cli.contexts import (
    Context,
    Contexts,
    checked_name,
    config_file,
    known_contexts,
    read_contexts,
    token_file,
    write_contexts,
)
from derms.errors import ConfigError, NotFoundError, UsageError


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


def test_files_stand_where_xdg_says_and_a_relative_place_is_ignored() -> None:
    home = {"HOME": "/home/a"}
    assert config_file(home) == Path("/home/a/.config/derms/contexts.toml")
    assert config_file(home | {"XDG_CONFIG_HOME": "/etc/a"}) == Path("/etc/a/derms/contexts.toml")
    assert config_file(home | {"XDG_CONFIG_HOME": "here"}) == Path("/home/a/.config/derms/contexts.toml")
    assert token_file(home, "lab") == Path("/home/a/.local/state/derms/tokens/lab.json")


def test_the_machines_contexts_stand_below_the_users(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": f"{tmp_path}/first:{tmp_path}/second:relative"}
    assert known_contexts(environment) == Contexts()
    of_first = Contexts("plant", {"plant": Context(name="plant", url="https://first")})
    write_contexts(tmp_path / "first/derms/contexts.toml", of_first)
    both = {"plant": Context(name="plant", url="https://second"), "lab": Context(name="lab", url="https://lab")}
    write_contexts(tmp_path / "second/derms/contexts.toml", Contexts("lab", both))
    told = known_contexts(environment)
    assert (told.current, told.named("plant").url, told.named("lab").url) == ("plant", "https://first", "https://lab")
    assert [told.origin(name) for name in ("plant", "lab", "default")] == ["system", "system", "default"]
    own = Contexts("lab", {"plant": Context(name="plant", url="https://mine")})
    write_contexts(config_file(environment), own)
    told = known_contexts(environment)
    assert (told.current, told.named("plant").url, told.origin("plant")) == ("lab", "https://mine", "context")
    assert told.origin("lab") == "system"


@pytest.mark.parametrize(
    "line", ["timeout_s = -1", "timeout_s = true", "timeout_s = '3'", "output = 'xml'", "units = 'MW'"]
)
def test_a_context_says_only_what_can_be_meant(tmp_path: Path, line: str) -> None:
    path = tmp_path / "contexts.toml"
    path.write_text(f"[context.lab]\n{line}\n")
    with pytest.raises(ConfigError, match="context 'lab' is wrong"):
        read_contexts(path)
