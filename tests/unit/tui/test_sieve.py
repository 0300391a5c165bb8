import random
import re

import pytest

from derms.tui.sieve import Sieve, ascii_of


def test_the_same_colours_are_written_once() -> None:
    sieve = Sieve()
    style = "\x1b[1;38;2;1;2;3;48;2;4;5;6m"
    assert sieve.passed(f"\x1b[1;1H{style}a\x1b[0m{style}b\x1b[0m") == "\x1b[1;1H\x1b[1;38;2;1;2;3;48;2;4;5;6mab"
    # Another foreground alone: what is behind it is not written again.
    assert sieve.passed("\x1b[1;38;2;9;9;9;48;2;4;5;6mc\x1b[0m") == "\x1b[38;2;9;9;9mc"


def test_an_attribute_that_goes_is_taken_back() -> None:
    sieve = Sieve()
    assert sieve.passed("\x1b[1;1H\x1b[1;31mx\x1b[0;31my\x1b[0mz") == "\x1b[1;1H\x1b[1;31mx\x1b[0;31my\x1b[mz"


def test_only_cells_that_are_others_are_written() -> None:
    sieve = Sieve()
    sieve.passed("\x1b[3;1Hload   12.0 kW and a long way to the end ok")
    assert sieve.passed("\x1b[3;1Hload   12.5 kW and a long way to the end ok") == "\x1b[3;11H5"
    assert sieve.passed("\x1b[3;1Hload   12.5 kW and a long way to the end ok") == ""
    assert sieve.passed("\x1b[3;8H\x1b[1m12.5\x1b[0m") == "\x1b[3;8H\x1b[1m12.5"
    assert sieve.reset() == "\x1b[m"
    assert sieve.reset() == ""


@pytest.mark.parametrize("wipe", ["\x1b[2J", "\x1b[?1049h", "\x1b[K"])
def test_what_is_wiped_is_written_again(wipe: str) -> None:
    sieve = Sieve()
    sieve.passed("\x1b[1;1Hhello")
    assert sieve.passed(f"{wipe}\x1b[1;1Hhello") == f"{wipe}\x1b[1;1Hhello"
    sieve.forget()
    assert sieve.passed("\x1b[1;1Hhello") == "\x1b[1;1Hhello"


def test_sequences_that_steer_the_terminal_pass_whole() -> None:
    for sequence in ("\x1b[?2026h", "\x1b[?1000h", "\x1b]52;c;aGk=\a", "\x1b[>1u", "\x1b[?25l", "\x1b[6n"):
        assert Sieve(ascii_only=True, colour=False).passed(sequence) == sequence


def test_whatever_is_written_the_terminal_shows_the_same_as_without_a_sieve() -> None:
    rng = random.Random(7)
    sieve, plain, sieved = Sieve(), _Terminal(), _Terminal()
    for _ in range(400):
        row, column = rng.randrange(5), rng.randrange(30)
        style = rng.choice(["", "\x1b[1m", "\x1b[31m", "\x1b[38;2;1;2;3;48;2;4;5;6m", "\x1b[0;7m"])
        text = "".join(rng.choice("ab ●日") for _ in range(rng.randrange(1, 9)))
        data = f"\x1b[{row + 1};{column + 1}H{style}{text}\x1b[0m" + rng.choice(["", "x", "\n"])
        plain.take(data)
        sieved.take(sieve.passed(data))
        assert sieved.cells == plain.cells


class _Terminal:
    """As much of a terminal as this needs."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, str]] = {}
        self._row = self._column = 0
        self._attributes: dict[str, str] = {}

    def take(self, data: str) -> None:
        for parameters, kind, text in re.findall(r"\x1b\[([0-9;]*)([Hm])|([^\x1b])", data):
            if kind == "H":
                self._row, self._column = (int(one) - 1 for one in parameters.split(";"))
            elif kind == "m":
                self._look(parameters)
            elif text == "\n":
                self._row, self._column = self._row + 1, 0
            else:
                wide = text == "日"
                self.cells[self._row, self._column] = (text, ";".join(sorted(self._attributes.values())))
                if wide:
                    self.cells[self._row, self._column + 1] = ("", "")
                self._column += 2 if wide else 1

    def _look(self, parameters: str) -> None:
        for code in re.findall(r"[34]8;2;\d+;\d+;\d+|\d+", parameters or "0"):
            if code == "0":
                self._attributes = {}
            else:
                self._attributes["38" if code == "31" else code[:2] if ";" in code else code] = code


@pytest.mark.parametrize("code", ["31", "38;5;200", "38;2;1;2;3", "48;2;1;2;3", "97", "104", "49"])
def test_without_colour_no_colour_passes_but_attributes_do(code: str) -> None:
    sieve = Sieve(colour=False)
    assert sieve.passed(f"\x1b[1;1H\x1b[1;{code};7mx\x1b[0m") == "\x1b[1;1H\x1b[1;7mx"


def test_ascii_has_the_likeness_of_what_it_replaces_and_nothing_beyond_127() -> None:
    assert ascii_of("╭─ ▲ ● → …") == "+- ^ * > ~"
    assert Sieve(ascii_only=True).passed("\x1b[31m日é█").isascii()
    everything = "".join(map(chr, range(32, 0x3000)))
    assert ascii_of(everything).isascii()
    assert len(ascii_of(everything)) == len(everything)
