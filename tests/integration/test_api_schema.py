"""The running controller against its own document: never a 5xx, and no answer that is not described there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stage import Stack

_LOG_OUT = "/api/auth/logout"
"""It would end the token that asks; it has tests of its own."""
_STREAM = "/api/stream"
"""It does not end."""
_REFUSED_BY_RULES = "positive_data_acceptance"
"""What a schema cannot say (an end after its start, one of two fields) is refused all the same."""


def attacked(stack: Stack, examples: int, seed: int, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{stack.daemon.api}/api/openapi.json",
        f"--header=Authorization: Bearer {stack.daemon.admin_token()}",
        f"--exclude-path={_LOG_OUT}",
        f"--exclude-path={_STREAM}",
        f"--exclude-checks={_REFUSED_BY_RULES}",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--request-timeout=15",
        "--no-color",
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)


def test_nothing_that_is_sent_makes_the_api_break_or_contradict_its_document(stack: Stack) -> None:
    stack.daemon.ask("/api/auth/me")  # while this address may still log in
    done = attacked(stack, 3, 1, "--phases=coverage,fuzzing")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert stack.daemon.health()["loop"] == "ok"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_nothing_that_is_sent_at_length_does_either(stack: Stack, seed: int) -> None:
    done = attacked(stack, 100, seed)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert stack.daemon.health()["loop"] == "ok"
