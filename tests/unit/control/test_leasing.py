from dataclasses import replace
from pathlib import Path

import numpy as np

from derms.control.leasing import Leasing
from derms.model import Device, DeviceKind, Feeder
from tests.fakes_contract import run_virtually
from tests.plant import running_rig

FEEDER = Feeder(feeder_id="feeder-1", import_limit_kw=1_000.0)


def test_what_changes_most_goes_first_and_is_put_before_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            for number in range(200):
                rig.fleet.register(
                    Device(device_id=f"ev-{number:03d}", kind=DeviceKind.EV, feeder_id="feeder-1", p_import_max_kw=7.0)
                )
            rig.loop.tick()
            (tree,) = rig.loop.trees
            assert tree.decision is not None
            target_kw = np.linspace(0.0, 5.0, 200)
            tree.decision = replace(tree.decision, send=np.ones(200, dtype=bool), target_kw=target_kw,
                                    life_s=np.full(200, 30.0))  # fmt: skip
            sent: list[list[str]] = []
            order: list[bool] = []

            class Box:
                def put(self, leases: object, still: object, *, first: bool) -> None:
                    sent.append([lease.device_id for _, lease, _ in leases])  # type: ignore[attr-defined]
                    order.append(first)

            leasing = Leasing(fleet=rig.fleet, outbox=Box(), recorder=rig.recorder)  # type: ignore[arg-type]
            counts = leasing.send(tree, lambda: True, epoch=7, now_s=rig.clock.monotonic_s(), now_ms=1)
            assert counts.tolist() == [200]
            assert [name for part in sent for name in part] == [f"ev-{number:03d}" for number in range(199, -1, -1)]
            assert order == [True, False]
            assert len(sent[0]) < len(sent[1])

    run_virtually(main())
