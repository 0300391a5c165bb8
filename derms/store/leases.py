"""Who commands: the leases of the trees of feeders, on the database's clock.

On a connection of its own: whoever waits for another query would lose its lease over it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg.rows import dict_row

from derms.ports import Claimant, LeaderLease, Standing
from derms.store.link import Connection, Link

_TIMEOUT_S = 5.0

_CLAIM = """
INSERT INTO controllers (controller_id, instance, url, seen_at)
VALUES (%(controller_id)s, %(instance)s, %(url)s, clock_timestamp())
ON CONFLICT (controller_id) DO UPDATE
SET instance = excluded.instance, url = excluded.url, seen_at = excluded.seen_at
WHERE controllers.instance IN (excluded.instance, %(formerly)s) OR %(seize)s
RETURNING 1 AS mine
"""
_SEEN = """
SELECT extract(epoch FROM clock_timestamp() - seen_at)::float8 AS ago_s
FROM controllers WHERE controller_id = %(controller_id)s
"""
_RENEW = """
UPDATE controller_leases
SET expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s), lease_s = %(lease_s)s,
    renewals = renewals + 1, url = %(url)s
WHERE instance = %(instance)s AND feeder_id = ANY(%(held)s)
RETURNING feeder_id
"""
_LIVE = """
UPDATE controllers SET seen_at = clock_timestamp(), url = %(url)s, able = %(able)s WHERE instance = %(instance)s
"""
_PEERS = """
SELECT instance FROM controllers
WHERE able AND instance NOT IN ('', %(instance)s) AND seen_at > clock_timestamp() - make_interval(secs => %(lease_s)s)
"""
_GIVE_BACK = """
UPDATE controller_leases SET instance = '', expires_at = clock_timestamp()
WHERE instance = %(instance)s AND (feeder_id = ANY(%(roots)s) OR %(all)s)
"""
_LEASES = """
SELECT feeder_id, controller_id, instance, url, epoch, renewals, lease_s,
       extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s
FROM controller_leases ORDER BY feeder_id
"""
# Numbers are drawn before they are committed: the newest one may be there while an older one is still to come. The sum
# of the last ones shows it.
_CHANGES = """
SELECT coalesce(max(audit_id), 0) || '/' || coalesce(sum(audit_id), 0) AS changes
FROM (SELECT audit_id FROM audit_log ORDER BY audit_id DESC LIMIT 200) AS newest
"""
_TAKE = """
INSERT INTO controller_leases AS mine
    (feeder_id, controller_id, instance, url, epoch, lease_s, taken_at, expires_at)
VALUES (%(feeder_id)s, %(controller_id)s, %(instance)s, %(url)s, %(epoch)s, %(lease_s)s, clock_timestamp(),
        clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (feeder_id) DO UPDATE
SET controller_id = excluded.controller_id, instance = excluded.instance, url = excluded.url, epoch = excluded.epoch,
    lease_s = excluded.lease_s, renewals = mine.renewals + 1, taken_at = excluded.taken_at,
    expires_at = excluded.expires_at
WHERE (mine.instance, mine.epoch, mine.renewals) = (%(seen_instance)s, %(seen_epoch)s, %(seen_renewals)s)
RETURNING feeder_id
"""


class LeaseTables:
    """Implements `derms.ports.LeaseStore`."""

    def __init__(self, link: Link) -> None:
        """Use that connection, which is closed by `close`."""
        self._link = link

    async def close(self) -> None:
        """Give up the connection."""
        await self._link.close()

    async def claim_name(self, me: Claimant, *, formerly: str, seize: bool = False) -> float | None:
        """As `derms.ports.LeaseStore.claim_name`."""
        values = {**_values(me), "formerly": formerly, "seize": seize}
        async with self._link.use(_TIMEOUT_S) as connection:
            if await _rows(connection, _CLAIM, values):
                return None
            seen = await _rows(connection, _SEEN, values)
        # Gone again in between: whoever asks again has it.
        return float(seen[0]["ago_s"]) if seen else 0.0

    async def beat(self, me: Claimant, held: Collection[str], *, lease_s: float, able: bool) -> Standing:
        """As `derms.ports.LeaseStore.beat`."""
        values = {**_values(me), "held": sorted(held), "lease_s": lease_s, "able": able}
        async with self._link.use(_TIMEOUT_S) as connection:
            renewed = await _rows(connection, _RENEW, values) if held else []
            await connection.execute(_LIVE.encode(), values)
            leases = await _rows(connection, _LEASES, {})
            peers = await _rows(connection, _PEERS, values)
            changes = (await _rows(connection, _CHANGES, {}))[0]["changes"]
        return Standing(
            renewed=frozenset(row["feeder_id"] for row in renewed),
            leases=tuple(_lease_of(row) for row in leases),
            peers=frozenset(row["instance"] for row in peers),
            changes=changes,
        )

    async def take(
        self, me: Claimant, wanted: Mapping[str, LeaderLease | None], *, lease_s: float, above: int
    ) -> tuple[int, frozenset[str]]:
        """As `derms.ports.LeaseStore.take`."""
        async with self._link.use(_TIMEOUT_S) as connection, connection.transaction():
            # One at a time, so that epochs are given in the order in which leases are.
            await connection.execute("LOCK TABLE controller_leases IN EXCLUSIVE MODE")
            epoch = int((await _rows(connection, "SELECT nextval('controller_epoch') AS epoch", {}))[0]["epoch"])
            if epoch <= above:
                epoch = above + 1
                await connection.execute("SELECT setval('controller_epoch', %s)", [epoch])
            had = set()
            for feeder_id, seen in wanted.items():
                values = {
                    **_values(me),
                    "feeder_id": feeder_id,
                    "epoch": epoch,
                    "lease_s": lease_s,
                    "seen_instance": seen.holder.instance if seen is not None else "",
                    "seen_epoch": seen.epoch if seen is not None else -1,
                    "seen_renewals": seen.renewals if seen is not None else -1,
                }
                had |= {row["feeder_id"] for row in await _rows(connection, _TAKE, values)}
            if had:
                await connection.execute(
                    "UPDATE controller_leases SET epoch = %s WHERE instance = %s", [epoch, me.instance]
                )
        return epoch, frozenset(had)

    async def give_back(self, me: Claimant, roots: Collection[str]) -> None:
        """As `derms.ports.LeaseStore.give_back`."""
        async with self._link.use(_TIMEOUT_S) as connection:
            await connection.execute(_GIVE_BACK.encode(), {**_values(me), "roots": sorted(roots), "all": False})

    async def release(self, me: Claimant) -> None:
        """As `derms.ports.LeaseStore.release`."""
        async with self._link.use(_TIMEOUT_S) as connection, connection.transaction():
            await connection.execute(_GIVE_BACK.encode(), {**_values(me), "roots": [], "all": True})
            await connection.execute("DELETE FROM controllers WHERE instance = %s", [me.instance])


def _values(me: Claimant) -> dict[str, object]:
    return {"controller_id": me.controller_id, "instance": me.instance, "url": me.url}


def _lease_of(row: Mapping[str, Any]) -> LeaderLease:
    return LeaderLease(
        feeder_id=row["feeder_id"],
        holder=Claimant(controller_id=row["controller_id"], instance=row["instance"], url=row["url"]),
        epoch=row["epoch"],
        renewals=row["renewals"],
        lease_s=row["lease_s"],
        left_s=row["left_s"],
    )


async def _rows(connection: Connection, statement: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), values)
        return await cursor.fetchall()
