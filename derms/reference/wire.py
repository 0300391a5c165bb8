"""docs/wire-reference.md, made of the contract's own types."""

from collections.abc import Iterator

import msgspec

from derms.contract import (
    FUTURE_TOLERANCE_MS,
    MAX_AGE_MS,
    MAX_DEPTH,
    MAX_GATEWAY_BYTES,
    MAX_GATEWAY_SAMPLES,
    MAX_MESSAGE_BYTES,
    MAX_TEXT,
    Topics,
)
from derms.contract.shapes import SHAPES
from derms.model import DeviceKind, Dialect, Outcome
from derms.reference.schemas import cell, table

_REF = "#/{name}"

_HEAD = """\
<!-- Made by `make docs` of derms/contract. Not to be edited. -->
# The wire, every field

The types that messages are decoded with, as they are in the code. What the fields mean, and what devices and the
controller do: [the wire contract](wire-contract.md).

A field without *yes* may be left out, and, unless the contract says otherwise, be null. A range is checked as it stands
here; rules that join several fields, and what only one of two shapes that share a table requires, are in the contract.
"""


def page() -> str:
    """docs/wire-reference.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield _HEAD
    yield "## Topics\n"
    yield from ("| topic | what |", "|---|---|")
    for topic, what in _topics().items():
        yield f"| `{topic}` | {cell(what)} |"
    yield "\n## Bounds\n"
    yield from ("| what | bound |", "|---|---|")
    for what, bound in _bounds().items():
        yield f"| {what} | {bound} |"
    yield "\n## Outcomes\n"
    yield "Of a message, as counted by `derms_messages_total`: " + ", ".join(f"`{one.value}`" for one in Outcome) + "."
    for title, struct in SHAPES.items():
        yield from _shape(title, struct)


def _topics() -> dict[str, str]:
    """Each topic as the code builds it, and what the code says of it."""
    topics = Topics()
    named = {
        topics.telemetry("<device>"): topics.telemetry,
        topics.control("<device>"): topics.control,
        topics.status("<device>"): topics.status,
        topics.controller("<controller>"): topics.controller,
        topics.gateway_telemetry("<gateway>"): topics.gateway_telemetry,
        topics.home_assistant("<device>"): topics.home_assistant,
        topics.envelope_telemetry(DeviceKind.EV, "<device>"): topics.envelope_telemetry,
        topics.setpoint(DeviceKind.EV, "<device>", Dialect.ENVELOPE): topics.envelope_setpoint,
    }
    return {topic: (method.__doc__ or "").partition("\n")[0] for topic, method in named.items()}


def _bounds() -> dict[str, str]:
    return {
        "a message": f"{MAX_MESSAGE_BYTES:,} bytes",
        "a gateway's array": f"{MAX_GATEWAY_BYTES:,} bytes, {MAX_GATEWAY_SAMPLES:,} measurements",
        "nesting": f"{MAX_DEPTH} deep",
        "a free text": f"{MAX_TEXT} characters",
        "ahead of the controller's clock": f"{FUTURE_TOLERANCE_MS / 1000:g} s",
        "age": f"{MAX_AGE_MS / 3_600_000:g} h",
    }


def _shape(title: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    (whole,), parts = msgspec.json.schema_components([struct], ref_template=_REF)
    own = whole["$ref"].rsplit("/", 1)[1]
    yield f"\n## {title}\n"
    yield from table(parts[own], parts, linked=False)
    for name, schema in parts.items():
        if name != own and schema.get("properties"):
            yield f"\nIts `{name.lstrip('_')}`:\n"
            yield from table(schema, parts, linked=False)
