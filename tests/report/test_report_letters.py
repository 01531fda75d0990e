"""The letters that a PDF embeds."""

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.font_manager import findfont

from regnet.report.figures import letters, style


def cut(text: str) -> TTFont:
    """As matplotlib cuts them."""
    options = subset.Options(glyph_names=True)
    font = subset.load_font(findfont(style.FONT), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    return font


def test_letters_are_the_same_without_the_rules_by_which_they_are_joined():
    text = "AVÄé½ 0.001 λ·Σ|w|"
    with cut(text) as usual, letters.without_rules(), cut(text) as plain:
        assert set(letters.RULES) & set(usual.keys())
        assert not set(letters.RULES) & set(plain.keys())
        for name in {usual.getBestCmap()[ord(letter)] for letter in text}:
            assert plain["glyf"][name] == usual["glyf"][name]
            assert plain["hmtx"][name] == usual["hmtx"][name]


def test_elsewhere_fonts_are_read_as_ever():
    load = subset.load_font
    with letters.without_rules():
        assert subset.load_font is not load
    assert subset.load_font is load
