"""Hold, block and release a device."""

from typing import Any

from derms.api.schemas.overrides import OverrideIn
from derms.client import ApiClient
from derms.model import OverrideKind
from derms.tui import readers
from derms.tui.desk import Desk
from derms.tui.dialogs.form import Field
from derms.tui.lines import Row
from derms.tui.said import day_clock, flow, span


def _chosen(desk: Desk) -> dict[str, Any] | None:
    row = None if desk.chosen is None else desk.picture.fleet.row(desk.chosen.device_id)
    if row is None:
        desk.notice("choose a device first", "warn")
    return row


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [("feeder", str(row["feeder_id"])), ("device", f"{row['device_id']} ({row['type']})")]


async def hold(desk: Desk) -> None:
    """Hold the chosen device at a power."""
    if (row := _chosen(desk)) is None:
        return
    now_kw = row.get("p_actual_kw") or 0.0
    given = await desk.filled(
        f"Hold {row['device_id']} at a power",
        [
            Field(key="power", label="power kW", value=f"{now_kw:.1f}", hint="charging positive, discharging negative",
                  read=readers.power),
            Field(key="duration", label="for", value="1h", hint="30m, 2h", read=readers.duration),
            Field(key="reason", label="reason", hint="people will read it", read=readers.text(needed=True)),
        ],
        _facts(row),
    )  # fmt: skip
    if given is None:
        return
    wanted = OverrideIn(kind=OverrideKind.HOLD, p_kw=given["power"], reason=given["reason"],
                        duration_s=given["duration"])  # fmt: skip
    told = flow(given["power"]).strip()
    await _override(desk, row, wanted, f"Hold {row['device_id']} at {told} for {span(given['duration'])}?",
                    f"It is kept at {told} kW before all others, as long as every limit allows that.")  # fmt: skip


async def block(desk: Desk) -> None:
    """Block the chosen device."""
    if (row := _chosen(desk)) is None:
        return
    given = await desk.filled(
        f"Block {row['device_id']}",
        [
            Field(key="duration", label="for", value="1h", hint="30m, 2h", read=readers.duration),
            Field(key="reason", label="reason", hint="people will read it", read=readers.text(needed=True)),
        ],
        _facts(row),
    )
    if given is None:
        return
    wanted = OverrideIn(kind=OverrideKind.BLOCK, reason=given["reason"], duration_s=given["duration"])
    await _override(desk, row, wanted, f"Block {row['device_id']} for {span(given['duration'])}?",
                    "It gets nothing: no charge, no discharge, no generation.")  # fmt: skip


async def _override(desk: Desk, row: dict[str, Any], wanted: OverrideIn, question: str, effect: str) -> None:
    device_id = str(row["device_id"])
    now_kw = row.get("p_actual_kw")
    lines: list[Row] = [
        [("effect     ", "dim"), (effect, "")],
        [("now        ", "dim"), (f"{flow(now_kw).strip()} kW", "actual")],
        [("reason     ", "dim"), (wanted.reason, "")],
    ]
    if not await desk.confirmed(question, _facts(row), lines):
        return

    async def do(client: ApiClient) -> str:
        laid = await client.put_override(device_id, wanted)
        return f"{device_id}: {laid.kind.value} until {day_clock(laid.until, desk.now)}"

    await desk.doing(f"{wanted.kind.value} {device_id}", do)


async def release(desk: Desk) -> None:
    """Take a hold or a block off."""
    if (row := _chosen(desk)) is None:
        return
    device_id, override = str(row["device_id"]), row.get("override")
    if override is None:
        desk.notice(f"{device_id} is neither held nor blocked", "warn")
        return
    lines: list[Row] = [[("effect     ", "dim"), ("the controller decides about it again, from the next tick on", "")]]
    if not await desk.confirmed(f"Release {device_id}?", _facts(row), lines):
        return

    async def do(client: ApiClient) -> str:
        await client.release_override(device_id)
        return f"{device_id} is released"

    await desk.doing(f"release {device_id}", do)
