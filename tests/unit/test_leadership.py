"""Who commands, on clocks that are set by hand."""

from collections.abc import Collection
from typing import Any

import pytest

from derms.errors import StoreError
from derms.leadership import Leadership
from derms.ports import Claimant, Duty
from tests.fakes_leases import FakeLeases

LEASE_S = 10.0
ROOT = "feeder-1"


class HandClock:
    """Goes forward when told; the wall clock is nobody's business here."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> int:
        raise AssertionError("who commands must not depend on the wall clock")

    def monotonic_s(self) -> float:
        return self.s


class Node:
    """One controller; it is awake and looks when told."""

    def __init__(
        self, name: str, leases: FakeLeases, clock: HandClock, *, formerly: str = "", spreads: bool = False
    ) -> None:
        self.able = True
        self.unreadable = False
        self.roots = [ROOT]
        self.taken: list[set[str]] = []
        self.clock = clock
        self.it = Leadership(
            store=leases,
            me=Claimant(controller_id=name, instance=f"{name}-run", url=f"http://{name}"),
            formerly=formerly,
            lease_s=LEASE_S,
            poll_s=1.0,
            clock=clock,
            roots=lambda: self.roots,
            able=lambda: self.able,
            take_over=self._take_over,
            on_change=lambda: None,
            spreads=spreads,
        )

    async def _take_over(self, roots: Collection[str]) -> None:
        if self.unreadable:
            raise StoreError("unreadable")
        assert all(self.it.duty(root) is Duty.STANDS_BY for root in roots), "it commands before it has read"
        self.taken.append(set(roots))

    async def look(self) -> None:
        self.it.pulse()
        try:
            await self.it._beat(self.clock.s)
        except StoreError as error:
            self.it._note_failure(error)
        self.it.pulse()

    def duty(self) -> Duty:
        return self.it.duty(ROOT)

    @property
    def leads(self) -> list[str]:
        return [root for root in self.roots if self.it.duty(root) is Duty.LEADS]


class World:
    """Time that passes for all of them."""

    def __init__(self) -> None:
        self.clock, self.leases = HandClock(), FakeLeases()

    def node(self, name: str, **said: Any) -> Node:
        return Node(name, self.leases, self.clock, **said)

    async def live(self, seconds: float, *nodes: Node) -> None:
        """Let time pass; those named are awake in it."""
        for _ in range(round(seconds * 2)):
            self.clock.s += 0.5
            self.leases.now_s += 0.5
            for node in nodes:
                await node.look()
            led = [root for node in nodes for root in node.leads]
            assert len(led) == len(set(led)), "two lead one tree"


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_one_leads_and_the_second_stands_by(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(30.0, north, south)
    assert (north.duty(), south.duty()) == (Duty.LEADS, Duty.STANDS_BY)
    assert (north.it.epoch, north.it.takeovers, south.it.epoch) == (1, 1, 0)
    [standing] = south.it.standings()
    assert standing.leader is not None
    assert (standing.leader.controller_id, standing.leader.url, standing.epoch) == ("north", "http://north", 1)


async def test_nobody_leads_who_does_not_reach_the_broker(world: World) -> None:
    north = world.node("north")
    north.able = False
    await world.live(5.0, north)
    assert north.duty() is Duty.STANDS_BY
    north.able = True
    await world.live(1.0, north)
    assert north.duty() is Duty.LEADS


async def test_who_has_not_reached_the_broker_for_a_whole_lease_lets_go(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(3.0, north, south)
    north.able = False
    await world.live(2.5 * LEASE_S, north, south)
    assert (north.duty(), south.duty()) == (Duty.STANDS_BY, Duty.LEADS)


async def test_a_dead_leader_is_followed_within_its_lease_and_a_look(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(5.0, north, south)
    await world.live(LEASE_S - 0.5, south)
    assert south.duty() is Duty.STANDS_BY
    await world.live(1.5, south)
    assert (south.duty(), south.it.epoch) == (Duty.LEADS, 2)


async def test_a_leader_stops_before_anyone_else_may_begin(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(5.0, north, south)
    world.clock.s += 0.9 * LEASE_S
    world.leases.now_s += 0.9 * LEASE_S
    assert north.duty() is Duty.STANDS_BY  # frozen: it has not even noticed
    await south.look()
    assert south.duty() is Duty.STANDS_BY


async def test_a_thawed_leader_that_was_replaced_commands_nothing_from_its_first_moment_on(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(5.0, north, south)
    await world.live(3 * LEASE_S, south)
    assert south.duty() is Duty.LEADS
    assert north.duty() is Duty.STANDS_BY
    north.it.pulse()
    assert north.duty() is Duty.STANDS_BY
    world.leases.away = True  # not even when it finds the database gone
    await north.look()
    assert north.duty() is Duty.STANDS_BY
    world.leases.away = False
    await north.look()
    assert (north.duty(), south.duty(), north.it.epoch) == (Duty.STANDS_BY, Duty.LEADS, 1)


async def test_a_thawed_leader_that_nobody_replaced_goes_on_with_its_epoch(world: World) -> None:
    north = world.node("north")
    await world.live(5.0, north)
    await world.live(3 * LEASE_S)
    assert north.duty() is Duty.STANDS_BY
    await north.look()
    assert (north.duty(), north.it.epoch) == (Duty.LEADS, 1)


async def test_without_the_store_the_lease_ends_and_what_is_safe_is_kept_while_awake(world: World) -> None:
    north = world.node("north")
    await world.live(5.0, north)
    world.leases.away = True
    await world.live(0.8 * LEASE_S, north)
    assert north.duty() is Duty.LEADS
    await world.live(5 * LEASE_S, north)
    assert north.duty() is Duty.KEEPS
    await world.live(5.0)  # asleep
    assert north.duty() is Duty.STANDS_BY
    await north.look()
    assert north.duty() is Duty.STANDS_BY
    world.leases.away = False
    await north.look()
    assert (north.duty(), north.it.epoch) == (Duty.LEADS, 1)


async def test_who_keeps_lets_go_when_a_higher_epoch_is_heard(world: World) -> None:
    north = world.node("north")
    await world.live(5.0, north)
    world.leases.away = True
    await world.live(2 * LEASE_S, north)
    assert north.duty() is Duty.KEEPS
    north.it.outranked(ROOT, 1)
    assert north.duty() is Duty.KEEPS
    north.it.outranked(ROOT, 2)
    assert north.duty() is Duty.STANDS_BY
    await world.live(2 * LEASE_S, north)
    assert north.duty() is Duty.STANDS_BY


async def test_an_epoch_above_ours_on_the_wire_is_overtaken_by_the_holder_of_the_lease(world: World) -> None:
    north = world.node("north")
    await world.live(5.0, north)
    north.it.outranked(ROOT, 41)
    await north.look()
    assert (north.duty(), north.it.epoch) == (Duty.LEADS, 42)
    north.it.outranked(ROOT, 2**60)  # nobody's honest number
    await north.look()
    assert north.it.epoch == 42


async def test_epochs_heard_before_a_takeover_are_surpassed_by_it(world: World) -> None:
    north = world.node("north")
    north.it.heard(17)
    await north.look()
    await world.live(1.0, north)
    assert north.it.epoch == 18


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
async def test_a_jump_of_the_database_s_clock_takes_the_lease_from_nobody_who_renews_it(
    world: World, jump_s: float
) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(5.0, north, south)
    world.leases.now_s += jump_s
    await south.look()
    assert south.duty() is Duty.STANDS_BY
    await world.live(2 * LEASE_S, north, south)
    assert (north.duty(), south.duty()) == (Duty.LEADS, Duty.STANDS_BY)
    await world.live(LEASE_S + 1.0, south)
    assert south.duty() is Duty.LEADS  # and keeps nobody from following a dead one


async def test_what_is_given_back_is_had_at_once(world: World) -> None:
    north, south = world.node("north"), world.node("south")
    await world.live(5.0, north, south)
    await north.it.finish()
    await south.look()
    assert (south.duty(), south.it.epoch) == (Duty.LEADS, 2)


async def test_the_last_run_of_one_s_own_need_not_be_waited_for(world: World) -> None:
    await world.live(5.0, world.node("north"))
    again = world.node("other", formerly="north-run")
    await again.look()
    assert (again.duty(), again.it.epoch) == (Duty.LEADS, 2)


async def test_an_old_lease_that_has_ended_is_taken_by_who_comes_new(world: World) -> None:
    await world.live(5.0, world.node("north"))
    world.leases.now_s += 100.0
    south = world.node("south")
    await south.look()
    assert south.duty() is Duty.LEADS


async def test_who_cannot_read_what_was_left_does_not_lead(world: World) -> None:
    north = world.node("north")
    north.unreadable = True
    await world.live(3.0, north)
    assert (north.duty(), north.taken) == (Duty.STANDS_BY, [])
    north.unreadable = False
    await world.live(1.0, north)
    assert (north.duty(), north.taken) == (Duty.LEADS, [{ROOT}])


async def test_a_new_tree_is_taken_too_with_one_epoch_for_all(world: World) -> None:
    north = world.node("north")
    await world.live(2.0, north)
    north.roots = [ROOT, "feeder-2"]
    await world.live(1.0, north)
    assert {north.it.duty(root) for root in north.roots} == {Duty.LEADS}
    assert {lease.epoch for lease, _ in world.leases.rows.values()} | {north.it.epoch} == {1, 2}


TREES = [f"feeder-{number}" for number in range(7)]


def _sharing(world: World, *names: str) -> list[Node]:
    nodes = [world.node(name, spreads=True) for name in names]
    for node in nodes:
        node.roots = TREES
    return nodes


async def test_controllers_that_share_come_to_lead_as_many_trees_each_and_all_are_led(world: World) -> None:
    north, south = _sharing(world, "north", "south")
    await world.live(5.0, north)
    assert len(north.leads) == 7
    await world.live(60.0, north, south)
    assert sorted([len(north.leads), len(south.leads)]) == [3, 4]
    assert sorted(north.leads + south.leads) == TREES


async def test_once_shared_nothing_moves_any_more(world: World) -> None:
    nodes = _sharing(world, "north", "south", "west")
    await world.live(60.0, *nodes)
    assert sorted(len(node.leads) for node in nodes) == [2, 2, 3]
    before, takeovers = [node.leads for node in nodes], [node.it.takeovers for node in nodes]
    await world.live(120.0, *nodes)
    assert [node.leads for node in nodes] == before
    assert [node.it.takeovers for node in nodes] == takeovers


async def test_the_trees_of_one_that_died_are_shared_among_the_others(world: World) -> None:
    north, south, west = _sharing(world, "north", "south", "west")
    await world.live(60.0, north, south, west)
    await world.live(LEASE_S + 3.0, north, south)
    assert sorted(north.leads + south.leads) == TREES
    assert sorted([len(north.leads), len(south.leads)]) == [3, 4]
    assert north.it.epoch != south.it.epoch


async def test_what_falls_to_one_that_cannot_command_is_taken_by_another(world: World) -> None:
    north, south = _sharing(world, "north", "south")
    south.able = False
    await world.live(10.0, north, south)
    assert north.leads == TREES
    # and who says that it could, and does not, keeps nobody waiting for long
    world.leases.alive["ghost"] = (True, float("inf"))
    for node in (north,):
        node.roots = [*TREES, "feeder-7"]
    await world.live(5.0, north)
    assert "feeder-7" in north.leads


async def test_one_tree_stays_where_it_is_however_many_could_have_it(world: World) -> None:
    north, south = world.node("north", spreads=True), world.node("south", spreads=True)
    await world.live(30.0, south)
    await world.live(30.0, north, south)
    assert (north.duty(), south.duty()) == (Duty.STANDS_BY, Duty.LEADS)
    assert south.it.takeovers == 1
