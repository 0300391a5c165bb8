"""What people change in the registry over the API of a running controller, and what of it a restart keeps."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.processes import Daemon, Programs, eventually
from tests.stage import Broker, query


def change(daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """As an admin."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {daemon.admin_token()}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(daemon.api + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15.0) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.timeout(120)
def test_changes_bear_at_once_and_outlive_a_restart_but_for_what_is_declared(
    programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    said = {"mqtt_url": stage_broker.url, "database_url": postgres_url, "feeder_import_limit_kw": 60,
            "registration": "approve"}  # fmt: skip
    first = programs.serve(**said)
    first.wait_logged("The controller runs")
    reading = {"device_id": "ev-1", "type": "ev", "p_actual_kw": 0.0, "p_max_kw": 7.2, "soc": 0.3, "seq": 1}
    status, problem = change(first, "POST", "/api/telemetry", reading)
    assert (status, problem["code"]) == (422, "telemetry-refused")  # quarantined, and listed
    assert first.ask("/api/devices?enrolment=quarantined")["total"] == 1
    assert "adopt it" in first.ask("/api/devices/ev-1/why")["bounds"][0]["remedies"][0]

    assert change(first, "POST", "/api/feeders", {"feeder_id": "garage", "parent_id": "feeder-1"})[0] == 201
    patch = {"feeder_id": "garage", "priority": 9, "p_import_max_kw": 11.0}
    assert change(first, "POST", "/api/devices/ev-1/adopt", patch)[0] == 200
    assert change(first, "POST", "/api/telemetry", reading | {"seq": 2})[0] == 202
    eventually(lambda: first.ask("/api/devices/ev-1")["lease"], "it is told")
    eventually(lambda: first.ask("/api/telemetry/ev-1")["samples"], "its measurement is stored")
    hold = {"kind": "hold", "p_kw": 5.0, "reason": "a test", "duration_s": 600}
    assert change(first, "PUT", "/api/devices/ev-1/override", hold)[0] == 200
    status, feeder = change(first, "PATCH", "/api/feeders/feeder-1", {"import_limit_kw": 20.0, "export_limit_kw": 9.0})
    assert (status, feeder["declared"]) == (200, ["import_limit_kw"])
    eventually(lambda: first.ask("/api/feeder/summary")["feeders"][0]["import_limit_kw"] == 20.0, "the limit bears")
    eventually(lambda: first.ask("/api/feeder/history?feeder_id=feeder-1")["buckets"], "the history fills")
    assert first.terminate() == 0

    second = programs.serve(**said)
    second.wait_logged("The controller runs")
    device = second.ask("/api/devices/ev-1")
    assert (device["feeder_id"], device["priority"], device["p_import_max_kw"]) == ("garage", 9, 11.0)
    assert (device["enrolment"], device["override"]["reason"]) == ("active", "a test")
    feeder = second.ask("/api/feeders/feeder-1")
    # what a setting says outright counts again; the rest stays
    assert (feeder["import_limit_kw"], feeder["export_limit_kw"]) == (60.0, 9.0)
    assert second.ask("/api/feeder/metrics?feeder_id=feeder-1")["covered_s"] > 0.0
    assert second.ask("/api/feeder/metrics?feeder_id=feeder-1")["fairness_devices"] <= 1
    assert change(second, "DELETE", "/api/devices/ev-1")[0] == 204
    lines = query(postgres_url, "SELECT action, subject, before, after FROM audit_log ORDER BY audit_id")
    changes = {action: (before, after) for action, subject, before, after in lines if subject == "ev-1"}
    assert changes["device.adopt"][0]["enrolment"] == "quarantined"
    assert changes["device.adopt"][1]["priority"] == 9
    assert changes["device.retire"] == ({"enrolment": "active"}, {"enrolment": "retired"})
    loud = [line for line in second.stderr.splitlines() if '"level": "error"' in line]
    assert loud == []
