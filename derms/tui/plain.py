"""The same in lines, for screen readers and for slow lines: one for each change, and answers to what is asked.

Nothing is drawn, nothing moves, no colour. What is written on stdin is a question: `help` tells which there are.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Sequence

from derms.errors import AccessError, DermsError, UsageError
from derms.tui import query
from derms.tui.door import Door
from derms.tui.feed import Broken, Refused, Told, Trying
from derms.tui.fleet import setpoint_kw, state_of
from derms.tui.paint.dr import amount
from derms.tui.paint.gauge import standing
from derms.tui.picture import Phase, Picture
from derms.tui.said import clock, count, day_clock, flow, kw, percent
from derms.tui.session import Alarms, Heard, Known, Lists, Session

_MOVED = 0.05
"""Of the limit: a load that moved by so much is told again."""
_AT_ONCE = 5
"""Devices that are told one by one."""
_SHOWN = 20
_HELP = (
    ("status", "every feeder, the alarms and the health"),
    ("devices FILTER", "the devices that a filter keeps, such as type:ev soc<0.3; at most 20"),
    ("why DEVICE", "why a device has the setpoint it has"),
    ("alarms", "the alarms that are not normal"),
    ("events", "the demand-response events that are not over"),
    ("help", "this"),
    ("quit", "end"),
)


class Plain:
    """Lines on stdout.

    Args:
        door: The way to the controller.
        write: Takes whole lines.
        asked: Where questions come from, a line each; None: stdin.
    """

    def __init__(self, door: Door, *, write: Callable[[str], None], asked: asyncio.Queue[str] | None = None) -> None:
        self._door = door
        self._write = write
        self._asked: asyncio.Queue[str] = asyncio.Queue(maxsize=100) if asked is None else asked
        self._from_stdin = asked is None
        self._heard: asyncio.Queue[Heard] = asyncio.Queue(maxsize=1000)
        self._picture = Picture()
        self._session: Session | None = None
        self._told_kw: dict[str, float] = {}
        self._standing: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._alarms: dict[str, str] = {}
        self._logged = 0

    async def run(self) -> int:
        """Tell until it is asked to end; 0.

        Raises:
            AccessError: Nobody is logged in.
        """
        if not self._door.known():
            raise AccessError("nobody is logged in", why="lines have no login screen", next_step="run `derms login`")
        session = self._session = Session(self._door, self._take, rng=random.Random())
        work = asyncio.create_task(session.run())
        loop = asyncio.get_running_loop()
        if self._from_stdin:
            loop.add_reader(0, self._read)
        try:
            await self._talk(work)
        finally:
            if self._from_stdin:
                loop.remove_reader(0)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return 0

    async def _talk(self, work: "asyncio.Task[None]") -> None:
        self._say(f"derms, context {self._door.context}, {self._door.url}; write help for what can be asked")
        while True:
            hear = asyncio.create_task(self._heard.get())
            ask = asyncio.create_task(self._asked.get())
            done, waiting = await asyncio.wait({hear, ask, work}, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting - {work}:
                task.cancel()
            if hear in done:
                self._hear(hear.result())
            if ask in done and not await self._answer(ask.result().strip()):
                return
            if work in done and hear not in done:
                work.result()
                raise AccessError("the login is over", next_step="run `derms login`")

    def _take(self, heard: Heard) -> None:
        if not self._heard.full():  # nobody waits for lines that came so fast; the next picture tells all
            self._heard.put_nowait(heard)

    def _read(self) -> None:
        data = os.read(0, 65_536)
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            if sys.stdin.isatty():
                self._asked.put_nowait("quit")
            return
        for line in data.decode("utf-8", "replace").splitlines():
            if not self._asked.full():
                self._asked.put_nowait(line)

    def _say(self, text: str) -> None:
        shown = "".join(one if one.isprintable() else "?" for one in text)
        self._write(f"{clock(self._picture.now(time.monotonic()))} {shown}\n")

    def _hear(self, heard: Heard) -> None:
        picture, link = self._picture, self._picture.link
        match heard:
            case Told():
                picture.take(heard.event, now_s=time.monotonic())
                if link.phase is not Phase.LIVE:
                    link.phase = Phase.LIVE
                    self._say("connection: live")
                self._changes()
            case Broken():
                if link.phase is not Phase.BROKEN:
                    self._say(f"connection: lost, what is known grows old; {heard.why}")
                link.phase = Phase.BROKEN
            case Known():
                picture.username, picture.role = heard.me.username, heard.me.role
                self._say(f"logged in as {heard.me.username}, {heard.me.role.value}")
            case Alarms():
                self._hear_alarms(heard)
            case Lists():
                picture.events, picture.programs = heard.events, heard.programs
            case Trying() | Refused():
                pass

    def _changes(self) -> None:
        picture = self._picture
        new = len(picture.log) - self._logged if len(picture.log) >= self._logged else len(picture.log)
        for line in list(picture.log)[len(picture.log) - new :]:
            self._say(line.text)
        self._logged = len(picture.log)
        for feeder_id in picture.feeder_ids():
            feeder = picture.feeder(feeder_id)
            if feeder is None:
                continue
            word = standing(max(feeder.load_kw, 0.0), feeder.import_limit_kw)[0].split(" by ")[0]
            before = self._told_kw.get(feeder_id)
            step = _MOVED * (feeder.import_limit_kw or abs(feeder.load_kw) or 1.0)
            if word != self._standing.get(feeder_id) or before is None or abs(feeder.load_kw - before) >= step:
                self._standing[feeder_id], self._told_kw[feeder_id] = word, feeder.load_kw
                self._say(self._feeder_line(feeder_id))
        self._device_changes()

    def _feeder_line(self, feeder_id: str) -> str:
        feeder = self._picture.feeder(feeder_id)
        if feeder is None:
            return f"{feeder_id}: not known"
        way = "import" if feeder.load_kw >= 0.0 else "export"
        limit = feeder.import_limit_kw if feeder.load_kw >= 0.0 else feeder.export_limit_kw
        word = standing(abs(feeder.load_kw), limit)[0].lower()
        of = "no limit" if limit is None else f"limit {kw(limit)} kW set by {feeder.limit_source or 'nobody'}, {word}"
        return f"{feeder_id}: {way} {kw(abs(feeder.load_kw))} kW, {of}, mode {feeder.mode.value}"

    def _device_changes(self) -> None:
        fleet = self._picture.fleet
        now = {device_id: state_of(row) for device_id, row in zip(fleet.ids, fleet.rows, strict=True)}
        if self._states:
            others = [(one, state) for one, state in now.items() if self._states.get(one) != state]
            for device_id, state in others[:_AT_ONCE]:
                self._say(f"device {device_id}: {self._states.get(device_id, 'new')} to {state}")
            if len(others) > _AT_ONCE:
                self._say(f"and {count(len(others) - _AT_ONCE, 'device')} more changed")
        self._states = now

    def _hear_alarms(self, heard: Alarms) -> None:
        now = {alarm.alarm_id: alarm.state.value for alarm in heard.alarms}
        for alarm in heard.alarms:
            if self._alarms.get(alarm.alarm_id) != alarm.state.value:
                self._say(f"alarm {alarm.priority.value}, {alarm.state.value}: {alarm.alarm_id}: {alarm.cause}")
        for alarm_id in self._alarms.keys() - now.keys():
            self._say(f"alarm over: {alarm_id}")
        self._alarms, self._picture.alarms = now, heard.alarms

    async def _answer(self, asked: str) -> bool:
        """Answer a line; False: it is to end."""
        word, _, rest = asked.partition(" ")
        match word.lower():
            case "":
                pass
            case "quit" | "q" | "exit":
                return False
            case "help" | "?":
                self._lines([f"{name}: {words}" for name, words in _HELP])
            case "status":
                self._status()
            case "devices":
                self._devices(rest)
            case "alarms":
                alarms = self._picture.alarms
                self._lines([f"{one.priority.value}, {one.state.value}: {one.alarm_id}: {one.cause}; {one.response}"
                             for one in alarms] or ["no alarm"])  # fmt: skip
            case "events":
                self._events()
            case "why":
                await self._why(rest.strip())
            case _:
                self._say(f"{word!r} is not known; write help")
        return True

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._say(line)

    def _status(self) -> None:
        picture = self._picture
        self._say(f"connection: {picture.phase(time.monotonic()).value}")
        self._lines([self._feeder_line(feeder_id) for feeder_id in picture.feeder_ids()] or ["no feeder is known"])
        if picture.health is not None:
            for name, part in picture.health.parts.items():
                self._say(f"{name}: {part.state.value}{f', {part.detail}' if part.detail else ''}")
        self._say(f"alarms: {len(picture.open_alarms())}")

    def _devices(self, text: str) -> None:
        fleet = self._picture.fleet
        try:
            asked = query.parse(text)
        except UsageError as error:
            self._say(str(error))
            return
        now_s = self._picture.now(time.monotonic()).timestamp()
        kept = query.keep(asked, fleet, now_s=now_s, below=self._picture.below)
        order = fleet.order("id", down=False)
        found = [fleet.rows[at] for at in order.tolist() if kept[at]]
        self._say(count(len(found), "device"))
        for row in found[:_SHOWN]:
            soc = "" if row.get("soc") is None else f", SOC {percent(row['soc'])}"
            origin = "physical, " if row.get("origin") == "physical" else ""
            self._say(f"{row['device_id']}: {origin}{row.get('type')}, {state_of(row)}, "
                      f"actual {flow(row.get('p_actual_kw')).strip()}, "
                      f"setpoint {flow(setpoint_kw(row)).strip()}{soc}")  # fmt: skip
        if len(found) > _SHOWN:
            self._say(f"and {len(found) - _SHOWN} more; use a filter")

    def _events(self) -> None:
        now = self._picture.now(time.monotonic())
        open_ = [one for one in self._picture.events if one.state.value in ("active", "scheduled")]
        self._lines([
            f"{one.event_id}: {one.state.value}, {amount(one)}, "
            f"{day_clock(one.start, now)} to {day_clock(one.end, now)}"
            for one in open_
        ] or ["no event is active or scheduled"])  # fmt: skip

    async def _why(self, device_id: str) -> None:
        client = self._session.client if self._session is not None else None
        if client is None or not device_id:
            self._say("write why and a device's id" if not device_id else "there is no connection")
            return
        try:
            answer = await client.why(device_id)
        except DermsError as error:
            self._say(str(error))
            return
        self._say(answer.words)
        for bound in answer.bounds:
            if bound.binding:
                self._lines([f"binds: {bound.words}", *(f"remedy: {remedy}" for remedy in bound.remedies)])
