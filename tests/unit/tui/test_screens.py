"""The pictures in docs/screens are what the program draws now; `scripts/screenshots` makes them."""

from tests.screens import DIRECTORY, SCREENS, draw_all


async def test_every_screen_is_drawn_as_its_picture_shows_it() -> None:
    drawn = await draw_all()
    assert sorted(drawn) == sorted(screen.name for screen in SCREENS) == sorted(one.stem for one in DIRECTORY.iterdir())
    others = [name for name, svg in drawn.items() if (DIRECTORY / f"{name}.svg").read_text(encoding="utf-8") != svg]
    assert not others, "look at them; where they are meant, run scripts/screenshots"
