"""Keeps the label `derms-role` of its own pod: `active` while the controller in it commands, else `standby`.

The service `derms-commands` finds the one that commands by that label. When nobody commands (the database is away), the
last one keeps the label until another one leads: it still answers what is read. Standard library only. A failure is
said once when it starts and once when it ends, and tried again.
"""

import json
import os
import ssl
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

_EVERY_S = 2.0
_TIMEOUT_S = 4.0


def wanted(health: dict[str, Any], me: str) -> str | None:
    """The label that fits what `GET /api/health` says; None: it stays as it is.

    Args:
        health: The answer.
        me: The controller's name.
    """
    if health["role"] == "active":
        return "active"
    leaders = {tree["leader"] for tree in health["trees"].values()} - {None, me}
    return "standby" if leaders else None


class Pod:
    """Its own pod, as the cluster's API knows it."""

    def __init__(self, api: str, account: Path, namespace: str, name: str) -> None:
        self._url = f"{api}/api/v1/namespaces/{namespace}/pods/{name}"
        self._account = account
        self._tls = ssl.create_default_context(cafile=account / "ca.crt") if api.startswith("https") else None

    def label(self, role: str) -> None:
        """Set the label."""
        request = urllib.request.Request(
            self._url,
            method="PATCH",
            data=json.dumps({"metadata": {"labels": {"derms-role": role}}}).encode(),
            headers={
                "Content-Type": "application/merge-patch+json",
                # Read anew each time: the kubelet renews it.
                "Authorization": f"Bearer {(self._account / 'token').read_text(encoding='utf-8').strip()}",
            },
        )
        urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._tls).close()


def main() -> None:
    """Look and label for ever."""
    environment = os.environ
    health_url = environment.get("HEALTH_URL", "http://127.0.0.1:8080/api/health")
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    api = environment.get("API_URL", f"https://{f'[{host}]' if ':' in host else host}:{port}")
    name = environment["POD_NAME"]
    pod = Pod(api, Path(environment["ACCOUNT_DIR"]), environment["POD_NAMESPACE"], name)
    labelled, failing, pause = "", False, threading.Event()
    while True:
        try:
            with urllib.request.urlopen(health_url, timeout=_TIMEOUT_S) as answer:
                role = wanted(json.load(answer), name)
            if role is not None and role != labelled:
                pod.label(role)
                _say(f"{name} is {role} now")
                labelled = role
            if failing:
                _say("the label is kept again")
            failing = False
        except (OSError, ValueError, KeyError) as error:
            if not failing:
                _say(f"the label cannot be kept: {error}")
            failing = True
        pause.wait(_EVERY_S)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
