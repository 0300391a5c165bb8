"""Which received messages may be acknowledged to the broker now. Pure.

A PUBACK goes out only for a message that its reader has acknowledged, in the order the messages came (MQTT-4.6.0-2),
and only on the connection it came on: packet ids are used again, so a late acknowledgement would otherwise confirm
somebody else's message.
"""

from collections import deque
from collections.abc import Iterable, Iterator

_SHIFT = 40
_NUMBER = (1 << _SHIFT) - 1


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

    def issue(self, packet_id: int) -> int:
        """Note a message; its receipt is never 0 and never used again."""
        receipt = (self._generation << _SHIFT) | (self._first + len(self._packet_ids))
        self._packet_ids.append(packet_id)
        return receipt

    def acknowledge(self, receipts: Iterable[int]) -> Iterator[int]:
        """Note messages as safe, in any order and any number of times.

        Yields:
            The packet ids that are due, in the order of receipt.
        """
        for receipt in receipts:
            if receipt >> _SHIFT == self._generation and receipt & _NUMBER >= self._first:
                self._safe.add(receipt & _NUMBER)
        while self._first in self._safe:
            self._safe.remove(self._first)
            self._first += 1
            yield self._packet_ids.popleft()
