from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.quantization.augmentation import augmented, crop
from mnv2deploy.runtime import images


def numbered(height: int, width: int) -> np.ndarray:
    """A picture whose pixels say where they are."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, (rows + columns) % 256], 2).astype(np.uint8)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 10**6))
def test_a_crop_is_a_part_of_the_picture_or_its_mirror_image(height: int, width: int, seed: int) -> None:
    image = numbered(height, width)
    found = crop(image, np.random.default_rng(seed))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    rows, columns = found.shape[:2]
    if columns > 1 and found[0, 0, 1] > found[0, 1, 1]:
        found = found[:, ::-1]
    top, left = int(found[0, 0, 0]), int(found[0, 0, 1])
    np.testing.assert_array_equal(found, image[top : top + rows, left : left + columns])


def test_crops_keep_most_of_a_picture_in_shape_and_mirror_half() -> None:
    random = np.random.default_rng(0)
    found = [crop(numbered(200, 150), random) for _ in range(300)]
    areas = np.array([part.shape[0] * part.shape[1] / (200 * 150) for part in found])
    stretches = np.array([part.shape[0] / part.shape[1] * 150 / 200 for part in found])
    assert areas.min() > 0.39
    assert areas.min() < 0.45
    assert areas.max() > 0.95
    assert stretches.min() > 1 / 1.27
    assert stretches.max() < 1.27
    assert stretches.max() > 1.15
    mirrored = sum(part[0, 0, 1] > part[0, -1, 1] for part in found)
    assert 120 < mirrored < 180
    # every side of the picture is seen
    assert {int(part[..., 0].min()) for part in found} >= {0, 10, 20}
    assert max(int(part[..., 0].max()) for part in found) == 199


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
