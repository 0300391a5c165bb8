"""Whether the process of a container lives; exit code 0 or 1, and a line that says why. Standard library only.

`api`: the API answers `GET /api/health`. What is around the controller (database, broker) does not count: a restart
would not bring it back, and control goes on without it. `process`: the main thread wakes. An event loop that turns does
so at least once a second; one that hangs does not.
"""

import os
import ssl
import sys
import threading
import time
import urllib.request
from pathlib import Path

_PID = os.environ.get("HEALTHCHECK_PID", "1")
_ANSWER_S = 3.0
_TURN_S = 3.0


def api() -> str:
    """What is wrong with the API; nothing: it answers."""
    # An empty variable is no value, as everywhere.
    port = os.environ.get("DERMS_API_PORT") or "8080"
    tls = bool(os.environ.get("DERMS_API_TLS_CERT_FILE"))
    # It asks itself: whose certificate that is, is not the question.
    context = ssl._create_unverified_context() if tls else None
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/api/health"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S, context=context) as answer:
            return "" if answer.status == 200 else f"{url} answers {answer.status}"
    except OSError as error:
        return f"{url}: {error}"


def process() -> str:
    """What is wrong with the main thread; nothing: it wakes."""
    pause, until_s = threading.Event(), time.monotonic() + _TURN_S
    try:
        before = _wakes()
        while time.monotonic() < until_s:
            pause.wait(0.1)
            if _wakes() > before:
                return ""
        return f"process {_PID} has not woken for {_TURN_S:g} s"
    except OSError as error:
        return f"process {_PID}: {error}"


def _wakes() -> int:
    status = Path("/proc", _PID, "task", _PID, "status").read_text(encoding="utf-8")
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines["voluntary_ctxt_switches"])


def main() -> int:
    """Look, and say it."""
    wrong = api() if sys.argv[1:] == ["api"] else process()
    sys.stdout.write((wrong or "well") + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
