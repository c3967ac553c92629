from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.quantization import augmentation
from mnv2deploy.quantization.augmentation import augmented, crop
from mnv2deploy.runtime import images


def numbered(height: int, width: int) -> np.ndarray:
    """A picture whose pixels say where they are."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, (rows + columns) % 256], 2).astype(np.uint8)


def placed(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A crop in the colours of the picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "_MOST_CHANGE", 0.0)
        return crop(image, random)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 10**6))
def test_a_crop_is_a_part_of_the_picture_or_its_mirror_image(height: int, width: int, seed: int) -> None:
    image = numbered(height, width)
    found = placed(image, np.random.default_rng(seed))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    rows, columns = found.shape[:2]
    if columns > 1 and found[0, 0, 1] > found[0, 1, 1]:
        found = found[:, ::-1]
    top, left = int(found[0, 0, 0]), int(found[0, 0, 1])
    np.testing.assert_array_equal(found, image[top : top + rows, left : left + columns])


def test_crops_keep_most_of_a_picture_in_shape_and_mirror_half() -> None:
    random = np.random.default_rng(0)
    found = [placed(numbered(200, 150), random) for _ in range(300)]
    areas = np.array([part.shape[0] * part.shape[1] / (200 * 150) for part in found])
    stretches = np.array([part.shape[0] / part.shape[1] * 150 / 200 for part in found])
    assert areas.min() > 0.49
    assert areas.min() < 0.55
    assert areas.max() > 0.95
    assert stretches.min() > 1 / 1.27
    assert stretches.max() < 1.27
    assert stretches.max() > 1.15
    mirrored = sum(part[0, 0, 1] > part[0, -1, 1] for part in found)
    assert 120 < mirrored < 180
    # every side of the picture is seen
    assert {int(part[..., 0].min()) for part in found} >= {0, 10, 20}
    assert max(int(part[..., 0].max()) for part in found) == 199


def test_colours_change_a_little_and_alike_everywhere() -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    mean = []
    for seed in range(40):
        there = placed(image, np.random.default_rng(seed))
        found = crop(image, np.random.default_rng(seed))
        assert found.shape == there.shape
        change = found.astype(int) - there
        assert np.abs(change).max() <= 26  # a tenth of half the range in contrast, and as much in brightness
        mean.append(change.mean())
        for channel in range(3):  # a brighter value never comes out the darker
            order = np.argsort(there[..., channel], axis=None)
            assert (np.diff(found[..., channel].ravel()[order].astype(int)) >= 0).all()
    assert np.std(mean) > 3


@pytest.fixture
def paths(photos: dict[str, Path]) -> list[Path]:
    return [photos[name] for name in ("astronaut.png", "chelsea.png", "coffee.png")]


def test_the_same_seed_gives_the_same_crops_and_another_gives_others(paths: list[Path]) -> None:
    first, again, other = (list(itertools.islice(augmented(paths, seed), 4)) for seed in (7, 7, 8))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_every_picture_comes_once_before_any_comes_again(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def read(path: Path) -> np.ndarray:
        seen.append(path)
        return numbered(20, 20)

    monkeypatch.setattr(images, "read", read)
    list(itertools.islice(augmented(paths, 0), 30))
    for begin in range(0, 30, 3):
        assert Counter(seen[begin : begin + 3]) == Counter(paths)
    assert len({tuple(seen[begin : begin + 3]) for begin in range(0, 30, 3)}) > 1
