"""Finding a SunSpec device's models: the marker, then one model after the other up to the end.

::

    base ─► "SunS" │ 1, 66, ... │ 701, 153, ... │ 64123, 40, ... (unknown: stepped over) │ 704, 65, ... │ 0xFFFF, 0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.drivers.sunspec.points import Block
from derms.errors import DeviceError, DeviceFaultError

BASES = (40_000, 0, 50_000)
"""Where a map may begin, the usual one first."""
MAX_MODELS = 200
"""A chain that is longer is no chain."""
_MARKER = (0x5375, 0x6E53)  # "SunS"
_END = 0xFFFF
_SPACE = 65_536


class Registers(Protocol):
    """A device's registers; `agent.drivers.bus.ModbusBus` is one."""

    connections: int

    @property
    def where(self) -> str:
        """What messages call it."""
        ...

    async def read(self, address: int, count: int) -> tuple[int, ...]:
        """Read holding registers; raises `DeviceError`."""
        ...

    async def write(self, address: int, words: Sequence[int]) -> None:
        """Write them in one request; raises `DeviceError`."""
        ...

    async def close(self) -> None:
        """Hang up; the next request connects anew."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model stands."""

    model: int
    address: int
    """Of its ID."""
    length: int
    """Words, with ID and L."""

    async def read(self, registers: Registers, most: int) -> Block:
        """Read it from its ID on, at most `most` words of it."""
        words = await registers.read(self.address, min(self.length, most))
        if words[0] != self.model:
            raise DeviceFaultError(
                f"{registers.where} has model {words[0]} at {self.address}",
                why=f"model {self.model} was there when its models were listed",
                next_step="nothing: they are listed again",
            )
        return Block(words, model=self.model)


async def find_models(registers: Registers, base: int | None = None) -> dict[int, Place]:
    """List a device's models; of several with one number the first.

    Args:
        registers: The device.
        base: Where its map begins; None: `BASES` are tried.

    Raises:
        DeviceError: It does not answer.
        DeviceFaultError: It is no SunSpec device, or its chain is broken.
    """
    return await _walk(registers, 2 + await _find_base(registers, BASES if base is None else (base,)))


async def _find_base(registers: Registers, bases: Sequence[int]) -> int:
    failures: list[str] = []
    silent = 0
    for address in bases:
        try:
            if await registers.read(address, 2) == _MARKER:
                return address
            failures.append(f"{address}: another content")
        except DeviceFaultError as error:
            failures.append(f"{address}: {error.why}")
        except DeviceError:
            # some devices are silent where they have nothing; one that is silent everywhere is away
            failures.append(f"{address}: silence")
            silent += 1
            if not registers.connections or silent == len(bases):
                raise
    raise DeviceFaultError(
        f"{registers.where} shows no SunSpec map",
        why=f"'SunS' does not stand at {'; '.join(failures)}",
        next_step="enable SunSpec Modbus on it, check unit, or give base_address",
    )


async def _walk(registers: Registers, address: int) -> dict[int, Place]:
    found: dict[int, Place] = {}
    for _ in range(MAX_MODELS):
        model, length = await _header(registers, address)
        if model == _END:
            if not found:
                raise _broken(registers, address, "no model stands before it")
            return found
        if model == 0 or address + 2 + length + 1 > _SPACE:
            raise _broken(registers, address, f"model {model} of {length} words cannot be")
        found.setdefault(model, Place(model=model, address=address, length=length + 2))
        address += length + 2
    raise _broken(registers, address, f"it has no end after {MAX_MODELS} models")


async def _header(registers: Registers, address: int) -> tuple[int, int]:
    """A model's number and length; some devices have no length behind the end's number."""
    try:
        model, length = await registers.read(address, 2)
    except DeviceFaultError:
        (model,) = await registers.read(address, 1)
        if model != _END:
            raise
        length = 0
    return model, length


def _broken(registers: Registers, address: int, why: str) -> DeviceFaultError:
    return DeviceFaultError(
        f"{registers.where}: its chain of SunSpec models is broken at {address}",
        why=why,
        next_step="check its firmware, or use the modbus driver with a map of your own",
    )
