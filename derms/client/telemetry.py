"""What devices measured."""

from derms.api.schemas.telemetry import TelemetryIn, TelemetryOut, TelemetryQuery, TelemetryTakenOut
from derms.client.base import Caller, part


class TelemetryCalls(Caller):
    """What devices measured."""

    async def telemetry(self, device_id: str, query: TelemetryQuery | None = None) -> TelemetryOut:
        """A page of samples, or buckets; None: the last hour's samples."""
        return await self.call(
            "GET", f"/api/telemetry/{part(device_id)}", TelemetryOut, query=query or TelemetryQuery()
        )  # fmt: skip

    async def send_telemetry(self, measurement: TelemetryIn) -> TelemetryTakenOut:
        """One measurement in a device's place. Needs the role operator."""
        return await self.call("POST", "/api/telemetry", TelemetryTakenOut, body=measurement)
