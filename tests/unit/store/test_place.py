import os
from pathlib import Path

import pytest

from derms.errors import ConfigError
from derms.store.place import Account, blocking_dir, default_data_dir, prepare_data_dir, reachable_install

STRANGER = Account(name="stranger", uid=65_534, gid=65_534)


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"HOME": "/home/ann"}, 1000, "/home/ann/.local/share/derms"),
        ({"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, 1000, "/data/derms"),
        ({"HOME": "/home/ann", "XDG_DATA_HOME": "relative"}, 1000, "/home/ann/.local/share/derms"),
        ({"HOME": "/root"}, 0, "/var/lib/derms"),
        ({"HOME": "/root", "XDG_DATA_HOME": "/data"}, 0, "/data/derms"),
    ],
)
def test_the_default_data_directory(environ: dict[str, str], uid: int, expected: str) -> None:
    assert default_data_dir(environ, uid) == Path(expected)


def test_a_closed_directory_on_the_way_is_named(short_dir: Path) -> None:
    closed = short_dir / "closed"
    closed.mkdir(mode=0o700)
    assert blocking_dir(closed / "a" / "b", STRANGER) == closed
    assert blocking_dir(closed / "a", None) is None
    assert blocking_dir(short_dir / "open", STRANGER) is None
    with pytest.raises(ConfigError, match=rf"may not pass {closed}"):
        prepare_data_dir(closed / "a", STRANGER)
    assert list(closed.iterdir()) == []


def test_directories_made_for_an_account_are_passable_whatever_the_umask(short_dir: Path) -> None:
    before = os.umask(0o077)
    try:
        prepare_data_dir(short_dir / "umask" / "a" / "b", STRANGER)
    finally:
        os.umask(before)
    assert blocking_dir(short_dir / "umask" / "a" / "b", STRANGER) is None


def test_binaries_the_account_can_reach_are_used_where_they_are(short_dir: Path) -> None:
    install = fake_install(short_dir / "reachable")
    assert reachable_install(install, short_dir, STRANGER) == install


def test_binaries_out_of_reach_are_copied_with_what_they_need(short_dir: Path) -> None:
    home = short_dir / "hidden"
    install = fake_install(home)
    home.chmod(0o700)
    data = short_dir / "copies"
    data.mkdir(mode=0o711)
    copied = reachable_install(install, data, STRANGER)
    assert blocking_dir(copied / "bin" / "postgres", STRANGER) is None
    assert (copied / "share" / "postgres.bki").read_text() == "bki"
    assert (copied / "../../pkg.libs/libpq.so").resolve().read_text() == "libpq"
    assert not list(data.glob("*.part"))
    assert reachable_install(install, data, STRANGER) == copied


def fake_install(home: Path) -> Path:
    install = home / "pkg" / "pginstall"
    files = {"bin/postgres": "", "bin/initdb": "", "lib/plpgsql.so": "", "lib/x.a": "", "share/postgres.bki": "bki"}
    for name, text in files.items():
        (install / name).parent.mkdir(parents=True, exist_ok=True)
        (install / name).write_text(text)
    for name in ("postgres", "initdb"):
        (install / "bin" / name).chmod(0o755)
    (home / "pkg.libs").mkdir()
    (home / "pkg.libs" / "libpq.so").write_text("libpq")
    return install
