"""A device's words on the wire, in one of the three dialects, and for Home Assistant where that is wanted. Pure."""

from collections.abc import Sequence

from agent.home_assistant import HomeAssistant
from derms.contract import Topics, encode_status, encode_telemetry
from derms.model import Dialect, Telemetry


class Speech:
    """What one device says, and where.

    Args:
        device_id: Its name.
        topics: Under which prefix.
        dialect: In which shape.
        home_assistant: What is said to Home Assistant; None: nothing.
    """

    def __init__(
        self, *, device_id: str, topics: Topics, dialect: Dialect, home_assistant: HomeAssistant | None = None
    ) -> None:
        self._status = topics.status(device_id)
        self._topics = topics
        self._dialect = dialect
        self._home_assistant = home_assistant

    def telemetry(self, sample: Telemetry) -> tuple[str, bytes]:
        """Topic and message of a sample."""
        return encode_telemetry(self._topics, sample, self._dialect)

    def greeting(self) -> Sequence[tuple[str, bytes]]:
        """What is said, retained, at every connection; it undoes the last will."""
        online = (self._status, encode_status(True))
        return [online] if self._home_assistant is None else [online, self._home_assistant.discovery()]

    def state(self, sample: Telemetry) -> Sequence[tuple[str, bytes]]:
        """What is said, retained, beside a live sample."""
        return [] if self._home_assistant is None else [self._home_assistant.state(sample)]

    def goodbye(self) -> tuple[str, bytes]:
        """What is said, retained, at the end; the same as the last will."""
        return self._status, encode_status(False)
