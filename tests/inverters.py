"""SunSpec devices behind real Modbus servers: images made by pysunspec2, timers that run as an inverter's do."""

import asyncio
import contextlib
import json
import os
import time
import tty
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import sunspec2
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2.file.client import FileClientDevice

IEEE_1547 = Path(sunspec2.__file__).parent / "tests" / "test_data" / "device_1547.json"
Values = Mapping[str, Any]


@contextlib.contextmanager
def leaving_files_open() -> Iterator[None]:
    """While pysunspec2 reads its definitions: it closes none of those files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


class Image:
    """A SunSpec map: which words stand where, by pysunspec2's own definitions."""

    def __init__(self, document: Mapping[str, Any], changes: Mapping[int, Values] | None = None) -> None:
        with TemporaryDirectory() as directory, leaving_files_open():
            file = Path(directory) / "device.json"
            file.write_text(json.dumps(document))
            self._device = FileClientDevice(str(file))
            self._device.scan()
        for model, values in (changes or {}).items():
            for name, value in values.items():
                self._device.models[model][0].points[name].value = value
        self.words: list[int] = [0x5375, 0x6E53]
        self._at: dict[int, int] = {}
        for model in self._device.model_list:
            self._at.setdefault(model.model_id, len(self.words))
            raw = model.get_mb()
            self.words += [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
        self.words += [0xFFFF, 0]

    def offset(self, model: int, name: str) -> int:
        """Of a point, from the map's first word."""
        return self._at[model] + int(self._device.models[model][0].points[name].offset)

    def at(self, model: int) -> int:
        """Of a model's ID."""
        return self._at[model]


def ieee_1547(**changes: Values) -> Image:
    """The device image that pysunspec2 ships; `m704={"WMaxLimPct_SF": -1}` sets raw values.

    Its controls were written for an older model 704: what is called otherwise since is set here, as a device would.
    """
    controls = {
        "WMaxLimPctEna": 0, "WMaxLimPct": 1000, "WMaxLimPctRvrt": 1000, "WMaxLimPctEnaRvrt": 0,
        "WMaxLimPctRvrtTms": 0, "WMaxLimPctRvrtRem": 0, "WMaxLimPct_SF": -1,
    }  # fmt: skip
    given = {int(name[1:]): values for name, values in changes.items()}
    given[704] = controls | dict(given.get(704, {}))
    return Image(json.loads(IEEE_1547.read_text()), given)


def image(*models: Mapping[str, Any]) -> Image:
    """A map of these models, each `{"ID": 103, "W": 1, ...}`; what is not named is not implemented."""
    common = {"ID": 1, "Mn": "Maker", "Md": "Model", "Vr": "1", "SN": "1", "DA": 1, "L": None}
    return Image({"name": "device", "models": [common, *({"L": None, **model} for model in models)]})


class Inverter:
    """A device with such a map. Its reversion timers run on the machine's clock.

    Args:
        map_: Its registers.
        base: Where they begin.
        unit: Its address.
    """

    def __init__(self, map_: Image, *, base: int = 40_000, unit: int = 1) -> None:
        self.map = map_
        self.base = base
        self.exception: ExcCodes | None = None
        """What it answers with, whatever it is asked."""
        self.mangle: Callable[[bytes], bytes] | None = None
        """What becomes of its answers on the way."""
        self.requests: list[tuple[int, int, int]] = []
        """Function, address and count of what it was asked."""
        self.refused: frozenset[int] = frozenset()
        """Words that it lets nobody write."""
        self.stuck = False
        """It takes writes and forgets them."""
        self._deadlines: dict[str, float] = {}
        self.device = SimDevice(
            unit,
            [SimData(base, values=list(map_.words), datatype=DataType.REGISTERS)],
            action=self._act,
        )
        self._words = list(map_.words)
        self.port = 0

    def get(self, model: int, name: str) -> int:
        """One word, as it stands now."""
        self._live()
        return self._words[self.map.offset(model, name)]

    def get_u32(self, model: int, name: str) -> int:
        """Two words as one unsigned number."""
        return self.get(model, name) << 16 | self._words[self.map.offset(model, name) + 1]

    def put(self, model: int, name: str, *words: int) -> None:
        """Change words."""
        at = self.map.offset(model, name)
        self._words[at : at + len(words)] = words

    @property
    def writes(self) -> list[tuple[int, int]]:
        """Address (from the map's first word) and count of each write."""
        return [(address - self.base, count) for function, address, count in self.requests if function in (6, 16)]

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Inverter"]:
        """Serve by TCP, on a port that the system chooses."""
        server = ModbusTcpServer(self.device, address=("127.0.0.1", port), trace_packet=self._trace)
        await server.serve_forever(background=True)
        sockets: list[Any] = getattr(server.transport, "sockets", [])
        self.port = sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped

    @contextlib.asynccontextmanager
    async def serving_rtu(self) -> AsyncIterator[str]:
        """Serve on a serial line; the other end's name."""
        async with serial_line() as (here, there):
            server = ModbusSerialServer(
                self.device, framer=FramerType.RTU, port=there, baudrate=115_200, trace_packet=self._trace
            )
            await server.serve_forever(background=True)
            try:
                yield here
            finally:
                await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped

    async def _act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        self.requests.append((function, address, count))
        if self.exception is not None:
            return self.exception
        self._live()
        if values is not None:
            at = address - self.base
            if self.refused & set(range(at, at + count)):
                return ExcCodes.ILLEGAL_ADDRESS
            if self.stuck:
                cast(list[int], values)[:] = registers[at : at + len(values)]
                return None
            self._words[at : at + len(values)] = [int(value) for value in values]
            self._started(at, len(values))
            self._live()
        registers[: len(self._words)] = self._words
        return None

    def _trace(self, sending: bool, data: bytes) -> bytes:
        return self.mangle(data) if sending and self.mangle is not None else data

    # name of the timer: enabling, enabling after, value, value after, seconds (words), left
    _TIMERS = (
        (704, "WMaxLimPctEna", "WMaxLimPctEnaRvrt", ("WMaxLimPct", "WMaxLimPctRvrt", 1), "WMaxLimPctRvrtTms", 2),
        (704, "WSetEna", "WSetEnaRvrt", ("WSet", "WSetRvrt", 2), "WSetRvrtTms", 2),
        (123, "WMaxLim_Ena", None, None, "WMaxLimPct_RvrtTms", 1),
    )  # fmt: skip

    def _started(self, at: int, count: int) -> None:
        """Enabling, also anew, starts the timer with what stands in its register."""
        for model, enabled, *_, seconds, words in self._TIMERS:
            if model not in self.map._at or not at <= self.map.offset(model, enabled) < at + count:
                continue
            first = self.map.offset(model, seconds)
            limit_s = int.from_bytes(b"".join(w.to_bytes(2, "big") for w in self._words[first : first + words]), "big")
            if self._words[self.map.offset(model, enabled)] == 1 and limit_s:
                self._deadlines[enabled] = time.monotonic() + limit_s
            else:
                self._deadlines.pop(enabled, None)

    def _live(self) -> None:
        now_s = time.monotonic()
        for model, enabled, enabled_after, values, seconds, _ in self._TIMERS:
            deadline_s = self._deadlines.get(enabled)
            if deadline_s is None:
                continue
            if model == 704:
                left = max(0, round(deadline_s - now_s))
                self.put(model, seconds.replace("Tms", "Rem"), left >> 16, left & 0xFFFF)
            if now_s >= deadline_s:
                del self._deadlines[enabled]
                self.put(
                    model, enabled, 0 if enabled_after is None else self._words[self.map.offset(model, enabled_after)]
                )
                if values is not None:
                    value, after, words = values
                    first = self.map.offset(model, after)
                    self.put(model, value, *self._words[first : first + words])


@contextlib.asynccontextmanager
async def serial_line() -> AsyncIterator[tuple[str, str]]:
    """A serial cable: what is written at one end comes out at the other."""
    loop = asyncio.get_running_loop()
    pairs = [os.openpty() for _ in range(2)]
    for master, slave in pairs:
        tty.setraw(slave)
        os.set_blocking(master, False)

    def carry(source: int, sink: int) -> None:
        with contextlib.suppress(OSError):
            os.write(sink, os.read(source, 4096))

    (a, _), (b, _) = pairs
    loop.add_reader(a, carry, a, b)
    loop.add_reader(b, carry, b, a)
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        for master, slave in pairs:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
