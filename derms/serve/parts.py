"""What the settings say, as the parts of the daemon want it."""

import contextlib

from derms.alarms.guard import Alerts
from derms.auth import Authenticator, KeyRing
from derms.certificates import ends_at
from derms.columns import Params
from derms.enrolment import FirstSight
from derms.metrics import Metrics
from derms.model import Enrolment
from derms.ports import Clock
from derms.serve.access import seeds_of
from derms.settings import RETENTIONS, Settings
from derms.store.postgres import PostgresStore
from derms.store.retention import Retention
from derms.store.rollup import FEEDERS, LEVELS
from derms.store.upkeep import Keeping


def params_of(settings: Settings) -> Params:
    """The engine's constants."""
    return Params(
        interval_s=settings.control_interval_s,
        lease_s=settings.lease_s,
        stale_after_s=settings.stale_after_s,
        lost_after_s=settings.lost_after_s,
        horizon_s=settings.horizon_s,
        ramp_up_s=settings.ramp_up_s,
        recovery_s=settings.recovery_s,
        rebound_s=settings.rebound_s,
    )


def keeping_of(settings: Settings) -> Keeping:
    """How samples and their buckets are kept."""
    days = [getattr(settings, name) for name in RETENTIONS]
    others = {level.table: kept for level, kept in zip(LEVELS, days[1:], strict=True)}
    others[FEEDERS.table] = settings.retention_1m_days
    others |= {"setpoints": settings.retention_setpoints_days, "decisions": settings.retention_decisions_days}
    return Keeping(raw_hours=settings.telemetry_raw_h, retention=Retention(samples=days[0], others=others))


def first_sight(settings: Settings) -> FirstSight:
    """What a device never heard of is given."""
    return FirstSight(
        default_feeder_id=settings.feeder_id,
        enrolment=Enrolment.ACTIVE if settings.registration == "open" else Enrolment.QUARANTINED,
        priority=settings.default_priority,
        min_soc_reserve=settings.min_soc_reserve,
        target_soc=settings.target_soc,
    )


def authenticator_of(
    settings: Settings, keys: KeyRing, store: PostgresStore, clock: Clock, metrics: Metrics
) -> Authenticator:
    """Who may log in."""
    return Authenticator(
        keys,
        store=store,
        clock=clock,
        access_ttl_s=settings.access_token_ttl_s,
        session_ttl_s=settings.token_ttl_h * 3600.0,
        seeds=seeds_of(settings),
        on_login=lambda result: metrics.logins_total.labels(result=result).inc(),
    )


def alerts(settings: Settings) -> Alerts | None:
    """Where alarms are posted; None: nowhere."""
    url = settings.alert_webhook_url
    if url is None:
        return None
    return Alerts(url=url.get_secret_value(), source=settings.controller_id, cooldown_s=settings.alert_cooldown_s)


def announce(settings: Settings, metrics: Metrics) -> None:
    """Tell the metrics what does not change while the daemon runs: bounds, and when what it has loaded ends."""
    metrics.control_interval_seconds.set(settings.control_interval_s)
    metrics.spool_max_bytes.set(settings.spool_max_mb << 20)
    shown = settings.api_tls_files
    files = {
        "api": None if shown is None else shown[0],
        "mqtt_client": settings.mqtt_cert_file,
        "mqtt_ca": settings.mqtt_ca_file,
    }
    for name, file in files.items():
        if file is not None:
            # What cannot be read is refused by who loads it, who knows what it is for.
            with contextlib.suppress(OSError, ValueError):
                until = ends_at(file.read_text(encoding="utf-8")).timestamp()
                metrics.certificate_expiry_timestamp_seconds.labels(name).set(until)
