"""Alarms."""

from derms.api.schemas.alarms import (
    AlarmHistoryOut,
    AlarmHistoryQuery,
    AlarmOut,
    AlarmsOut,
    AlarmsQuery,
    ShelveIn,
)
from derms.client.base import Caller, part


class AlarmCalls(Caller):
    """Alarms."""

    async def alarms(self, query: AlarmsQuery | None = None) -> AlarmsOut:
        """A page of the alarms that are not normal, the most urgent first."""
        return await self.call("GET", "/api/alarms", AlarmsOut, query=query)

    async def alarm(self, alarm_id: str) -> AlarmOut:
        """One alarm that is not normal."""
        return await self.call("GET", _path(alarm_id), AlarmOut)

    async def alarm_history(self, query: AlarmHistoryQuery | None = None) -> AlarmHistoryOut:
        """A page of what became of alarms, the newest first."""
        return await self.call("GET", "/api/alarms/history", AlarmHistoryOut, query=query)

    async def acknowledge_alarm(self, alarm_id: str) -> AlarmOut:
        """Say that one knows of an alarm. Needs the role operator."""
        return await self.call("POST", f"{_path(alarm_id)}/acknowledge", AlarmOut)

    async def shelve_alarm(self, alarm_id: str, how: ShelveIn) -> AlarmOut:
        """Put an alarm aside for a while. Needs the role operator."""
        return await self.call("POST", f"{_path(alarm_id)}/shelve", AlarmOut, body=how)

    async def unshelve_alarm(self, alarm_id: str) -> AlarmOut:
        """Let an alarm count again. Needs the role operator."""
        return await self.call("POST", f"{_path(alarm_id)}/unshelve", AlarmOut)


def _path(alarm_id: str) -> str:
    return f"/api/alarms/{part(alarm_id)}"
