from __future__ import annotations

import numpy as np
import pytest

from mnv2deploy.media.drawing import class_colour, drawable, mask_colour, text_colour

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_colours_are_stable_and_differ() -> None:
    colours = np.array([class_colour(class_id) for class_id in range(91)])
    assert class_colour(1) == class_colour(1)
    assert len(np.unique(colours, axis=0)) == 91
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 150  # neighbouring ids are far apart


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """WCAG 2.2, written down independently: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    light = []
    for colour in (one, other):
        part = np.array(colour) / 255
        light.append(
            float(np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
        )
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("class_id", range(91))
def test_text_is_readable_on_every_classs_plate(class_id: int) -> None:
    plate = class_colour(class_id)
    chosen = text_colour(plate)
    assert chosen in (BLACK, WHITE)
    assert contrast(chosen, plate) == max(contrast(BLACK, plate), contrast(WHITE, plate)) >= 4.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("traffic light", "traffic light"),
        ("señor café", "senor cafe"),  # accents go
        ("ﬁsh", "fish"),  # ligatures are spelled out
        ("собака", "??????"),
        ("two\nlines\tand  tabs", "two lines and tabs"),
    ],
)
def test_an_ascii_font_gets_ascii(text: str, expected: str) -> None:
    assert drawable(text, ascii_only=True) == expected


def test_a_unicode_font_gets_the_label_itself() -> None:
    assert drawable("собака\n犬", ascii_only=False) == "собака 犬"


@pytest.mark.parametrize(
    ("label", "own", "expected"),
    [
        ("cat", (64, 0, 0), (64, 0, 0)),
        ("cat", None, class_colour(8)),
        ("background", None, BLACK),
        ("background", (9, 9, 9), (9, 9, 9)),
        ("cat", BLACK, BLACK),  # black is a colour too
    ],
)
def test_a_mask_has_the_data_sets_colours_where_it_has_some(label, own, expected) -> None:
    assert mask_colour(label, 8, own) == expected
