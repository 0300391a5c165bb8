"""Leases in memory, with a clock of their own that may jump as a database's does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from derms.errors import StoreError
from derms.ports import Claimant, LeaderLease, Standing


@dataclass
class FakeLeases:
    """Implements `derms.ports.LeaseStore`."""

    now_s: float = 0.0
    away: bool = False
    epoch: int = 0
    changes: str = "0/0"
    rows: dict[str, tuple[LeaderLease, float]] = field(default_factory=dict)
    """Lease, and when it ends by this clock."""
    names: dict[str, tuple[str, float]] = field(default_factory=dict)
    alive: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """Able, and when it was last heard, by instance."""

    async def claim_name(self, me: Claimant, *, formerly: str, seize: bool = False) -> float | None:
        self._answer()
        instance, seen_s = self.names.get(me.controller_id, (me.instance, self.now_s))
        if instance not in (me.instance, formerly) and not seize:
            return self.now_s - seen_s
        self.names[me.controller_id] = (me.instance, self.now_s)
        return None

    async def beat(self, me: Claimant, held: Collection[str], *, lease_s: float, able: bool) -> Standing:
        self._answer()
        self.alive[me.instance] = (able, self.now_s)
        peers = {
            instance
            for instance, (is_able, seen_s) in self.alive.items()
            if is_able and instance != me.instance and seen_s > self.now_s - lease_s
        }
        renewed = {root for root in held if root in self.rows and self.rows[root][0].holder.instance == me.instance}
        for root in renewed:
            self._put(root, me, self.rows[root][0].epoch, lease_s)
        return Standing(
            renewed=frozenset(renewed), leases=tuple(self._read(root) for root in self.rows),
            peers=frozenset(peers), changes=self.changes,
        )  # fmt: skip

    async def take(
        self, me: Claimant, wanted: Mapping[str, LeaderLease | None], *, lease_s: float, above: int
    ) -> tuple[int, frozenset[str]]:
        self._answer()
        self.epoch = max(self.epoch, above) + 1
        had = set()
        for root, seen in wanted.items():
            known = self.rows.get(root)
            if known is None or (seen is not None and _version(known[0]) == _version(seen)):
                self._put(root, me, self.epoch, lease_s)
                had.add(root)
        return self.epoch, frozenset(had)

    async def give_back(self, me: Claimant, roots: Collection[str]) -> None:
        self._answer()
        for root in roots:
            lease, _ = self.rows[root]
            if lease.holder.instance == me.instance:
                self._put(root, Claimant(controller_id=me.controller_id, instance=""), lease.epoch, 0.001)

    async def release(self, me: Claimant) -> None:
        await self.give_back(me, list(self.rows))
        self.alive.pop(me.instance, None)

    def _answer(self) -> None:
        if self.away:
            raise StoreError("the fake is away")

    def _put(self, root: str, me: Claimant, epoch: int, lease_s: float) -> None:
        renewals = self.rows[root][0].renewals + 1 if root in self.rows else 0
        lease = LeaderLease(feeder_id=root, holder=me, epoch=epoch, renewals=renewals, lease_s=lease_s, left_s=lease_s)
        self.rows[root] = (lease, self.now_s + lease_s)

    def _read(self, root: str) -> LeaderLease:
        lease, ends_s = self.rows[root]
        return LeaderLease(
            feeder_id=root, holder=lease.holder, epoch=lease.epoch, renewals=lease.renewals, lease_s=lease.lease_s,
            left_s=ends_s - self.now_s,
        )  # fmt: skip


def _version(lease: LeaderLease) -> tuple[str, int, int]:
    return lease.holder.instance, lease.epoch, lease.renewals
