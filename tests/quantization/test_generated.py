from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from mnv2deploy.errors import UsageError
from mnv2deploy.quantization.generated import make_texture, write_pictures
from mnv2deploy.runtime import images


class Heard:
    def __init__(self) -> None:
        self.said: list[object] = []

    def start(self, description: str, total: int | None) -> None:
        self.said.append((description, total))

    def update(self, done: int) -> None:
        self.said.append(done)

    def stop(self) -> None: ...


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_pictures(tmp_path_factory.mktemp("generated"), count=12)


def test_pictures_are_readable_and_unlike_one_another(pictures: list[Path]) -> None:
    found = [images.read(path) for path in pictures]
    assert {image.shape for image in found} == {(320, 320, 3)}
    assert len({image.tobytes() for image in found}) == len(pictures) == len(set(pictures))
    assert [path.name for path in pictures] == sorted(path.name for path in pictures)


def test_the_same_seed_writes_the_same_bytes_and_another_writes_others(pictures: list[Path], tmp_path: Path) -> None:
    again = write_pictures(tmp_path / "a" / "b", count=2)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in pictures[:2]]
    (other,) = write_pictures(tmp_path / "c", count=1, seed=1)
    assert other.read_bytes() != pictures[0].read_bytes()


def test_pictures_have_edges_and_a_spectrum_like_photos(pictures: list[Path], photos: dict[str, Path]) -> None:
    grey = [images.read(path).mean(2) for path in pictures]
    # the amplitude of photos falls as about 1 / frequency (Field 1987; 0.8 to 1.5 of single ones); white noise: 0
    slopes = [slope(image) for image in grey]
    natural = [slope(images.read(photos[name]).mean(2)) for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    assert min(natural) - 0.6 < np.mean(slopes) < max(natural) + 0.3
    # differences of neighbours: many next to nothing, a few very large, where Gaussian noise has a kurtosis of 3
    kurtosis = []
    for image in grey:
        step = np.diff(image, axis=1).ravel()
        kurtosis.append((step**4).mean() / np.square(step).mean() ** 2)
    assert np.median(kurtosis) > 6


def slope(image: np.ndarray) -> float:
    """How fast the amplitude falls with frequency, on a doubly logarithmic scale."""
    size = 256
    window = np.hanning(size)
    power = np.abs(np.fft.fft2((image[:size, :size] - image[:size, :size].mean()) * window * window[:, None])) ** 2
    frequency = np.hypot(np.fft.fftfreq(size), np.fft.fftfreq(size)[:, None])
    bands = np.geomspace(4 / size, 0.35, 9)
    held = [power[(frequency >= a) & (frequency < b)].mean() for a, b in itertools.pairwise(bands)]
    return float(-np.polyfit(np.log(np.sqrt(bands[:-1] * bands[1:])), np.log(held), 1)[0] / 2)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_a_texture_has_the_spectrum_asked_for(exponent: float) -> None:
    texture = make_texture(np.random.default_rng(0), exponent)
    assert texture.mean() == pytest.approx(0, abs=1e-3)
    assert texture.std() == pytest.approx(1, abs=1e-3)
    assert slope(texture) == pytest.approx(exponent, abs=0.15)


def test_all_brightness_and_colour_are_there(pictures: list[Path]) -> None:
    found = np.stack([images.read(path) for path in pictures])
    assert np.histogram(found, 8, (0, 256))[0].min() > 0.02 * found.size
    chroma = np.ptp(found.astype(int), axis=-1)
    assert 5 < np.median(chroma) < 60  # most near grey
    assert np.percentile(chroma, 98) > 80  # some are not


def test_progress_hears_of_every_picture(tmp_path: Path) -> None:
    heard = Heard()
    write_pictures(tmp_path, count=2, progress=heard)
    assert heard.said == [("Generating pictures", 2), 1, 2]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made a folder"):
        write_pictures(tmp_path / "file" / "in", count=1)
