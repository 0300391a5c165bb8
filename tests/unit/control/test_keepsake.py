"""What of a memory survives being written down, read by another version, by another fleet, and later."""

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import DeviceMemory, Memory, NodeMemory
from derms.control.keepsake import SESSIONS_S, TRUSTED_S, from_json, to_json

NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
IDS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8)


def equal(one: DeviceMemory | NodeMemory, other: DeviceMemory | NodeMemory) -> bool:
    return all(
        np.array_equal(getattr(one, item.name), getattr(other, item.name), equal_nan=True) for item in fields(one)
    )


def same(one: Memory, other: Memory) -> bool:
    return one.sheds == other.sheds and equal(one.devices, other.devices) and equal(one.nodes, other.nodes)


@st.composite
def rows(draw: st.DrawFn, kind: Any, count: int) -> Any:
    empty = kind.empty(count)
    for item in fields(kind):
        for row in range(count):
            if draw(st.booleans()):
                unknown = st.just(float(getattr(kind.empty(1), item.name)[0]))
                getattr(empty, item.name)[row] = draw(NUMBERS | unknown)
    return empty


@st.composite
def memories(draw: st.DrawFn) -> tuple[Memory, list[str], list[str]]:
    device_ids = draw(st.lists(IDS, unique=True, max_size=6))
    node_ids = draw(st.lists(IDS, unique=True, min_size=1, max_size=4))
    memory = Memory(
        devices=draw(rows(DeviceMemory, len(device_ids))),
        nodes=draw(rows(NodeMemory, len(node_ids))),
        sheds=tuple(draw(st.lists(st.tuples(IDS, st.integers(0, len(node_ids) - 1), NUMBERS), max_size=3))),
    )
    return memory, device_ids, node_ids


@given(memories())
def test_a_memory_comes_back_as_it_was(kept: tuple[Memory, list[str], list[str]]) -> None:
    memory, device_ids, node_ids = kept
    back = from_json(to_json(memory, device_ids, node_ids), device_ids, node_ids)
    assert back.damage == ""
    assert same(back.memory, memory)


@given(memories(), st.data())
def test_rows_follow_their_ids_into_any_other_fleet(
    kept: tuple[Memory, list[str], list[str]], data: st.DataObject
) -> None:
    memory, device_ids, node_ids = kept
    new_devices = data.draw(st.permutations([*device_ids[1:], "new device id"]))
    new_nodes = data.draw(st.permutations([*node_ids[1:], "new node id"]))
    back = from_json(to_json(memory, device_ids, node_ids), new_devices, new_nodes)
    index = [np.array([old.index(one) if one in old else -1 for one in new], dtype=np.int64)
             for old, new in ((device_ids, new_devices), (node_ids, new_nodes))]  # fmt: skip
    assert back.damage == ""
    assert same(back.memory, memory.aligned(index[0], index[1]))


def some_memory() -> Memory:
    """Of two devices and two nodes; the first of each is as one never seen."""
    memory = Memory.empty(2, 2)
    for item in fields(memory.devices):
        getattr(memory.devices, item.name)[1] = 7.0
    for item in fields(memory.nodes):
        getattr(memory.nodes, item.name)[1] = 7.0
    return replace(memory, sheds=(("dr-7", 1, 80.0),))


def test_only_what_differs_from_an_empty_memory_is_written() -> None:
    memory = some_memory()
    memory.devices.bucket_kwh[1] = 0.0
    memory.devices.last_kw[1] = np.nan
    tree = json.loads(to_json(memory, ["a", "b"], ["r", "s"]))
    assert tree["v"] == 1
    assert tree["devices"]["ids"] == ["b"]
    assert tree["devices"]["columns"]["strikes"] == [7.0]
    assert "bucket_kwh" not in tree["devices"]["columns"]
    assert "last_kw" not in tree["devices"]["columns"]
    assert tree["nodes"]["ids"] == ["s"]
    assert tree["sheds"] == [["dr-7", "s", 80.0]]
    nothing = json.loads(to_json(Memory.empty(1000, 10), [f"d{n}" for n in range(1000)], [f"n{n}" for n in range(10)]))
    assert nothing == {"v": 1, "devices": {"ids": [], "columns": {}}, "nodes": {"ids": [], "columns": {}}, "sheds": []}


def test_what_is_unknown_is_written_as_null_and_read_as_unknown() -> None:
    memory = some_memory()
    memory.devices.last_kw[0], memory.devices.bucket_kwh[0] = 3.0, 1.0
    memory.devices.last_kw[1] = np.nan
    payload = to_json(memory, ["a", "b"], ["r", "s"])
    assert json.loads(payload)["devices"]["columns"]["last_kw"] == [3.0, None]
    assert np.isnan(from_json(payload, ["a", "b"], ["r", "s"]).memory.devices.last_kw[1])
    # where nothing can be unknown, null is nothing
    nulled = payload.replace(b'"bucket_kwh":[1.0,7.0]', b'"bucket_kwh":[1.0,null]')
    assert nulled != payload
    assert from_json(nulled, ["a", "b"], ["r", "s"]).memory.devices.bucket_kwh.tolist() == [1.0, 0.0]


def test_a_field_that_an_earlier_version_did_not_write_starts_empty() -> None:
    tree = json.loads(to_json(some_memory(), ["a", "b"], ["r", "s"]))
    del tree["devices"]["columns"]["stated_kwh"], tree["devices"]["columns"]["strikes"], tree["sheds"]
    back = from_json(json.dumps(tree).encode(), ["a", "b"], ["r", "s"])
    assert back.damage == ""
    assert np.isnan(back.memory.devices.stated_kwh[1])
    assert (back.memory.devices.strikes[1], back.memory.devices.bucket_kwh[1], back.memory.sheds) == (0.0, 7.0, ())


def test_a_field_of_a_later_version_is_passed_over_whatever_its_shape() -> None:
    tree = json.loads(to_json(some_memory(), ["a", "b"], ["r", "s"]))
    tree["later"] = [{"x": 1}]
    tree["devices"]["more"] = "y"
    tree["nodes"]["columns"]["word"] = ["text"]
    back = from_json(json.dumps(tree).encode(), ["a", "b"], ["r", "s"])
    assert back.damage == ""
    assert same(back.memory, some_memory())


GOOD = to_json(some_memory(), ["a", "b"], ["r", "s"])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        GOOD[:-1],
        GOOD.replace(b'"v":1', b'"v":2'),
        GOOD.replace(b'"strikes":[7.0]', b'"strikes":[7.0,7.0]'),
        GOOD.replace(b'"strikes":[7.0]', b'"strikes":["7"]'),
        GOOD.replace(b'"strikes":[7.0]', b'"strikes":[1e999]'),
        GOOD.replace(b'"ids":["s"]', b'"ids":"s"'),
    ],
    ids=lambda one: repr(one[:20]),
)
def test_a_damaged_memory_is_empty_and_said(payload: bytes) -> None:
    assert payload != GOOD
    back = from_json(payload, ["a", "b"], ["r", "s"])
    assert back.damage
    assert same(back.memory, Memory.empty(2, 2))


@settings(max_examples=300)
@given(st.data())
def test_no_damage_raises_and_nothing_infinite_comes_out(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        damaged = damaged or bytearray(b" ")
    memory = from_json(bytes(damaged), ["a", "b"], ["r", "s"], age_s=data.draw(st.floats(0, 1e6))).memory
    for part in (memory.devices, memory.nodes):
        for item in fields(part):
            column = getattr(part, item.name)
            assert not np.isinf(column).any()
            assert not np.isnan(column[~np.isnan(getattr(type(part).empty(2), item.name))]).any()


EARLY = {"waited_s": 67.0, "peak_age_s": 67.0, "since_event_s": 67.0}
"""What was 7 s ago is 67 s ago a minute later."""
SESSION = {"stated_kwh": 7.0, "left_kwh": 7.0, "got_kwh": 7.0}


@pytest.mark.parametrize(
    ("age_s", "kept"),
    [
        (60.0, None),
        (-60.0, None),  # the clock was set back: as old as it is early
        (TRUSTED_S + 1, SESSION),
        (-TRUSTED_S - 1, SESSION),
        (SESSIONS_S, SESSION),
        (SESSIONS_S + 1, {}),
    ],
)
def test_a_memory_is_worth_less_the_older_it_is(age_s: float, kept: dict[str, float] | None) -> None:
    back = from_json(GOOD, ["a", "b"], ["r", "s"], age_s=age_s).memory
    for part in (back.devices, back.nodes):
        empty = type(part).empty(1)
        for item in fields(part):
            nothing = getattr(empty, item.name)[0]
            expected = EARLY.get(item.name, 7.0) if kept is None else kept.get(item.name, nothing)
            assert np.array_equal(getattr(part, item.name), [nothing, expected], equal_nan=True), item.name
    assert back.sheds == (("dr-7", 1, 80.0),)


def test_an_event_that_bears_still_has_not_ended_while_nobody_looked() -> None:
    memory = some_memory()
    memory.nodes.since_event_s[1] = 0.0
    back = from_json(to_json(memory, ["a", "b"], ["r", "s"]), ["a", "b"], ["r", "s"], age_s=60.0).memory
    assert back.nodes.since_event_s[1] == 0.0
    assert np.isnan(back.nodes.since_event_s[0])
