"""The engine's memory as JSON, so that a restart goes on where the last run stopped. Pure.

Rules:
    - Rows go by the ids of devices and nodes, and only those that differ from an empty memory are written, as columns::

          {"v": 1, "devices": {"ids": ["ev-1"], "columns": {"bucket_kwh": [0.4], "last_kw": [3.6]}},
                   "nodes":   {"ids": ["f-1"],  "columns": {"fixed_import_kw": [12.5]}},
                   "sheds":   [["dr-7", "f-1", 80.0]]}

    - Read back, an id that is no longer there is left out, and one that is new starts empty; so do a field that an
      earlier version did not write, and one that is null (NaN). A field that this version does not know is passed over.
    - What cannot be read is no memory, and said: a run that starts empty is worse off than one that goes on, and better
      off than one that believes nonsense.
    - A memory is worth less the older it is. For `TRUSTED_S` all of it counts, and what measures a time since
      something happened goes on by the memory's age. After that buckets, beliefs about the load, strikes, and how long
      a device waited or ran say nothing of now: only what was delivered in a session is kept, and what the sheds came
      to, which must not be taken anew from a load that they have already lowered. After `SESSIONS_S` only the sheds are
      left. (Sheds of sources that no longer bear are let go by the next tick.)
    - The clock may have been set back since: a memory from the future is as old as it is early.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import msgspec
import numpy as np

from derms.columns import Bools, DeviceMemory, Floats, Memory, NodeMemory

TRUSTED_S = 3600.0
"""So long all of a memory counts [s]."""
SESSIONS_S = 24 * 3600.0
"""So long the energies of sessions count [s]."""

_VERSION = 1
_SESSION = frozenset(("stated_kwh", "left_kwh", "got_kwh"))
"""What speaks of a session, and is not soon out of date."""
_GOES_ON = frozenset(("waited_s", "peak_age_s", "since_event_s"))
"""Times since something happened, where they are above 0: they pass while nobody ticks."""

_Rows = TypeVar("_Rows", DeviceMemory, NodeMemory)


class _Table(msgspec.Struct):
    ids: list[str] = []
    columns: dict[str, msgspec.Raw] = {}
    """Decoded one by one, so that one that is not known here may be of any shape."""


class _Kept(msgspec.Struct):
    v: int
    devices: _Table = msgspec.field(default_factory=_Table)
    nodes: _Table = msgspec.field(default_factory=_Table)
    sheds: list[tuple[str, str, float | None]] = []


_DECODER = msgspec.json.Decoder(_Kept)
_COLUMN_DECODER = msgspec.json.Decoder(list[float | None])
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A memory that was read back."""

    memory: Memory
    """Row for row as the ids that were asked for."""
    damage: str = ""
    """Why nothing could be read, in which case the memory is empty; nothing: it could."""


def to_json(memory: Memory, device_ids: Sequence[str], node_ids: Sequence[str]) -> bytes:
    """Write a memory down.

    Args:
        memory: Of n devices and m nodes.
        device_ids: Of each device row, shape (n,).
        node_ids: Of each node row, shape (m,).
    """
    return _ENCODER.encode(
        {
            "v": _VERSION,
            "devices": _table_of(memory.devices, device_ids),
            "nodes": _table_of(memory.nodes, node_ids),
            "sheds": [(source, node_ids[node], kw) for source, node, kw in memory.sheds],
        }
    )


def from_json(payload: bytes, device_ids: Sequence[str], node_ids: Sequence[str], *, age_s: float = 0.0) -> Recalled:
    """Read a memory back.

    Args:
        payload: What `to_json` wrote, in this version or another.
        device_ids: Of the device rows wanted, shape (n,).
        node_ids: Of the node rows wanted, shape (m,).
        age_s: Since it was written, by the controller's clock [s].

    Returns:
        The memory of n devices and m nodes. Never raises, whatever the bytes.
    """
    age_s = abs(age_s)
    try:
        kept = _DECODER.decode(payload)
        if kept.v != _VERSION:
            raise ValueError(f"it is of version {kept.v}, and this program reads {_VERSION}")
        devices = _rows_of(DeviceMemory.empty(len(device_ids)), kept.devices, device_ids, age_s)
        nodes = _rows_of(NodeMemory.empty(len(node_ids)), kept.nodes, node_ids, age_s)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Recalled(memory=Memory.empty(len(device_ids), len(node_ids)), damage=str(error)[:200])
    node_row = {node_id: row for row, node_id in enumerate(node_ids)}
    sheds = tuple(
        (source, node_row[node_id], kw) for source, node_id, kw in kept.sheds if node_id in node_row and kw is not None
    )
    return Recalled(memory=Memory(devices=devices, nodes=nodes, sheds=sheds))


def _table_of(rows: DeviceMemory | NodeMemory, ids: Sequence[str]) -> dict[str, object]:
    """The rows and the columns that hold something."""
    empty = type(rows).empty(1)
    columns: dict[str, Floats] = {item.name: getattr(rows, item.name) for item in fields(rows)}
    holds = {name: ~_same(column, getattr(empty, name)[0]) for name, column in columns.items()}
    at = np.flatnonzero(np.any(list(holds.values()), axis=0))
    return {
        "ids": [ids[row] for row in at.tolist()],
        "columns": {name: columns[name][at].tolist() for name, held in holds.items() if held.any()},
    }


def _same(column: Floats, value: float) -> Bools:
    return np.isnan(column) if np.isnan(value) else column == value


def _rows_of(empty: _Rows, table: _Table, ids: Sequence[str], age_s: float) -> _Rows:
    """The rows of a table in the order of `ids`.

    Raises:
        ValueError: A column is not of the table's length.
        DecodeError: A column is not one of numbers.
    """
    row_of = {one: row for row, one in enumerate(ids)}
    into = np.array([row_of.get(one, -1) for one in table.ids], dtype=np.int64)
    known = into >= 0
    for item in fields(empty):
        if item.name not in table.columns or not _counts(item.name, age_s):
            continue
        said = np.array(_COLUMN_DECODER.decode(table.columns[item.name]), dtype=np.float64)
        if said.shape != into.shape:
            raise ValueError(f"{item.name} has {said.size} values for {into.size} ids")
        column: Floats = getattr(empty, item.name)
        finite = known & np.isfinite(said)
        column[into[finite]] = said[finite]
        if item.name in _GOES_ON:
            column[column > 0.0] += age_s
    return empty


def _counts(name: str, age_s: float) -> bool:
    """Whether a field of a memory of that age is of use."""
    return age_s <= (SESSIONS_S if name in _SESSION else TRUSTED_S)
