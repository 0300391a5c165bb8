"""The audit log; needs the role admin."""

from derms.api.schemas.audit import AuditOut, AuditQuery
from derms.client.base import Caller


class AuditCalls(Caller):
    """The audit log."""

    async def audit(self, query: AuditQuery | None = None) -> AuditOut:
        """Who did what, newest first, a page of it."""
        return await self.call("GET", "/api/audit", AuditOut, query=query)
