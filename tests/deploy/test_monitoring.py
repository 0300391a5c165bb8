"""Rules and dashboards: each by itself, and all of them against a controller and a Prometheus that run."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from derms.store.embedded import EmbeddedPostgres
from tests.deploy.monitoring import PROMETHEUS, RULES, Watched, program, watched
from tests.processes import ROOT, eventually
from tests.unit.test_docs_links import anchors

ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
GRAFANA = ROOT / "deploy" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
_NAME = re.compile(r"\b(?:derms|process|python_gc)_[a-z0-9_]+")


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> list[str]:
    """What a dashboard asks, with its variables standing for everything."""
    asked = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    asked += [note["expr"] for note in board["annotations"]["list"]]
    return [re.sub(r"\$(feeder|instance)\b", ".*", text.replace("$__rate_interval", "1m")) for text in asked]


def test_every_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() -> None:
    there = anchors(ROOT / "docs" / "operations.md")
    for alert in ALERTS:
        name = alert["alert"]
        assert name.startswith("Derms")
        assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"}), name
        assert {"summary", "description", "runbook"} == set(alert["annotations"]), name
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (ROOT / page).exists()
        assert anchor in there, f"docs/operations.md has no heading {name}"
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)


def test_every_alert_is_seen_to_fire_by_a_test_of_the_rules() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    samples = [sample for test in tests for asked in test["promql_expr_test"] for sample in asked["exp_samples"]]
    seen = {re.sub(r'.*alertname="(\w+)".*', r"\1", sample["labels"]) for sample in samples}
    assert seen == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("words", ["check rules rules.yml", "test rules rules.test.yml"])
def test_promtool_is_content_with_the_rules(words: str) -> None:
    said = subprocess.run(
        [program("promtool"), *words.split()], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_promtool_is_content_with_the_configuration(tmp_path: Path) -> None:
    # The token lies elsewhere than here; everything else is read as it is.
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "token").write_text("x")
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text())
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/prometheus/token", f"{tmp_path}/token"))
    said = subprocess.run(
        [program("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_dashboard_is_laid_out_and_asks_the_data_source_that_is_provisioned(name: str) -> None:
    board = BOARDS[name]
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/derms.yaml").read_text())["datasources"]
    uids = {one["uid"] for one in provisioned}
    assert board["uid"] == f"derms-{name}"
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    for panel in panels(board):
        assert panel["datasource"]["uid"] in uids
        assert panel["targets"], panel["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_dashboards_are_provisioned_from_where_the_stack_mounts_them() -> None:
    told = yaml.safe_load((GRAFANA / "provisioning/dashboards/derms.yaml").read_text())["providers"][0]
    mounts = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{told['options']['path']}:ro" in mounts
    assert set(BOARDS) == {"operations", "feeder"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("monitoring"), postgres_server) as everything:
        yield everything


def test_a_limit_that_is_passed_is_told_by_prometheus(running: Watched) -> None:
    def fires() -> dict[str, Any] | None:
        return running.alerts().get("DermsImportLimitViolated")

    eventually(lambda: running.alerts().get("DermsDeviceDisobedient"), "a disobedient device is told of", 60.0)
    alert = eventually(fires, "the alert fires", 60.0)
    assert alert is not None
    assert alert["labels"]["feeder"] == "feeder-1"
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "Feeder feeder-1 imports more than its limit"
    assert alert["annotations"]["runbook"] == "docs/operations.md#dermsimportlimitviolated"
    # What is well is not told of.
    quiet = {"DermsDown", "DermsBrokerDown", "DermsDatabaseDown", "DermsNoLeader", "DermsLoopStalled", "DermsRowsLost"}
    assert not quiet & running.alerts().keys()


def test_the_certificate_that_ends_in_two_days_is_told_of(running: Watched) -> None:
    alert = eventually(lambda: running.alerts().get("DermsCertificateEnded"), "the alert fires", 30.0)
    assert alert is not None
    assert alert["labels"]["certificate"] == "mqtt_ca"


def exposed(running: Watched) -> set[str]:
    """The names of all samples of the running controller."""
    text = running.daemon.ask("/metrics")
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_every_metric_of_rules_and_dashboards_is_on_the_page_of_a_running_controller(running: Watched) -> None:
    asked = [alert["expr"] for alert in ALERTS] + [text for board in BOARDS.values() for text in expressions(board)]
    wanted = {name for text in asked for name in _NAME.findall(text)}
    eventually(lambda: wanted <= exposed(running), f"{wanted - exposed(running)} is exposed", 20.0)


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_question_of_a_dashboard_has_an_answer(name: str, running: Watched) -> None:
    eventually(lambda: running.alerts(), "something fires", 30.0)
    for asked in expressions(BOARDS[name]):
        # An export limit that is not set is no curve.
        unset = "derms_feeder_export_limit_kw" in asked
        eventually(
            lambda asked=asked, unset=unset: unset or running.ask("/api/v1/query", query=asked)["result"],  # type: ignore[misc]
            asked,
            30.0,
        )
