"""Finding a device's models."""

from collections.abc import Mapping, Sequence

import pytest

from agent.drivers.sunspec.chain import find_models
from derms.errors import DeviceError, DeviceFaultError

SUNS = [0x5375, 0x6E53]
COMMON = [1, 2, 7, 7]
UNKNOWN = [64_123, 3, 1, 2, 3]
DER = [701, 1, 9]
END = [0xFFFF, 0]


class Memory:
    """Registers at addresses; elsewhere it refuses, or is silent."""

    where = "the device"

    def __init__(
        self, content: Mapping[int, Sequence[int]], *, silent_elsewhere: bool = False, up: bool = True
    ) -> None:
        self.words = {address + i: word for address, words in content.items() for i, word in enumerate(words)}
        self.silent_elsewhere = silent_elsewhere
        self.connections = int(up)
        self.asked: list[int] = []

    async def read(self, address: int, count: int) -> tuple[int, ...]:
        self.asked.append(address)
        if not self.connections:
            raise DeviceError("no connection")
        if any(address + i not in self.words for i in range(count)):
            if self.silent_elsewhere:
                raise DeviceError("silence")
            raise DeviceFaultError("refused", why="illegal data address (2)")
        return tuple(self.words[address + i] for i in range(count))

    async def write(self, address: int, words: Sequence[int]) -> None:
        raise AssertionError("a look writes nothing")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("base", [0, 40_000, 50_000])
@pytest.mark.parametrize("silent", [True, False])
async def test_a_map_is_found_at_each_base_and_unknown_models_are_stepped_over(base: int, silent: bool) -> None:
    memory = Memory({base: SUNS + COMMON + UNKNOWN + DER + END}, silent_elsewhere=silent)
    places = await find_models(memory)
    assert {model: place.address - base for model, place in places.items()} == {1: 2, 64_123: 6, 701: 11}
    assert places[701].length == 3


async def test_a_given_base_is_the_only_one_tried() -> None:
    memory = Memory({0: SUNS + COMMON + END, 40_000: SUNS + DER + END})
    assert list(await find_models(memory, 0)) == [1]
    assert 40_000 not in memory.asked


async def test_an_end_without_a_length_behind_it_is_an_end() -> None:
    assert list(await find_models(Memory({40_000: SUNS + COMMON + [0xFFFF]}))) == [1]


async def test_of_two_models_with_one_number_the_first_counts() -> None:
    places = await find_models(Memory({0: SUNS + DER + DER + END}))
    assert places[701].address == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({40_000: [0, 0]}, "'SunS' does not stand at 40000: another content; 0: illegal data address (2)"),
        ({40_000: SUNS + END}, "no model stands before it"),
        ({40_000: [*SUNS, 0, 0]}, "model 0 of 0 words cannot be"),
        ({40_000: [*SUNS, 701, 65_000]}, "model 701 of 65000 words cannot be"),
        ({0: SUNS + [701, 0] * 300}, "no end after 200 models"),
        ({40_000: SUNS + COMMON}, "refused"),
    ],
)
async def test_what_is_no_chain_is_told(content: Mapping[int, Sequence[int]], said: str) -> None:
    with pytest.raises(DeviceFaultError) as caught:
        await find_models(Memory(content))
    assert said in str(caught.value)


async def test_a_device_that_is_away_is_not_called_a_device_of_another_kind() -> None:
    away = Memory({}, up=False)
    with pytest.raises(DeviceError, match="no connection"):
        await find_models(away)
    assert len(away.asked) == 1
    with pytest.raises(DeviceError, match="silence") as caught:
        await find_models(Memory({}, silent_elsewhere=True))
    assert not isinstance(caught.value, DeviceFaultError)
