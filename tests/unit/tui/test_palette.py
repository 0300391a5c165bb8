import pytest

from derms.tui.palette import EDGES, MIN_CONTRAST, MIN_EDGE_CONTRAST, PALETTES, REVERSED, Palette, contrast


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1.0)
    # The example everybody quotes: #767676 on white just passes.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=lambda palette: palette.name)
def test_every_tone_can_be_read_on_everything_that_is_behind_it(palette: Palette) -> None:
    for tone in {*palette.tones, ""}:
        least = MIN_EDGE_CONTRAST if tone in EDGES else MIN_CONTRAST
        grounds = (palette.background,) if tone in EDGES else (palette.background, palette.bar, palette.cursor)
        for ground in grounds:
            found = contrast(palette.colour(tone), ground)
            assert found >= least, f"{palette.name}: {tone or 'text'} on {ground} is {found:.2f}"


@pytest.mark.parametrize("palette", PALETTES.values(), ids=lambda palette: palette.name)
def test_what_is_shown_reversed_can_be_read_too(palette: Palette) -> None:
    for tone in REVERSED:
        assert contrast(palette.background, palette.colour(tone)) >= MIN_CONTRAST, (palette.name, tone)
