"""What a release says it is made of: exactly what is pinned, in a form that its own schema accepts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from derms import __version__
from tests.processes import ROOT

TOOLS = Path(sys.executable).parent.parent / "release"
_PIN = re.compile(r"^([a-z0-9._-]+)==(\S+) \\$", re.MULTILINE)
_CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(0 if found is None else str(found))
"""


def checked(text: str) -> subprocess.CompletedProcess[str]:
    """Hold it to the schema that the library brings along; nothing is fetched."""
    return subprocess.run(
        [TOOLS / "bin" / "python", "-c", _CHECK], input=text, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = TOOLS / ".done"
    if not done.exists() or done.stat().st_mtime < (ROOT / "requirements" / "release.txt").stat().st_mtime:
        pytest.skip("the tools of a release are not installed; `make sbom` does it")
    file = tmp_path_factory.mktemp("sbom") / "derms.json"
    made = ["make", "--no-print-directory", "sbom", f"SBOM={file}", f"VENV={TOOLS.parent}"]
    subprocess.run(made, cwd=ROOT, check=True, capture_output=True, timeout=100, env=_environment(file.parent))
    return file.read_text(encoding="utf-8")


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


def test_every_pin_is_in_it_with_its_hashes_and_nothing_else(sbom: str) -> None:
    pins = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    made = json.loads(sbom)
    assert (made["metadata"]["component"]["name"], made["metadata"]["component"]["version"]) == ("derms", __version__)
    assert {one["name"]: one["version"] for one in made["components"]} == dict(_PIN.findall(pins))
    hashes = {one["content"] for part in made["components"] for there in part["externalReferences"]
              for one in there["hashes"]}  # fmt: skip
    assert hashes == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", pins))


@pytest.mark.slow
def test_its_schema_accepts_it_and_refuses_one_that_is_spoilt(sbom: str) -> None:
    assert checked(sbom).returncode == 0
    spoilt = json.loads(sbom)
    spoilt["components"][0]["type"] = "rumour"
    assert checked(json.dumps(spoilt)).returncode == 1


def test_what_looks_at_a_release_is_pinned_with_hashes() -> None:
    text = (ROOT / "requirements" / "release.txt").read_text(encoding="utf-8")
    pinned = {name for name, _ in _PIN.findall(text)}
    wanted = (ROOT / "requirements" / "release.in").read_text(encoding="utf-8").splitlines()
    assert {name for name in wanted if name and not name.startswith("#")} <= pinned
    assert len(pinned) == len(re.findall(r"^[a-z]", text, re.MULTILINE)), "each of them"
    assert "://" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE), "no index stands in it"
