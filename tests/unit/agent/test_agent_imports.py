"""An agent on a small machine loads nothing heavy."""

import subprocess
import sys

HEAVY = ("numpy", "aiohttp", "psycopg", "textual", "typer", "pydantic", "pydantic_settings", "rich", "amqtt")
OPTIONAL = ("pymodbus", "sunspec2", "serial", "yaml", "ocpp", "websockets")


def test_the_agent_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, agent.runner, agent.config, agent.endpoint, agent.process, agent.drivers, derms.contract;"
        f"print([name for name in {HEAVY + OPTIONAL!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
