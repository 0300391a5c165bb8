import pytest

from derms.errors import ConfigError
from derms.store.schema import Migration, load_migrations, pending

ONE = Migration(number=1, name="0001_one", sql="SELECT 1")
TWO = Migration(number=2, name="0002_two", sql="SELECT 2")


def test_the_package_carries_its_migrations_numbered_without_a_gap() -> None:
    migrations = load_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert "CREATE TABLE telemetry" in migrations[0].sql


@pytest.mark.parametrize(
    ("applied", "expected"),
    [({}, [ONE, TWO]), ({1: ONE.checksum}, [TWO]), ({1: ONE.checksum, 2: TWO.checksum}, [])],
)
def test_what_is_not_applied_is_pending_in_order(applied: dict[int, str], expected: list[Migration]) -> None:
    assert pending(applied, [ONE, TWO]) == expected


def test_a_database_newer_than_the_program_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"migration 0003.*upgrade derms"):
        pending({1: ONE.checksum, 2: TWO.checksum, 3: "x"}, [ONE, TWO])


def test_an_edited_migration_is_refused() -> None:
    with pytest.raises(ConfigError, match="0001_one is not the one"):
        pending({1: "another checksum"}, [ONE, TWO])
