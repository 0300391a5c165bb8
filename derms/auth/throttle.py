"""How often a password may be tried. In memory and bounded; a restart forgets it.

Three tallies of failures; the first that says no decides, and what it refuses is neither checked nor counted:

- *one user from one address*: 5 failures are free, then each doubles the wait, 1 s to 15 min;
- *one address*, whoever it tries: 20 are free, then the same (IPv6: a /64 counts as one);
- *one user from anywhere*: 30 are free, then the same up to 30 s; and an address from which this user has logged in
  since the start is neither counted nor held by it.

So who guesses is soon down to four tries an hour from each address. An attacker can hold a user up: at an address they
share, for as long as the attack goes on; at one from which the user has not logged in yet, 30 s at a time; at one from
which the user has, never. Names that nobody has are held just the same, so that being held tells nothing.
A tally is forgotten a quarter of an hour after its last wait ended.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from derms.errors import ThrottledError
from derms.ports import Clock

FREE_PAIR, FREE_ADDRESS, FREE_USER = 5, 20, 30
LONGEST_S, LONGEST_USER_S = 900.0, 30.0
FORGET_S = 900.0
SIZE = 10_000
"""Of each tally; beyond it the least recently touched is forgotten."""


@dataclass(slots=True)
class _Tally:
    failures: int
    last_s: float


class _Tallies:
    def __init__(self, *, free: int, longest_s: float, size: int) -> None:
        self._free, self._longest_s, self._size = free, longest_s, size
        self._tallies: OrderedDict[object, _Tally] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tallies)

    def wait_s(self, key: object, now_s: float) -> float:
        """How long this one must still wait [s]."""
        tally = self._tallies.get(key)
        return 0.0 if tally is None else max(tally.last_s + self._hold_s(tally) - now_s, 0.0)

    def add(self, key: object, now_s: float) -> None:
        tally = self._tallies.pop(key, None)
        if tally is None or now_s > tally.last_s + self._hold_s(tally) + FORGET_S:
            tally = _Tally(0, now_s)
        tally.failures, tally.last_s = tally.failures + 1, now_s
        self._tallies[key] = tally
        if len(self._tallies) > self._size:
            self._tallies.popitem(last=False)

    def take_back(self, key: object) -> None:
        tally = self._tallies.get(key)
        if tally is not None:
            tally.failures = max(tally.failures - 1, 0)

    def forget(self, key: object) -> None:
        self._tallies.pop(key, None)

    def _hold_s(self, tally: _Tally) -> float:
        over = tally.failures - self._free
        return 0.0 if over < 0 else min(2.0 ** min(over, 60), self._longest_s)


class Throttle:
    """Says who must wait.

    Args:
        clock: Measures the waits.
        size: `SIZE`.
    """

    def __init__(self, clock: Clock, *, size: int = SIZE) -> None:
        self._clock = clock
        self._size = size
        self._pairs = _Tallies(free=FREE_PAIR, longest_s=LONGEST_S, size=size)
        self._addresses = _Tallies(free=FREE_ADDRESS, longest_s=LONGEST_S, size=size)
        self._users = _Tallies(free=FREE_USER, longest_s=LONGEST_USER_S, size=size)
        self._homes: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, username: str, remote: str) -> "Attempt":
        """Let somebody try; until the attempt says otherwise it counts as failed, so that many at once gain nothing.

        Raises:
            ThrottledError: Not now.
        """
        now_s = self._clock.monotonic_s()
        address = network_of(remote)
        pair = (username, address)
        counted: list[tuple[_Tallies, object]] = [(self._pairs, pair), (self._addresses, address)]
        if pair not in self._homes:
            counted.append((self._users, username))
        wait_s = max(tallies.wait_s(key, now_s) for tallies, key in counted)
        if wait_s > 0:
            raise ThrottledError(
                "too many logins failed",
                why="after several failures each one doubles the wait",
                next_step=f"try again in {math.ceil(wait_s)} s",
                retry_after_s=wait_s,
            )
        for tallies, key in counted:
            tallies.add(key, now_s)
        return Attempt(self, pair, counted)

    def welcome(self, pair: tuple[str, str]) -> None:
        """Remember from where a user has logged in."""
        self._pairs.forget(pair)
        self._homes[pair] = None
        self._homes.move_to_end(pair)
        if len(self._homes) > self._size:
            self._homes.popitem(last=False)

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self._pairs) + len(self._addresses) + len(self._users) + len(self._homes)


class Attempt:
    """One try that was let through."""

    def __init__(self, throttle: Throttle, pair: tuple[str, str], counted: list[tuple[_Tallies, object]]) -> None:
        self._throttle, self._pair, self._counted = throttle, pair, counted

    def unmade(self) -> None:
        """It was not checked after all."""
        for tallies, key in self._counted:
            tallies.take_back(key)

    def succeeded(self) -> None:
        """The password was right."""
        self.unmade()
        self._throttle.welcome(self._pair)


def network_of(remote: str) -> str:
    """The address, or the /64 of an IPv6 address: one customer has all of it."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
