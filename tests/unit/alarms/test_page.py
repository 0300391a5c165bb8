"""`docs/alarms.md` against the rules."""

import re
from pathlib import Path

from derms.alarms.rules import RULES

PAGE = Path(__file__).parents[3] / "docs" / "alarms.md"


def test_every_kind_stands_on_the_page_with_its_priority_consequence_response_and_delays() -> None:
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\| `([a-z-]+)` \| (high|medium|low) \|", line):
            rows[found[1]] = (found[2], line)
    assert set(rows) == set(RULES)
    for kind, rule in RULES.items():
        priority, line = rows[kind]
        assert priority == rule.priority.value
        assert f"| {rule.consequence} | {rule.response} |" in line
        delays = [f"{seconds:g} s" for seconds in (rule.on_s, rule.off_s) if seconds]
        assert all(delay in line for delay in delays), (kind, delays)
