"""An agent on a small machine loads nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import told

HEAVY = ("numpy", "aiohttp", "psycopg", "textual", "typer", "pydantic", "pydantic_settings", "rich", "amqtt")
OPTIONAL = ("pymodbus", "sunspec2", "serial", "yaml", "ocpp", "websockets", "agent.ocpp")


def test_the_agent_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, agent.runner, agent.config, agent.endpoint, agent.process, agent.drivers, derms.contract;"
        f"print([name for name in {HEAVY + OPTIONAL!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(("kind", "package"), [("sunspec", "pymodbus"), ("modbus", "yaml")])
def test_a_kind_whose_library_is_missing_names_the_extra(kind: str, package: str, tmp_path: Path) -> None:
    config = tmp_path / "agent.json"
    driver = {"kind": kind, "host": "192.0.2.1"} | ({"map": "map.yaml"} if kind == "modbus" else {})
    config.write_text(json.dumps({"device_id": "a", "device_type": "pv", "driver": driver}))
    code = (
        f"import sys; sys.modules[{package!r}] = None;"
        f"sys.argv = ['derms', 'agent', 'run', '--config', {str(config)!r}];"
        "from derms.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    line = told(ran.stderr)
    assert f"the kind {kind} needs the Python package {package}" in line
    assert "[config]" in line
    assert "pip install 'derms[drivers]'" in line


def test_the_endpoint_of_stations_names_its_extra(tmp_path: Path) -> None:
    config = tmp_path / "ocpp.toml"
    config.write_text("")
    code = (
        "import sys; sys.modules['websockets'] = None;"
        f"sys.argv = ['derms', 'ocpp', 'serve', '--config', {str(config)!r}];"
        "from derms.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    line = told(ran.stderr)
    assert "needs the Python package websockets" in line
    assert "[config]" in line
    assert "pip install 'derms[ocpp]'" in line
