"""Names, labels, and the exposition."""

from prometheus_client.parser import text_string_to_metric_families

from derms.metrics import Metrics
from derms.model import DeviceKind, Outcome


def families(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = tuple(sorted(sample.labels.items()))
            assert key not in series, f"{sample.name}{key} stands there twice"
            series[key] = sample.value
    return found


def test_every_name_and_label_is_ours_and_no_label_is_a_device() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.feeder_load_kw.labels(feeder="f").set(1)
    for name, series in families(metrics).items():
        # The process and its garbage collector go by the names that every dashboard knows.
        assert name.startswith(("derms_", "process_", "python_gc_"))
        for labels in series:
            assert {key for key, _ in labels} <= {
                "outcome",
                "generation",
                "result",
                "feeder",
                "type",
                "freshness",
                "version",
                "route",
                "method",
                "status",
                "le",
            }


def test_every_outcome_is_there_from_the_start() -> None:
    metrics = Metrics(version="1")
    seen = families(metrics)
    assert seen["derms_messages_total"] == {(("outcome", outcome.value),): 0.0 for outcome in Outcome}
    assert len(seen["derms_recorder_rows_total"]) == 4
    assert seen["derms_build_info"] == {(("version", "1"),): 1.0}


def test_device_counts_that_are_gone_are_gone() -> None:
    metrics = Metrics(version="1")
    metrics.set_devices({("f", DeviceKind.EV, "good"): 2, ("f", DeviceKind.PV, "good"): 1})
    metrics.set_devices({("f", DeviceKind.EV, "stale"): 2})
    assert families(metrics)["derms_devices"] == {(("feeder", "f"), ("freshness", "stale"), ("type", "ev")): 2.0}


def test_two_registries_do_not_share_counts() -> None:
    one, two = Metrics(version="1"), Metrics(version="1")
    one.tick_failures_total.inc()
    assert families(one)["derms_tick_failures_total"] == {(): 1.0}
    assert families(two)["derms_tick_failures_total"] == {(): 0.0}


def test_every_metric_of_ours_is_described_with_the_labels_it_takes() -> None:
    metrics = Metrics(version="1")
    described = {one.name: one for one in metrics.described()}
    families = [family for family in metrics.registry.collect() if family.name.startswith("derms_")]
    assert sorted(described) == sorted(
        family.name + ("_total" if family.type == "counter" else "") for family in families
    )
    assert described["derms_feeder_allocated_kw"].labels == ("feeder", "type")
    assert described["derms_tick_duration_seconds"].what == "Time one control tick took. Of one feeder."
