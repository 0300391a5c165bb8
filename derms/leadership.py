"""Who commands: this controller's part in it. Implements `derms.ports.Authority`.

::

              its lease is free, and it is able
    STANDS_BY ─────────────────────────────────► (takes over: reads what there is) ─► LEADS
      ▲  ▲                                                                            │  │ ▲
      │  └──────── somebody else has it, or it was asleep when its lease ended ───────┘  │ │ the store answers, and
      │                                                                                  ▼ │ it is still ours
      └──────── a higher epoch is heard, or it was asleep, or somebody else has it ──── KEEPS

Rules:
    - A lease is a row with an end on the database's clock. Its holder counts from before it asked, on the clock that
      only goes forward, and stops a tenth early: so it has stopped before anyone else may begin, whatever its wall
      clock says, and without a word from the database.
    - `duty` is worked out from the clock at the moment it is asked. A process that was stopped and goes on finds its
      lease over before it can send anything.
    - A lease is taken when it was given back; when it was not renewed for its whole length by this controller's own
      clock; or when it has ended by the database's clock and this controller never saw it renewed. So a wall clock that
      jumps takes it from nobody who renews it.
    - Every takeover draws a higher epoch than all before, and higher than any heard on the wire: a database that was
      restored from a backup must not leave the devices deaf.
    - Where the trees are shared, each controller takes what falls to it (`derms.shares`), or what nobody else has taken
      for a while, and gives one back where another has two fewer: it stops first, and says so then.
    - When the store does not answer, the lease ends and the controller keeps (`Duty.KEEPS`) what is safe, as long as
      it has been awake all the time and hears of no higher epoch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass

from derms.errors import StoreError
from derms.ports import Claimant, Clock, Duty, LeaderLease, LeaseStore, Standing
from derms.runtime import wait_first
from derms.shares import falls_to, has_too_many

_SHARE = 0.9
"""A holder stops when so much of its lease is over."""
_PULSE_S = 0.2
_ASLEEP_S = 1.0
"""Who has not felt its pulse for so long was asleep [s]."""
_FAR = 1_000_000
"""An epoch so far above every known one is no controller's, but somebody's attempt to use all numbers up."""
_READ_S = 20.0
"""What reading all that was left may take [s]; the lease is renewed meanwhile, and nothing is sent."""
_FINISH_S = 2.0
_PATIENCE = 3.0
"""What falls to another is left to it for so many looks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alone:
    """The only controller there is: it leads always."""

    epoch: int

    def duty(self, root: str) -> Duty:
        """It leads."""
        return Duty.LEADS

    def outranked(self, root: str, epoch: int) -> None:
        """By nobody."""


@dataclass(slots=True)
class _Held:
    """A lease of ours."""

    until_s: float
    """It leads till then, by the clock that only goes forward [s]."""
    ready: bool = False
    """What there was before us is read."""
    kept_until_s: float = float("-inf")
    """After that it keeps till then [s]; moved on by every pulse."""


@dataclass(slots=True)
class _Watched:
    """A lease of anybody's, as it was last seen."""

    version: tuple[str, int, int]
    since_s: float
    """When this version was first seen [s]."""
    moved: bool
    """There was another one before it: its holder was seen to live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootStanding:
    """Who leads one tree, as this controller knows it."""

    root: str
    duty: Duty
    leader: Claimant | None
    """None: nobody does, as far as it knows."""
    epoch: int
    """Of the leader; 0: there never was one."""


class Leadership:
    """Holds, renews, takes and gives back the leases of trees.

    Args:
        store: Where they are.
        me: Who this is.
        formerly: The instance of this controller's last run, which is known to have ended; empty: there was none.
        lease_s: How long a lease is [s].
        poll_s: How often it is renewed, and looked at [s].
        clock: The clock that only goes forward.
        roots: The roots of the trees there are.
        able: Whether this controller could command at all: it reaches the broker.
        take_over: Reads what there was before; the roots lead when it is done. Raises StoreError.
        on_change: Told when a duty has changed.
        spreads: It shares the trees with the others that live; else it takes all it can have.
    """

    def __init__(
        self,
        *,
        store: LeaseStore,
        me: Claimant,
        formerly: str,
        lease_s: float,
        poll_s: float,
        clock: Clock,
        roots: Callable[[], Collection[str]],
        able: Callable[[], bool],
        take_over: Callable[[Collection[str]], Awaitable[None]],
        on_change: Callable[[], None],
        spreads: bool = False,
    ) -> None:
        self.epoch = 0
        """Of our setpoints; 0 before the first takeover."""
        self.takeovers = 0
        """How many trees were taken over so far."""
        self.me = me
        self._store = store
        self._formerly = formerly
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._clock = clock
        self._roots = roots
        self._able = able
        self._take_over = take_over
        self._on_change = on_change
        self._spreads = spreads
        self._free_since: dict[str, float] = {}
        """When each free tree was first seen to be free [s]."""
        self._gave_back_s = float("-inf")
        self._held: dict[str, _Held] = {}
        self._watched: dict[str, _Watched] = {}
        self._standing: Standing | None = None
        self._heard = 0
        """The highest epoch heard of."""
        self._wake = asyncio.Event()
        self._outranked = False
        self._pulse_s = self._awake_since_s = clock.monotonic_s()
        self._able_s = float("-inf")
        """When it was last able [s]."""
        self._failing = False
        self._group: asyncio.TaskGroup | None = None
        self._told: dict[str, Duty] = {}

    # ------------------------------------------------------------------ what the others ask

    def duty(self, root: str) -> Duty:
        """What may be done for the tree of that root at this moment."""
        held = self._held.get(root)
        if held is None or not held.ready:
            return Duty.STANDS_BY
        now_s = self._clock.monotonic_s()
        if now_s < held.until_s:
            return Duty.LEADS
        return Duty.KEEPS if now_s < held.kept_until_s else Duty.STANDS_BY

    @property
    def commands(self) -> bool:
        """Whether it commands any tree at this moment."""
        return any(self.duty(root) is not Duty.STANDS_BY for root in self._held)

    @property
    def commands_all(self) -> bool:
        """Whether it commands every tree there is."""
        return all(self.duty(root) is not Duty.STANDS_BY for root in self._roots())

    @property
    def guards(self) -> bool:
        """Whether alarms are for this controller to raise: it commands, or nobody does."""
        if self._standing is None:
            return False
        return self.commands or all(one.leader is None for one in self.standings())

    @property
    def changes(self) -> str | None:
        """As `Standing.changes`; None: never looked."""
        return None if self._standing is None else self._standing.changes

    def standings(self) -> list[RootStanding]:
        """Who leads each tree, by root."""
        leases = {} if self._standing is None else {lease.feeder_id: lease for lease in self._standing.leases}
        return [self._standing_of(root, leases.get(root)) for root in sorted(self._roots())]

    def _standing_of(self, root: str, lease: LeaderLease | None) -> RootStanding:
        duty = self.duty(root)
        if duty is not Duty.STANDS_BY:
            return RootStanding(root=root, duty=duty, leader=self.me, epoch=self.epoch)
        leader = None
        if lease is not None and lease.holder.instance not in ("", self.me.instance) and not self._is_silent(lease):
            leader = lease.holder
        return RootStanding(root=root, duty=duty, leader=leader, epoch=0 if lease is None else lease.epoch)

    # ------------------------------------------------------------------ what is heard on the wire

    def heard(self, epoch: int) -> None:
        """Note the epoch of a setpoint on the wire: the next takeover's is higher."""
        if epoch <= max(self._heard, self.epoch) + _FAR:
            self._heard = max(self._heard, epoch)

    def outranked(self, root: str, epoch: int) -> None:
        """Note a setpoint of a higher epoch for a device of a tree that we command."""
        if epoch <= self.epoch or epoch > max(self._heard, self.epoch) + _FAR:
            return
        self._heard = max(self._heard, epoch)
        kept = [held for held in self._held if self.duty(held) is Duty.KEEPS]
        if kept:
            log.warning(
                "Another controller commands, so this one keeps nothing", extra={"feeders": kept, "epoch": epoch}
            )
            self._drop(kept)
        elif not self._outranked:
            log.error(
                "Somebody who does not hold the lease commands a device of feeder %s", root,
                extra={"epoch": epoch, "ours": self.epoch},
            )  # fmt: skip
        self._outranked = True
        self._wake.set()

    # ------------------------------------------------------------------ renewing and taking

    async def look(self) -> None:
        """Look who commands before anything else is done."""
        try:
            async with asyncio.timeout(self._lease_s / 3.0):
                self._standing = await self._store.beat(self.me, (), lease_s=self._lease_s, able=False)
                for lease in self._standing.leases:
                    self._watch(lease)
        except (StoreError, TimeoutError) as error:
            self._note_failure(error)

    async def run(self) -> None:
        """Renew, look and take until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._feel_pulse(), name="leadership-pulse")
            while True:
                started_s = self._clock.monotonic_s()
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._lease_s / 3.0):
                        await self._beat(started_s)
                except (StoreError, TimeoutError) as error:
                    self._note_failure(error)
                self._tell()
                left_s = self._poll_s - (self._clock.monotonic_s() - started_s)
                await wait_first(self._wake, timeout_s=max(left_s, 0.02))

    async def finish(self) -> None:
        """Give back what is held; `run` has ended by now, and nothing is sent any more."""
        self._held.clear()
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._store.release(self.me)
        except (StoreError, TimeoutError):
            log.warning("The lease could not be given back; others have to wait for its end")

    async def _feel_pulse(self) -> None:
        while True:
            self.pulse()
            await asyncio.sleep(_PULSE_S)

    def pulse(self) -> None:
        """Note that we are awake; what may be kept is kept a little longer."""
        now_s = self._clock.monotonic_s()
        if now_s - self._pulse_s > _ASLEEP_S:
            self._awake_since_s = now_s
        self._pulse_s = now_s
        if self._able():
            if now_s - self._able_s > _ASLEEP_S:
                self._wake.set()  # it has just become so: nobody need wait for the next look
            self._able_s = now_s
        for held in self._held.values():
            if held.ready and held.until_s <= now_s and self._awake_since_s <= held.until_s:
                held.kept_until_s = now_s + _ASLEEP_S
        self._tell()

    async def _beat(self, started_s: float) -> None:
        standing = await self._store.beat(self.me, self._held, lease_s=self._lease_s, able=self._able())
        if self._failing:
            log.info("The store of leases answers again")
            self._failing = False
        self._standing = standing
        for lease in standing.leases:
            self._watch(lease)
        for held in [root for root in self._held if root in standing.renewed]:
            self._held[held].until_s = started_s + _SHARE * self._lease_s
        self._drop([root for root in self._held if root not in standing.renewed], "another controller has taken over")
        gone = [root for root in self._held if root not in self._roots()]
        if self._clock.monotonic_s() - self._able_s > self._lease_s:
            gone = list(self._held)
        self._drop(gone, "it is not able to command")
        if self._spreads:
            await self._give_back()
        await self._campaign({lease.feeder_id: lease for lease in standing.leases})

    def _shares(self) -> dict[str, int]:
        """How many trees each controller commands that lives and is able, by instance; this one too."""
        held = {self.me.instance: len(self._held)}
        if self._standing is not None:
            held |= dict.fromkeys(self._standing.peers, 0)
            for lease in self._standing.leases:
                if lease.holder.instance in self._standing.peers and not self._is_silent(lease):
                    held[lease.holder.instance] += 1
        return held

    async def _give_back(self) -> None:
        """Let another have one of ours, where that has two fewer; one at a time, so that all see what came of it."""
        now_s = self._clock.monotonic_s()
        settled = all(self.duty(root) is Duty.LEADS for root in self._held)
        if not settled or now_s - self._gave_back_s < _PATIENCE * self._poll_s:
            return
        if has_too_many(self.me.instance, self._shares()):
            root = max(self._held)
            self._gave_back_s = now_s
            self._drop([root])
            log.info("Another controller has less to do and may have this tree", extra={"feeders": [root]})
            await self._store.give_back(self.me, [root])

    def _share_of(self, free: set[str]) -> set[str]:
        """What of the free trees is for us to take."""
        now_s = self._clock.monotonic_s()
        self._free_since = {root: self._free_since.get(root, now_s) for root in free}
        if not self._spreads:
            return free
        left = {root for root in free if now_s - self._free_since[root] >= _PATIENCE * self._poll_s}
        return left | falls_to(self.me.instance, free, self._shares())

    async def _campaign(self, leases: dict[str, LeaderLease]) -> None:
        free = self._share_of(
            {root for root in self._roots() if root not in self._held and self._may_take(leases.get(root))}
        )
        again = {root for root in self._held if root in leases} if self._outranked and self._held else set()
        if not free | again or not self._able():
            return
        wanted = {root: leases.get(root) for root in sorted(free | again)}
        started_s = self._clock.monotonic_s()
        epoch, had = await self._store.take(self.me, wanted, lease_s=self._lease_s, above=self._heard)
        self._outranked = False
        if not had:
            return
        self.epoch = epoch
        until_s = started_s + _SHARE * self._lease_s
        for root in had & again:
            self._held[root].until_s = until_s
        new = {root: _Held(until_s) for root in had & free}
        self._held |= new
        if not new:
            log.info("This controller leads with a higher epoch", extra={"feeders": sorted(had), "epoch": epoch})
        elif self._group is None:
            await self._get_ready(new)
        else:
            # Beside the renewals, which must not wait for what a busy database takes its time to read.
            self._group.create_task(self._get_ready(new), name="takeover")

    async def _get_ready(self, new: dict[str, _Held]) -> None:
        """Read what there was before; then the trees are led, where they are still ours."""
        try:
            async with asyncio.timeout(_READ_S):
                await self._take_over(new)
        except (StoreError, TimeoutError) as error:
            self._note_failure(error)
            ours = [root for root, held in new.items() if self._held.get(root) is held]
            self._drop(ours, "what there was before cannot be read")
            return
        ours = [root for root, held in new.items() if self._held.get(root) is held]
        for root in ours:
            self._held[root].ready = True
        self.takeovers += len(ours)
        log.info("This controller leads", extra={"feeders": sorted(ours), "epoch": self.epoch})
        self._tell()

    def _watch(self, lease: LeaderLease) -> None:
        version = (lease.holder.instance, lease.epoch, lease.renewals)
        known = self._watched.get(lease.feeder_id)
        if known is None or known.version != version:
            self._watched[lease.feeder_id] = _Watched(version, self._clock.monotonic_s(), known is not None)

    def _is_silent(self, lease: LeaderLease) -> bool:
        """Whether its holder has let it end."""
        watched = self._watched.get(lease.feeder_id)
        if watched is None:
            return lease.left_s < 0.0
        silent_s = self._clock.monotonic_s() - watched.since_s
        return silent_s > lease.lease_s or (lease.left_s < 0.0 and not watched.moved)

    def _may_take(self, lease: LeaderLease | None) -> bool:
        if lease is None or lease.holder.instance in ("", self.me.instance, self._formerly):
            return True
        return self._is_silent(lease)

    def _drop(self, roots: Iterable[str], why: str = "") -> None:
        dropped = [root for root in roots if self._held.pop(root, None) is not None]
        if dropped and why:
            log.warning("This controller leads no longer: %s", why, extra={"feeders": sorted(dropped)})
        if dropped:
            self._tell()

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.warning("The lease cannot be renewed: %s", str(error) or "the store did not answer in time")
        self._failing = True

    def _tell(self) -> None:
        """Tell of a duty that is another than when it was last told."""
        now = {root: self.duty(root) for root in self._roots()}
        if now == self._told:
            return
        for root, duty in now.items():
            if duty is Duty.KEEPS and self._told.get(root) is not Duty.KEEPS:
                log.warning(
                    "The lease of feeder %s has ended: what is safe is renewed, nothing is raised", root,
                    extra={"epoch": self.epoch},
                )  # fmt: skip
        self._told = now
        self._on_change()
