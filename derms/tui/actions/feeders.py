"""Limits and mode of a feeder, and the simulators' hour."""

from msgspec import UNSET, UnsetType

from derms.api.schemas.feeders import FeederPatch
from derms.client import ApiClient
from derms.contract import SimulationProfile
from derms.model import FeederMode
from derms.tui import readers
from derms.tui.desk import Desk
from derms.tui.dialogs.form import Field
from derms.tui.lines import Row
from derms.tui.said import kw

_MODES = {
    FeederMode.AUTO: "setpoints are computed and sent",
    FeederMode.ADVISE: "setpoints are computed and shown; nothing is sent: leases run out, and devices do as they like",
    FeederMode.OFF: "nothing is computed or sent: leases run out, and devices do as they like",
}


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


async def set_limit(desk: Desk) -> None:
    """Set the static limits."""
    feeder = desk.picture.feeder(desk.feeder_id)
    if feeder is None:
        desk.notice("there is no feeder", "warn")
        return
    given = await desk.filled(
        f"Limits of {feeder.feeder_id}",
        [
            Field(key="import", label="import kW", value=_shown(feeder.static_import_limit_kw), hint="a power, or none",
                  read=readers.limit),
            Field(key="export", label="export kW", value=_shown(feeder.static_export_limit_kw), hint="a power, or none",
                  read=readers.limit),
        ],
        [("feeder", feeder.feeder_id)],
    )  # fmt: skip
    if given is None:
        return
    changed: dict[str, float | UnsetType | None] = {"import": UNSET, "export": UNSET}
    effect: list[Row] = []
    for name, before in (("import", feeder.static_import_limit_kw), ("export", feeder.static_export_limit_kw)):
        if given[name] != before:
            changed[name] = given[name]
            words = f"{name} limit {_shown(before)} {desk.glyphs.arrow} {_shown(given[name])} kW"
            effect.append([("effect     ", "dim"), (words, "limit")])
    if not effect:
        desk.notice("nothing was changed")
        return
    effect.append([("load now   ", "dim"), (f"{kw(feeder.load_kw)} kW", "load")])
    if given["import"] is None and feeder.static_import_limit_kw is not None:
        effect.append([(f"{desk.glyphs.warn} without a limit nothing is held back", "bad")])
    elif given["import"] is not None and feeder.load_kw > given["import"]:
        effect.append([(f"{desk.glyphs.warn} the load is above it: devices are lowered at once", "warn")])
    if not await desk.confirmed(f"Set the limits of {feeder.feeder_id}?", [("feeder", feeder.feeder_id)], effect):
        return

    async def do(client: ApiClient) -> str:
        patch = FeederPatch(import_limit_kw=changed["import"], export_limit_kw=changed["export"])
        made = await client.change_feeder(feeder.feeder_id, patch)
        return (
            f"{made.feeder_id}: import limit {_shown(made.import_limit_kw)}, export {_shown(made.export_limit_kw)} kW"
        )

    await desk.doing(f"limits of {feeder.feeder_id}", do)


async def set_mode(desk: Desk) -> None:
    """Set the mode."""
    feeder = desk.picture.feeder(desk.feeder_id)
    if feeder is None:
        desk.notice("there is no feeder", "warn")
        return
    given = await desk.filled(
        f"Mode of {feeder.feeder_id}",
        [Field(key="mode", label="mode", value=feeder.mode.value, hint="auto, advise or off",
               read=readers.one_of(*(mode.value for mode in FeederMode)))],
        [("feeder", feeder.feeder_id)],
    )  # fmt: skip
    if given is None:
        return
    mode = FeederMode(given["mode"])
    if mode is feeder.mode:
        desk.notice(f"{feeder.feeder_id} is on {mode.value} already")
        return
    tone = "" if mode is FeederMode.AUTO else "warn"
    effect: list[Row] = [
        [("effect     ", "dim"), (f"{feeder.mode.value} {desk.glyphs.arrow} {mode.value}", tone)],
        [("then       ", "dim"), (_MODES[mode], tone)],
    ]
    if not await desk.confirmed(f"Set {feeder.feeder_id} to {mode.value}?", [("feeder", feeder.feeder_id)], effect):
        return

    async def do(client: ApiClient) -> str:
        made = await client.change_feeder(feeder.feeder_id, FeederPatch(mode=mode))
        return f"{made.feeder_id} is on {made.mode.value}"

    await desk.doing(f"mode of {feeder.feeder_id}", do)


async def simulate(desk: Desk, mode: str) -> None:
    """Let the simulators play another hour."""
    wanted = SimulationProfile(mode)
    effect: list[Row] = [[("effect     ", "dim"), (f"all simulated devices play {wanted.value} from now on", "")]]
    facts = [("feeder", "all that have simulated devices")]
    if not await desk.confirmed(f"Let the simulators play {wanted.value}?", facts, effect):
        return

    async def do(client: ApiClient) -> str:
        await client.set_simulation_mode(wanted)
        return f"the simulators play {wanted.value}"

    await desk.doing("the simulation", do)
