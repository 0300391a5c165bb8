"""The pictures in docs/screens are what the program draws now; `scripts/screenshots` makes them."""

import pytest

from tests.screens import SCREENS, Screen, drawn, path_of


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
async def test_a_screen_is_drawn_as_its_picture_shows_it(screen: Screen) -> None:
    assert path_of(screen).read_text(encoding="utf-8") == await drawn(screen)
