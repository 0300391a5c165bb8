"""The only door to pymodbus: one Modbus device, by TCP or on a serial line.

Everything waits on the event loop, no thread. One request at a time, never repeated by itself: who asks again knows
better whether it is still worth it. After a failure the connection is given up and the next request makes a new one, so
that an answer that comes late is nobody's answer. pymodbus' own reconnecting, retries and log lines are switched off.
"""

import asyncio
import logging
import termios
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from agent.drivers.options import BusOptions
from derms.errors import DeviceError, DeviceFaultError

MAX_READ = 125
"""Registers of one read request, by the protocol."""
MAX_WRITE = 123
"""Registers of one write request."""

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, but not done yet",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "the device behind the gateway does not answer",
}
_SILENT = (10, 11)
"""Exceptions of a gateway that say the device itself is silent."""
_PARITY = {"none": "N", "even": "E", "odd": "O"}


class ModbusBus:
    """A Modbus device's registers. Owned by one task; connects when it is first asked.

    Args:
        options: Where it is.
    """

    def __init__(self, options: BusOptions) -> None:
        self._options = options
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._heard = 0
        self._quiet_until_s = 0.0
        self.connections = 0
        """How often it has been connected: what was learned of a device before the newest one may be out of date."""

    @property
    def where(self) -> str:
        """What messages call it."""
        o = self._options
        place = f"{o.host}:{o.port}" if o.host is not None else o.serial_port
        return f"the device at {place}, unit {o.unit}"

    async def read(self, address: int, count: int, *, inputs: bool = False) -> tuple[int, ...]:
        """Read registers, `MAX_READ` at a time.

        Args:
            address: Of the first, as it stands in the request (from 0).
            count: How many.
            inputs: Input registers (function 4) instead of holding registers (3).

        Returns:
            [count] unsigned 16-bit words.

        Raises:
            DeviceError: No answer.
            DeviceFaultError: An exception, or an answer that is none.
        """
        words: list[int] = []
        while len(words) < count:
            first, wanted = address + len(words), min(MAX_READ, count - len(words))
            client = await self._connected()
            ask = client.read_input_registers if inputs else client.read_holding_registers
            what = f"read {first}..{first + wanted - 1}"
            answer = await self._asked(ask(first, count=wanted, device_id=self._options.unit), what)
            if len(answer.registers) != wanted:
                raise await self._gave_up(
                    DeviceFaultError(
                        f"{self.where} answers a wish to {what} with {len(answer.registers)} registers",
                        why=f"{wanted} were asked for",
                        next_step="check that nothing else speaks on this bus, and its firmware",
                    )
                )
            words += answer.registers
        return tuple(words)

    async def write(self, address: int, words: Sequence[int], *, single: bool = False) -> None:
        """Write registers in one request.

        Args:
            address: Of the first.
            words: [at most `MAX_WRITE`] unsigned 16-bit words.
            single: With function 6, for devices that know no other; one word.

        Raises:
            DeviceError: No answer; whether it was written is unknown.
            DeviceFaultError: It refuses, or confirms something else.
        """
        client = await self._connected()
        what = f"write {address}..{address + len(words) - 1}"
        unit = self._options.unit
        if single:
            (word,) = words
            answer = await self._asked(client.write_register(address, word, device_id=unit), what)
            confirmed = answer.address == address and list(answer.registers) == [word]
        else:
            answer = await self._asked(client.write_registers(address, list(words), device_id=unit), what)
            confirmed = answer.address == address and answer.count == len(words)
        if not confirmed:
            raise await self._gave_up(
                DeviceFaultError(
                    f"{self.where} confirms another write than the one asked for",
                    why=f"it was to {what}",
                    next_step="check that nothing else speaks on this bus",
                )
            )

    async def close(self) -> None:
        """Hang up; the next request connects anew."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _connected(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        if self._client is not None and self._client.connected:
            return self._client
        await self.close()
        pause_s = self._quiet_until_s - time.monotonic()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        # every failure is told by our errors, once; pymodbus would tell each on a line of its own
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        client = self._new_client()
        try:
            up = await client.connect()
        except (OSError, ValueError, NotImplementedError, termios.error, ModbusException) as error:
            # what pyserial raises for what is no serial port, or does not know the speed
            client.close()
            raise self._unreachable() from error
        except BaseException:
            client.close()
            raise
        if not up:
            client.close()
            raise self._unreachable()
        self._client = client
        self.connections += 1
        return client

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        o = self._options
        if o.host is not None:
            return AsyncModbusTcpClient(
                o.host, port=o.port, timeout=o.timeout_s, retries=0, reconnect_delay=0, trace_packet=self._hear
            )
        assert o.serial_port is not None, "the options were checked"
        return AsyncModbusSerialClient(
            o.serial_port,
            baudrate=o.baud,
            parity=_PARITY[o.parity],
            stopbits=o.stop_bits,
            timeout=o.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._hear,
        )

    def _hear(self, sending: bool, data: bytes) -> bytes:
        """Count what comes, so that garbage can be told from silence."""
        self._heard = 0 if sending else self._heard + len(data)
        return data

    async def _asked(self, request: Awaitable[ModbusPDU], what: str) -> ModbusPDU:
        """Await one answer.

        Raises:
            DeviceError: See `read`.
        """
        try:
            answer = await request
        except ModbusException as error:
            raise await self._gave_up(self._no_answer(what)) from error
        except BaseException:
            await self._give_up()
            raise
        if isinstance(answer, ExceptionResponse):
            raise self._refusal(answer.exception_code, what)
        return answer

    async def _gave_up(self, error: DeviceError) -> DeviceError:
        await self._give_up()
        return error

    async def _give_up(self) -> None:
        if self._options.serial_port is not None:
            # nothing in an RTU answer tells which question it is for: let a late one pass before the next
            self._quiet_until_s = time.monotonic() + self._options.timeout_s
        await self.close()

    def _no_answer(self, what: str) -> DeviceError:
        if self._heard:
            return DeviceFaultError(
                f"{self.where} answers a wish to {what} with {self._heard} bytes that are no answer",
                why="they are not Modbus, are cut off, or are for somebody else",
                next_step="check unit, baud, parity and wiring, and that nothing else speaks on this bus",
            )
        return DeviceError(
            f"{self.where} does not answer",
            why=f"asked to {what}, it was silent for {self._options.timeout_s:g} s or hung up",
            next_step="check its power, its unit number and the cable",
        )

    def _refusal(self, code: int, what: str) -> DeviceError:
        meaning = f"{_EXCEPTIONS.get(code, 'an unknown exception')} ({code})"
        if code in _SILENT:
            return DeviceError(f"{self.where} does not answer", why=meaning, next_step="check it and its unit number")
        return DeviceFaultError(
            f"{self.where} refuses to {what}", why=meaning, next_step="check the register map against its manual"
        )

    def _unreachable(self) -> DeviceError:
        port = self._options.serial_port
        if port is not None and not Path(port).exists():
            why, step = f"there is no {port}", "check that the adapter is plugged in, and its name in /dev"
        elif port is not None:
            why, step = (
                f"{port} cannot be opened",
                "check who else uses it, and that the agent is in its group (dialout)",
            )
        else:
            why = f"no connection within {self._options.timeout_s:g} s"
            step = "check its power, its address and the network"
        return DeviceError(f"{self.where} cannot be reached", why=why, next_step=step)
