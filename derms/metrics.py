"""Every Prometheus instrument, on a registry passed in; the only door to prometheus_client.

Names are ``derms_<noun>_<unit>``. Labels are of low cardinality (feeder, type, outcome), never device ids.
"""

import ast
import inspect
import textwrap
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from derms.model import DeviceKind, Outcome

_TICK_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FEEDER = ("feeder",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One metric, for people."""

    name: str
    """As a query names it; of a histogram without `_bucket`, `_sum` and `_count`."""
    kind: str
    """counter, gauge, histogram or summary."""
    labels: tuple[str, ...]
    what: str


class Metrics:
    """The instruments.

    Args:
        registry: Where they are registered; a new one when not given. One registry holds one `Metrics`.
        version: The release that runs.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4
    """Of what `expose` returns."""

    def __init__(self, registry: CollectorRegistry | None = None, *, version: str) -> None:
        self.registry = registry = CollectorRegistry() if registry is None else registry

        self.messages_total = Counter(
            "derms_messages_total", "Received MQTT messages by what became of them.", ("outcome",), registry=registry
        )
        """Telemetry, and refused status messages; label `outcome`: those of the wire contract."""
        self.setpoints_sent_total = Counter(
            "derms_setpoints_sent_total", "Setpoint leases the broker has acknowledged.", registry=registry
        )
        self.setpoint_publish_failures_total = Counter(
            "derms_setpoint_publish_failures_total", "Setpoint leases that could not be published.", registry=registry
        )

        self.tick_duration_seconds = Histogram(
            "derms_tick_duration_seconds",
            "Time one control tick took.",
            buckets=_TICK_BUCKETS,
            registry=registry,
        )
        """Of one feeder."""
        self.tick_lateness_seconds = Histogram(
            "derms_tick_lateness_seconds",
            "How late a control tick started against its interval.",
            buckets=_TICK_BUCKETS,
            registry=registry,
        )
        self.last_tick_timestamp_seconds = Gauge(
            "derms_last_tick_timestamp_seconds", "When the last control tick was.", registry=registry
        )
        """Unix time; of a controller that stands by too."""
        self.control_interval_seconds = Gauge(
            "derms_control_interval_seconds", "Time between two control ticks when nothing changes.", registry=registry
        )
        self.event_loop_lag_seconds = Gauge(
            "derms_event_loop_lag_seconds", "How late the event loop woke a timer of one second.", registry=registry
        )
        self.leader = Gauge("derms_leader", "1 while this controller commands.", registry=registry)
        self.epoch = Gauge("derms_epoch", "What its setpoints carry; 0 before it first commanded.", registry=registry)
        self.takeovers_total = Counter(
            "derms_takeovers_total", "Trees of feeders whose lease this controller took.", registry=registry
        )
        self.setpoints_withheld_total = Counter(
            "derms_setpoints_withheld_total", "Leases held back because it commands no more.", registry=registry
        )
        self.tick_failures_total = Counter(
            "derms_tick_failures_total", "Control ticks of a feeder that failed.", registry=registry
        )

        self.recorder_queue_rows = Gauge(
            "derms_recorder_queue_rows", "Rows waiting to be written to the store.", registry=registry
        )
        """In memory, not safe yet."""
        self.recorder_rows_total = Counter(
            "derms_recorder_rows_total", "Rows by what became of them.", ("result",), registry=registry
        )
        """Label `result`: `stored` (what was spooled when it is replayed), `refused` (the database will never take it),
        `spooled` or `lost`."""
        self.spool_bytes = Gauge(
            "derms_spool_bytes", "Disk filled with rows the store has not taken yet.", registry=registry
        )
        self.spool_max_bytes = Gauge(
            "derms_spool_max_bytes", "Disk the spool may fill; beyond it new rows are refused.",
            registry=registry,
        )  # fmt: skip
        self.telemetry_packed_samples_total = Counter(
            "derms_telemetry_packed_samples_total", "Samples packed, a device and minute a row.", registry=registry
        )
        self.telemetry_unpacked_seconds = Gauge(
            "derms_telemetry_unpacked_seconds",
            "How long the oldest raw sample has been due to be packed; it is caught up with at 0.",
            registry=registry,
        )
        self.telemetry_buckets_total = Counter(
            "derms_telemetry_buckets_total", "Buckets of one minute made, or made anew.", registry=registry
        )
        self.telemetry_dropped_partitions_total = Counter(
            "derms_telemetry_dropped_partitions_total", "Partitions dropped as too old.", registry=registry
        )
        self.upkeep_failures_total = Counter(
            "derms_upkeep_failures_total", "Passes of the store's upkeep that broke off.", registry=registry
        )
        self.mqtt_connected = Gauge("derms_mqtt_connected", "1 when connected to the broker.", registry=registry)
        self.mqtt_connections_total = Counter(
            "derms_mqtt_connections_total", "How often the broker was met.", registry=registry
        )
        self.store_outages_total = Counter(
            "derms_store_outages_total", "How often the store began to refuse writes.", registry=registry
        )
        self.store_connected = Gauge("derms_store_connected", "1 when the store takes writes.", registry=registry)
        """0 when the last write failed."""

        self.feeder_load_kw = Gauge(
            "derms_feeder_load_kw", "Power the feeder draws, import positive.", _FEEDER, registry=registry
        )
        """Measured at the head, or estimated where no meter is heard."""
        self.feeder_import_limit_kw = Gauge(
            "derms_feeder_import_limit_kw", "Import limit in force.", _FEEDER, registry=registry
        )
        """Of the static limit, events and programs the tightest; `+Inf`: none."""
        self.feeder_export_limit_kw = Gauge(
            "derms_feeder_export_limit_kw", "Export limit in force.", _FEEDER, registry=registry
        )
        self.feeder_allocated_kw = Gauge(
            "derms_feeder_allocated_kw",
            "Sum of the setpoints by type; for pv the generation that is allowed, negative.",
            (*_FEEDER, "type"),
            registry=registry,
        )
        self.feeder_tracking_error_kw = Gauge(
            "derms_feeder_tracking_error_kw",
            "Mean distance of EVs and batteries that are heard from their setpoints.",
            _FEEDER,
            registry=registry,
        )
        self.feeder_dr_shed_kw = Gauge(
            "derms_feeder_dr_shed_kw",
            "How far the load is below its peak before the event that bears on it; 0 without one.",
            _FEEDER,
            registry=registry,
        )
        self.feeder_headroom_kw = Gauge(
            "derms_feeder_headroom_kw", "Power there was to allocate.", _FEEDER, registry=registry
        )
        self.feeder_commanded_kw = Gauge(
            "derms_feeder_commanded_kw",
            "Sum of the leases of EVs and batteries.",
            _FEEDER,
            registry=registry,
        )
        self.feeder_reserved_kw = Gauge(
            "derms_feeder_reserved_kw", "Power held back for silent devices.", _FEEDER, registry=registry
        )
        self.feeder_shortfall_kw = Gauge(
            "derms_feeder_shortfall_kw", "Excess over the limit that nothing can relieve.", _FEEDER, registry=registry
        )
        self.feeder_lease_left_ratio = Gauge(
            "derms_feeder_lease_left_ratio",
            "The least part of its lease that a device that is heard had left as the tick began, 0 to 1.",
            _FEEDER,
            registry=registry,
        )
        """1 where nobody is led; renewed in time it stays above a third."""
        self.feeder_envelope_kw = Gauge(
            "derms_feeder_envelope_kw",
            "Worst load if the controller, the broker or any path to a device died now.",
            _FEEDER,
            registry=registry,
        )
        self.alarm_lines_dropped_total = Counter(
            "derms_alarm_lines_dropped_total",
            "Lines of the alarms' history given up while the store was away.",
            registry=registry,
        )
        self.webhook_deliveries_total = Counter(
            "derms_webhook_deliveries_total", "Alerts to the webhook by what became of them.", ("result",),
            registry=registry,
        )  # fmt: skip
        """Label `result`: `delivered`, `retried` (an attempt that will be made again), `given_up` or `dropped`."""
        self.alarms = Gauge(
            "derms_alarms",
            "Standing alarms by kind, of what this controller commands; 0 while it stands by.",
            ("kind",),
            registry=registry,
        )
        """The kinds stand on the page of operations."""

        self.devices = Gauge(
            "derms_devices",
            "Devices by type and telemetry freshness.",
            ("feeder", "type", "freshness"),
            registry=registry,
        )
        self._counted: dict[tuple[str, DeviceKind, str], int] = {}
        """What `set_devices` was last told."""
        self.events_active = Gauge("derms_events_active", "DR events in force now.", registry=registry)
        self.api_requests_total = Counter(
            "derms_api_requests_total", "Answered API requests.", ("route", "method", "status"), registry=registry
        )
        """Label `route`: the route's pattern, `unknown` when none matched; never the path."""
        self.logins_total = Counter(
            "derms_logins_total", "Logins by what became of them.", ("result",), registry=registry
        )
        """Label `result`: `granted`, `refused` or `held` (tried too often)."""
        self.stream_readers = Gauge("derms_stream_readers", "Readers of the live stream.", registry=registry)
        self.stream_dropped_total = Counter(
            "derms_stream_dropped_total", "Readers of the live stream that fell behind and were dropped.",
            registry=registry,
        )  # fmt: skip
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.certificate_expiry_timestamp_seconds = Gauge(
            "derms_certificate_expiry_timestamp_seconds",
            "When a certificate in use ends.",
            ("certificate",),
            registry=registry,
        )
        """Label `certificate`: `api`, `mqtt_client` or `mqtt_ca`, as far as they are set."""
        self.build_info = build = Gauge(
            "derms_build_info", "Always 1; the release that runs.", ("version",), registry=registry
        )
        build.labels(version=version).set(1)
        self._announce()

    def _announce(self) -> None:
        """Let series with a known label exist from the start, so that a rate over their first step is right."""
        for outcome in Outcome:
            self.messages_total.labels(outcome=outcome.value)
        for result in ("stored", "refused", "spooled", "lost"):
            self.recorder_rows_total.labels(result=result)
        for result in ("delivered", "retried", "given_up", "dropped"):
            self.webhook_deliveries_total.labels(result=result)
        for result in ("granted", "refused", "held"):
            self.logins_total.labels(result=result)

    def forget_feeders(self) -> None:
        """Show no feeder any more: another controller does."""
        for name, metric in vars(self).items():
            if name.startswith("feeder_"):
                metric.clear()

    def set_devices(self, counts: dict[tuple[str, DeviceKind, str], int]) -> None:
        """Replace the device counts.

        Args:
            counts: (feeder id, type, freshness) -> number of devices. What is not there no longer exists.
        """
        for feeder, kind, freshness in self._counted.keys() - counts.keys():
            self.devices.remove(feeder, kind.value, freshness)
        # Finding a series costs more than counting: only what has changed is set.
        for key, count in counts.items():
            if self._counted.get(key) != count:
                feeder, kind, freshness = key
                self.devices.labels(feeder, kind.value, freshness).set(count)
        self._counted = dict(counts)

    def described(self) -> list[Described]:
        """Every metric of ours by its name, with what is written below it here."""
        found, notes = [], _notes_of(type(self))
        for attribute, metric in vars(self).items():
            if not isinstance(metric, Counter | Gauge | Histogram):
                continue
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            what = f"{family.documentation} {notes.get(attribute, '')}".strip()
            # The library keeps the names of the labels, and offers no other way to them.
            found.append(Described(name=name, kind=family.type, labels=tuple(metric._labelnames), what=what))
        return sorted(found, key=lambda one: one.name)

    def expose(self) -> bytes:
        """The registry in the Prometheus text format."""
        return generate_latest(self.registry)


def _notes_of(kind: type[Metrics]) -> dict[str, str]:
    """The string literal after each instrument, by its attribute."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    (made,) = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    notes = {}
    for line, after in zip(made.body, made.body[1:], strict=False):
        match line, after:
            case ast.Assign(targets=[ast.Attribute(attr=name)]), ast.Expr(value=ast.Constant(value=str() as text)):
                notes[name] = inspect.cleandoc(text)
    return notes
