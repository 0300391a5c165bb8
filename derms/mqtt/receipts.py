"""Which received messages may be answered for to the broker now. Pure.

A PUBACK goes out only for a message that its reader has acknowledged or refused, in the order the messages came
(MQTT-4.6.0-2), and only on the connection it came on: packet ids are used again, so a late acknowledgement would
otherwise confirm somebody else's message.
"""

from collections import deque
from collections.abc import Iterable, Iterator

_SHIFT = 40
_NUMBER = (1 << _SHIFT) - 1
REFUSED = 1 << 16
"""Added to the packet id of a message that is refused; packet ids have 16 bits."""


class Receipts:
    """The unacknowledged messages of one connection.

    Args:
        generation: Tells this connection's receipts from those of others; 1 or more.
    """

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._packet_ids: deque[int] = deque()
        self._first = 1
        self._safe: set[int] = set()
        self._refused: set[int] = set()

    def issue(self, packet_id: int) -> int:
        """Note a message; its receipt is never 0 and never used again."""
        receipt = (self._generation << _SHIFT) | (self._first + len(self._packet_ids))
        self._packet_ids.append(packet_id)
        return receipt

    def acknowledge(self, receipts: Iterable[int]) -> Iterator[int]:
        """Note messages as safe, in any order and any number of times.

        Yields:
            The packet ids that are due, in the order of receipt, with `REFUSED` where one was refused.
        """
        for receipt in receipts:
            if receipt >> _SHIFT == self._generation and receipt & _NUMBER >= self._first:
                self._safe.add(receipt & _NUMBER)
        while self._first in self._safe:
            self._safe.remove(self._first)
            refused = self._first in self._refused
            if refused:
                self._refused.remove(self._first)
            self._first += 1
            packet_id = self._packet_ids.popleft()
            yield packet_id | REFUSED if refused else packet_id

    def refuse(self, receipts: Iterable[int]) -> Iterator[int]:
        """Note messages as such that nobody will keep; as `acknowledge`."""
        known = [one for one in receipts if one >> _SHIFT == self._generation and one & _NUMBER >= self._first]
        self._refused.update(one & _NUMBER for one in known if one & _NUMBER not in self._safe)
        return self.acknowledge(known)
