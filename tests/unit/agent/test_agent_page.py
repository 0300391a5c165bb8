"""`docs/agent.md` says what the code does."""

import dataclasses
import json
import re
from pathlib import Path

from agent import buffer, reporter, runner
from agent.config import AgentConfig
from agent.endpoint import MAX_LEASE_S, RAMP_S

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "agent.md").read_text()


def test_every_key_stands_on_the_page_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\S.*?) \| ", PAGE.partition("## Configuration")[2], re.MULTILINE))
    expected = {}
    for field in dataclasses.fields(AgentConfig):
        if field.default_factory is not dataclasses.MISSING:
            expected[field.name] = f"`{json.dumps(field.default_factory())}`"
        elif field.default is dataclasses.MISSING:
            expected[field.name] = "required"
        else:
            expected[field.name] = f"`{json.dumps(field.default)}`"
    assert told == expected


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    assert f"At most `buffer_mb` ({AgentConfig.__dataclass_fields__['buffer_mb'].default:g} MB" in PAGE
    assert f"synced to disk every {reporter.SYNC_S:g} s" in PAGE
    assert f"up to {reporter.QUEUE} samples wait in memory" in PAGE
    assert f"crosses the whole rating in {RAMP_S:g} s" in PAGE
    assert f"looked at every {runner.CONTROL_STEP_S:g} s" in PAGE
    assert f"up to {runner.JITTER * 100:g} % at random" in PAGE
    assert MAX_LEASE_S == 3600
    assert buffer.MAX_BYTES == 32 << 20


def test_every_file_that_the_page_installs_is_shipped() -> None:
    named = set(re.findall(r"deploy/[\w./-]+\.\w+", PAGE))
    assert len(named) == 3
    assert all((ROOT / name).is_file() for name in named)
