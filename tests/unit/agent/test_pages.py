"""The examples of the pages on drivers and OCPP are taken as they stand."""

import re
import tomllib
from pathlib import Path

import pytest

from agent.config import parse_config
from agent.drivers.modbus.map import parse_map
from agent.ocpp.config import OcppOptions, StationOptions, parse_ocpp_config

DOCS = Path(__file__).parents[3] / "docs"


def examples(page: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize("number", range(4))
def test_each_kind_of_driver_has_an_example(number: int) -> None:
    texts = examples("drivers.md", "json")
    assert len(texts) == 4
    parse_config(texts[number].encode(), name="the example")


def test_the_register_map_is_one() -> None:
    (text,) = examples("drivers.md", "yaml")
    found = parse_map(text.encode(), name="the example")
    assert found.watchdog is not None


def test_the_endpoints_configuration_is_one() -> None:
    (text,) = examples("ocpp.md", "toml")
    options = parse_ocpp_config(tomllib.loads(text), name="the example")
    assert list(options.station) == ["CP-1"]


def test_every_option_of_the_endpoint_is_on_its_page() -> None:
    page = (DOCS / "ocpp.md").read_text(encoding="utf-8")
    for name in (*OcppOptions.__struct_fields__, *StationOptions.__struct_fields__):
        assert name == "station" or f"`{name}`" in page, name
