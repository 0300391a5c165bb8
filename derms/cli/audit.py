"""`derms audit`."""

import json
from typing import Annotated

import typer

from derms.cli.command import Run, watching
from derms.cli.formats import Column, Listing
from derms.wording.instants import parse_past

_PAGE = 1000


@watching
async def audit(
    run: Run,
    actor: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, noun.verb.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this id.")] = None,
    since: Annotated[str | None, typer.Option(help="Not older than this: a duration, or an instant.")] = None,
    until: Annotated[str | None, typer.Option(help="Older than this instant.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many lines.", min=1)] = 100,
) -> None:
    r"""Show who did what, the newest first. Needs the role admin.

    \b
    Examples:
      derms audit --since 24h --actor op -o csv
      derms audit --subject feeder-1 --limit 10
    """
    from derms.api.schemas.audit import AuditLineOut, AuditQuery
    from derms.cli.paging import pages

    query = AuditQuery(
        limit=min(limit, _PAGE),
        actor=actor,
        action=action,
        subject=subject,
        since=None if since is None else parse_past(since, run.now, utc=run.shared.utc),
        until=None if until is None else parse_past(until, run.now, utc=run.shared.utc),
    )
    async with run.client() as client:
        got = await pages(client.audit, query, most=-(-limit // _PAGE))
    columns: list[Column[AuditLineOut]] = [
        Column(name="audit_id", title="LINE", value=lambda one: one.audit_id),
        Column(name="at", title="AT", value=lambda one: one.at, shown=lambda one: run.local(one.at)),
        Column(name="actor", title="WHO", value=lambda one: one.actor),
        Column(name="action", title="ACTION", value=lambda one: one.action),
        Column(name="subject", title="SUBJECT", value=lambda one: one.subject),
        Column(name="remote", title="FROM", value=lambda one: one.remote),
        Column(name="after", title="AFTER", value=lambda one: json.dumps(one.after) if one.after else None),
    ]
    rows = [one for page in got for one in page.lines][:limit]
    run.rows(
        Listing(
            kind="lines", rows=rows, columns=columns, name=lambda one: str(one.audit_id), nothing="nothing was done"
        )
    )
