"""Names that a shell may complete: of devices, feeders, events and so on.

They are asked of the controller, at most once in ten seconds, and kept: a controller that does not answer at once, or
at all, is completed from what it said the last time.
"""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from derms.cli.names import Kind

if TYPE_CHECKING:
    from derms.client import ApiClient

_FRESH_S = 10.0
_PATIENCE_S = 0.3


def names(kind: Kind, words: Sequence[str]) -> list[str]:
    """All names of a kind; none where something goes wrong: the next command will say it better.

    Args:
        kind: Of what.
        words: What was typed before.
    """
    with contextlib.suppress(Exception):
        return _names(kind, words)
    return []


def _names(kind: Kind, words: Sequence[str]) -> list[str]:
    match kind:
        case Kind.CONTEXT:
            from derms.cli.contexts import known_contexts

            return sorted({"default", *known_contexts(os.environ).known})
        case Kind.TOPIC:
            from derms.cli.topics import topics

            return list(topics())
        case _:
            return _of_controller(kind, words)


def _of_controller(kind: Kind, words: Sequence[str]) -> list[str]:
    from derms.cli.contexts import cache_dir
    from derms.cli.run import run_of
    from derms.cli.shared import Shared

    said = _said(words)
    context = said.get("--context") or os.environ.get("DERMS_CONTEXT") or None
    url = said.get("--url") or os.environ.get("DERMS_URL") or None
    run = run_of(Shared(context=context, url=url, timeout=_PATIENCE_S))
    path = cache_dir(os.environ) / "names" / f"{run.context.name}.json"
    kept = _read(path, run.context.url)
    at_s, names = kept.get(kind.value, (0.0, []))
    if not 0.0 <= time.time() - at_s < _FRESH_S:
        import asyncio

        from derms.errors import DermsError

        async def ask() -> list[str]:
            async with run.client() as client:
                return await _asked(client, kind)

        with contextlib.suppress(DermsError):
            names = asyncio.run(ask())
            kept[kind.value] = (time.time(), names)
            _write(path, run.context.url, kept)
    return names


def _said(words: Sequence[str]) -> dict[str, str]:
    """What the words so far say of which controller is meant."""
    pairs = [*itertools.pairwise(words), *(tuple(word.split("=", 1)) for word in words if "=" in word)]
    return {pair[0]: pair[1] for pair in pairs if pair[0] in ("--context", "--url")}


async def _asked(client: "ApiClient", kind: Kind) -> list[str]:
    match kind:
        case Kind.DEVICE:
            return [one.device_id for one in await client.devices()]
        case Kind.FEEDER:
            return [one.feeder_id for one in await client.feeder_summary()]
        case Kind.EVENT:
            return [one.event_id for one in await client.events()]
        case Kind.PROGRAM:
            from derms.api.schemas.programs import ProgramsQuery

            return [one.program_id for one in (await client.programs(ProgramsQuery())).programs]
        case Kind.ALARM:
            from derms.api.schemas.alarms import AlarmsQuery

            return [one.alarm_id for one in (await client.alarms(AlarmsQuery())).alarms]
        case Kind.USER:
            from derms.api.schemas.users import UsersQuery

            return [one.username for one in (await client.users(UsersQuery())).users]
        case _:
            return []


def _read(path: Path, url: str) -> dict[str, tuple[float, list[str]]]:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["url"] == url:
            return {kind: (float(at_s), [str(name) for name in names]) for kind, (at_s, names) in kept["names"].items()}
    return {}


def _write(path: Path, url: str, names: dict[str, tuple[float, list[str]]]) -> None:
    from derms.cli.contexts import replace_file

    replace_file(path, json.dumps({"url": url, "names": names}), 0o600)
