import pytest

from derms.tui.sieve import Sieve, ascii_of


def test_the_same_colours_are_written_once() -> None:
    sieve = Sieve()
    style = "\x1b[1;38;2;1;2;3;48;2;4;5;6m"
    assert sieve.passed(f"{style}a\x1b[0m{style}b\x1b[0m") == "\x1b[1;38;2;1;2;3;48;2;4;5;6mab"
    # Another foreground alone: what is behind it is not written again.
    assert sieve.passed("\x1b[1;38;2;9;9;9;48;2;4;5;6mc\x1b[0m") == "\x1b[38;2;9;9;9mc"


def test_an_attribute_that_goes_is_taken_back() -> None:
    sieve = Sieve()
    assert sieve.passed("\x1b[1;31mx\x1b[0;31my\x1b[0mz") == "\x1b[1;31mx\x1b[0;31my\x1b[mz"


def test_movements_change_no_colour_and_wait_for_none() -> None:
    sieve = Sieve()
    assert sieve.passed("\x1b[31m\x1b[3;4H") == "\x1b[3;4H"
    assert sieve.passed("a") == "\x1b[31ma"
    assert sieve.reset() == "\x1b[m"
    assert sieve.reset() == ""


@pytest.mark.parametrize("code", ["31", "38;5;200", "38;2;1;2;3", "48;2;1;2;3", "97", "104", "49"])
def test_without_colour_no_colour_passes_but_attributes_do(code: str) -> None:
    sieve = Sieve(colour=False)
    assert sieve.passed(f"\x1b[1;{code};7mx\x1b[0m") == "\x1b[1;7mx"


def test_ascii_has_the_likeness_of_what_it_replaces_and_nothing_beyond_127() -> None:
    assert ascii_of("╭─ ▲ ● → …") == "+- ^ * > ~"
    assert Sieve(ascii_only=True).passed("\x1b[31m日é█").isascii()
    everything = "".join(map(chr, range(32, 0x3000)))
    assert ascii_of(everything).isascii()
    assert len(ascii_of(everything)) == len(everything)
