"""What came of an event, in lines."""

from typing import TYPE_CHECKING

from derms.cli.command import Run
from derms.cli.formats import Column, Format, Listing, written
from derms.wording.instants import span

if TYPE_CHECKING:
    from derms.api.schemas.outcomes import DeviceOutcome, FeederOutcome, OutcomeOut


def outcome_lines(run: Run, told: "OutcomeOut") -> str:
    """Feeders, then devices, as two tables under a headline."""
    from derms.api.schemas.outcomes import DeviceOutcome, FeederOutcome

    event = told.event
    feeders: list[Column[FeederOutcome]] = [
        Column(name="feeder_id", title="FEEDER", value=lambda one: one.feeder_id),
        Column(name="baseline_kw", title="BASELINE kW", value=lambda one: one.baseline_kw),
        Column(name="observed_s", title="OBSERVED s", value=lambda one: one.observed_s, digits=0),
        Column(name="compliance_s", title="HELD s", value=lambda one: one.compliance_s, digits=0),
        Column(name="until_under_limit_s", title="HELD AFTER s", value=lambda one: one.until_under_limit_s),
        Column(name="delivered_kw", title="DELIVERED kW", value=_delivered),
    ]
    devices: list[Column[DeviceOutcome]] = [
        Column(name="device_id", title="DEVICE", value=lambda one: one.device_id),
        Column(name="type", title="TYPE", value=lambda one: one.type),
        Column(name="part", title="PART", value=lambda one: one.part,
               tone=lambda one: "bad" if one.part.value == "refused" else ""),
        Column(name="before_kw", title="BEFORE kW", value=lambda one: one.before_kw),
        Column(name="told_kw", title="TOLD kW", value=lambda one: one.told_kw),
        Column(name="during_kw", title="DURING kW", value=lambda one: one.during_kw),
        Column(name="shed_kw", title="GAVE kW", value=lambda one: one.shed_kw),
    ]  # fmt: skip
    # Both stand in one text that is checked as a whole, so neither has colours of its own.
    plain = run.plain()
    parts = [
        f"{event.event_id} ({event.state.value}) {span(event.start, event.end, run.now, utc=run.shared.utc)}",
        written(Listing(kind="feeders", rows=told.feeders, columns=feeders, name=_feeder), Format.TABLE, plain),
        written(Listing(kind="devices", rows=told.devices, columns=devices, name=_device), Format.TABLE, plain),
    ]
    return "\n".join(part for part in parts if part)


def _feeder(one: "FeederOutcome") -> str:
    return one.feeder_id


def _device(one: "DeviceOutcome") -> str:
    return one.device_id


def _delivered(feeder: "FeederOutcome") -> float | None:
    known = [one.delivered_kw for one in feeder.intervals if one.delivered_kw is not None]
    return sum(known) / len(known) if known else None
