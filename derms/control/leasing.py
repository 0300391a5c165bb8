"""What a tick has decided -> leases on their way to the devices.

What changes most goes first, and a few of those at once: where a limit is passed they take most of the excess away, and
do not wait until thousands of others are written down.
"""

import numpy as np

from derms.columns import Ints
from derms.control.dispatch import Outbox, Still
from derms.control.trees import TreeState
from derms.control.words import reason_text
from derms.fleet import Fleet
from derms.model import Setpoint
from derms.recorder import Recorder

_FIRST = 64
"""So many leases of a tick go out before the others."""


class Leasing:
    """Numbers leases, notes them in the fleet, and hands them to the outbox and the recorder."""

    def __init__(self, *, fleet: Fleet, outbox: Outbox, recorder: Recorder) -> None:
        """Begin to count."""
        self._fleet = fleet
        self._outbox = outbox
        self._recorder = recorder
        self._seq = 0

    def send(self, tree: TreeState, still: Still, *, epoch: int, now_s: float, now_ms: int) -> Ints:
        """Lease what a tree's newest decision says is to be sent.

        Args:
            tree: The tree, with its picture and its decision.
            still: Whether that may still be said when its turn comes.
            epoch: What the leases carry.
            now_s: The controller's monotonic clock [s].
            now_ms: The controller's wall clock [epoch ms].

        Returns:
            How many for each node, shape (m,).
        """
        picture, decision = tree.picture, tree.decision
        assert picture is not None
        assert decision is not None
        due = np.flatnonzero(decision.send)
        moves_kw = np.abs(decision.target_kw[due] - np.nan_to_num(picture.devices.lease_kw[due]))
        due = due[np.argsort(-moves_kw, kind="stable")]
        texts: dict[tuple[int, int], str] = {}
        for part, first in ((due[:_FIRST], True), (due[_FIRST:], False)):
            if part.size:
                leases = self._leases(tree, part, texts, epoch=epoch, now_ms=now_ms)
                self._hand_over(tree.rows[part], leases, still, now_s=now_s, first=first)
        return np.bincount(tree.node[due], minlength=len(tree.feeders))

    def _leases(
        self, tree: TreeState, due: Ints, texts: dict[tuple[int, int], str], *, epoch: int, now_ms: int
    ) -> list[Setpoint]:
        """Of some devices of a tree; `texts` keeps the words that were found, by reason and node."""
        decision, devices = tree.decision, self._fleet.devices
        assert decision is not None
        names = [feeder.feeder_id for feeder in tree.feeders]
        leases = []
        columns = (
            tree.rows[due],
            np.round(decision.target_kw[due], 6) + 0.0,  # + 0.0: nothing is 0, not -0
            now_ms + np.rint(decision.life_s[due] * 1000.0).astype(np.int64),
            due,
            decision.reason[due],
            decision.reason_node[due],
        )
        for row, p_kw, end_ms, index, *why in zip(*(column.tolist() for column in columns), strict=True):
            cause = tuple(why)
            if cause not in texts:
                texts[cause] = reason_text(decision, index, names)
            self._seq += 1
            device = devices[row]
            leases.append(
                Setpoint(
                    device_id=device.device_id,
                    kind=device.kind,
                    p_setpoint_kw=p_kw,
                    issued_at_ms=now_ms,
                    valid_until_ms=end_ms,
                    epoch=epoch,
                    seq=self._seq,
                    reason=texts[cause],
                )
            )
        return leases

    def _hand_over(self, rows: Ints, leases: list[Setpoint], still: Still, *, now_s: float, first: bool) -> None:
        self._fleet.all_commanded(rows, leases, now_s=now_s)
        devices, numbers = self._fleet.devices, rows.tolist()
        dialects = [devices[row].dialect for row in numbers]
        self._outbox.put(zip(numbers, leases, dialects, strict=True), still, first=first)
        self._recorder.put_setpoints(leases)
