"""Who is there: a device's status, a controller's heartbeat, the simulator's hour. Pure."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from derms.contract import strict
from derms.contract.fields import NUMBERS, Millis, Refusal, Whole, check_identity, check_text, check_version, given
from derms.contract.strict import Refused
from derms.contract.topics import Topics
from derms.model import Outcome


@dataclass(frozen=True, slots=True)
class DeviceOnline:
    """What a device, or the broker in its name, says of its connection."""

    device_id: str
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPresence:
    """What a controller, or the broker in its name, says of itself."""

    controller_id: str
    epoch: int
    heartbeat_ms: int
    """The controller's clock when it said so [epoch ms]."""
    version: str
    """Of the software."""
    online: bool
    commands: tuple[str, ...] = ()
    """The roots of the trees it commands."""


class SimulationProfile(StrEnum):
    """The hour that the simulator is told to play."""

    DAY = "day"
    NIGHT = "night"
    AUTO = "auto"


class _Controller(msgspec.Struct, gc=False, kw_only=True):
    v: int
    controller_id: str
    epoch: Whole
    heartbeat: Millis
    version: str
    online: bool
    commands: list[str] | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(_Controller)
_ENCODER = msgspec.json.Encoder()


def encode_status(online: bool) -> bytes:
    """The message on a device's status topic."""
    return b"online" if online else b"offline"


def decode_status(topics: Topics, topic: str, payload: bytes) -> DeviceOnline | Refusal:
    """Understand a status message, or say why not. Never raises."""
    device_id = topics.status_device(topic)
    if device_id is None:
        return Refusal(Outcome.INVALID, None, "not a status topic")
    if payload not in (b"online", b"offline"):
        return Refusal(Outcome.INVALID, device_id, "neither `online` nor `offline`")
    return DeviceOnline(device_id, payload == b"online")


def encode_controller(topics: Topics, presence: ControllerPresence) -> tuple[str, bytes]:
    """The topic and the message of a controller's heartbeat, or with `online=False` of its last will."""
    message = _Controller(
        v=1,
        controller_id=presence.controller_id,
        epoch=presence.epoch,
        heartbeat=presence.heartbeat_ms,
        version=presence.version,
        online=presence.online,
        commands=list(presence.commands) or UNSET,
    )
    return topics.controller(presence.controller_id), _ENCODER.encode(message)


def decode_controller(topics: Topics, topic: str, payload: bytes) -> ControllerPresence | Refusal:
    """Understand a controller's heartbeat, or say why not. Never raises."""
    controller_id = topics.controller_of(topic)
    if controller_id is None:
        return Refusal(Outcome.INVALID, None, "not a controller topic")
    try:
        strict.check_size(payload, strict.MAX_MESSAGE_BYTES)
        message = strict.decode(_DECODER, payload, _colons, NUMBERS)
        check_version(message.v)
        check_identity(message.controller_id, controller_id)
        version = check_text("version", message.version) or ""
    except Refused as refused:
        return Refusal(refused.outcome, None, refused.detail)
    return ControllerPresence(
        controller_id=controller_id,
        epoch=message.epoch,
        heartbeat_ms=message.heartbeat,
        version=version,
        online=message.online,
        commands=tuple(given(message.commands) or ()),
    )


def encode_profile(topics: Topics, profile: SimulationProfile) -> tuple[str, bytes]:
    """The topic and the message that set the simulator's hour."""
    return topics.simulation_profile, profile.value.encode()


def decode_profile(topics: Topics, topic: str, payload: bytes) -> SimulationProfile | Refusal:
    """Understand a simulation profile, or say why not. Never raises."""
    if topic != topics.simulation_profile:
        return Refusal(Outcome.INVALID, None, "not the profile topic")
    try:
        return SimulationProfile(payload.decode("ascii"))
    except ValueError:
        return Refusal(Outcome.INVALID, None, "none of `day`, `night`, `auto`")


def _colons(message: _Controller) -> int:
    fields = astuple(message)
    return len(fields) - fields.count(UNSET)
