"""Pictures from nothing, for calibration without any: what photos share whatever they show.

The dead leaves model: opaque shapes that cover one another, their radii spread as r ** -3, give the edges, the
occlusion and the 1/f spectrum of natural pictures (Lee, Mumford and Huang 2001, "Occlusion models for natural images";
networks learn to see from them: Baradad et al. 2021, arXiv 2106.05963).

MobileNetV2 in eight bits, its ranges (minmax) from 48 pictures, answers 150 photos with an SQNR of 15.7 dB where these
pictures are leaves, 14.7 dB leaves and 1/f noise by half, 5.0 dB 1/f noise, 2.4 dB uniform noise and 20.1 dB photos.
What leaves lack is the features that only things excite. Ranges from them want a margin: with extents doubled before
equalization and ranges half as wide again after it, 18.9 dB (96 pictures: 19.5).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.files import make_folder, write_atomically
from mnv2deploy.progress import SILENT, Progress

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_SIZE = 320  # pixels, of a side
_TEXTURES = 24
# Amplitude of textures falls as frequency ** -exponent: a photo's with 1 (Field 1987); 0.5 is rough, 2 is smooth.
_EXPONENTS = (0.5, 2.0)
_LEAST_RADII = (3.0, 25.0)  # pixels: from gravel to furniture
_COVERAGES = (0.5, 3.0)  # leaves' areas as a multiple of the picture's: from things apart to nothing behind them seen


def write_pictures(folder: Path, *, count: int = 96, seed: int = 0, progress: Progress = SILENT) -> list[Path]:
    """Writes PNG files of 320 x 320 pixels, the same bytes for the same seed.

    Args:
        folder: Made where it is missing.
        count: How many.
        seed: Of everything drawn at random.
        progress: Told of every picture.

    Returns:
        Their paths, in the order they were made.

    Raises:
        UsageError: they cannot be written there.
    """
    make_folder(folder)
    random = np.random.default_rng(seed)
    textures = [make_texture(random, random.uniform(*_EXPONENTS)) for _ in range(_TEXTURES)]
    progress.start("Generating pictures", count)
    paths = []
    for index in range(count):
        image = make_picture(random, textures)
        encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_PNG_COMPRESSION, 1))[1]
        paths.append(folder / f"generated-{index:03d}.png")
        write_atomically(paths[-1], encoded.tobytes())
        progress.update(index + 1)
    return paths


def make_picture(random: np.random.Generator, textures: list[Floats]) -> Image:
    """(320, 320, 3) uint8: leaves from the back to the front, under uneven light, a little out of focus."""
    base = _colour(random)
    canvas = _paint(textures[random.integers(len(textures))], base, random)
    sharing = random.uniform(0.2, 1.0)  # a picture's colours resemble one another
    for radius in _radii(random):
        colour = base + sharing * (_colour(random) - base)
        _add_leaf(canvas, radius, colour, textures, random)
    light = cv2.GaussianBlur(textures[random.integers(len(textures))], (0, 0), _SIZE / 6)
    canvas *= 1 + random.uniform(0, 0.7) * light[..., None]
    seen = cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.3, 1.2))
    grain = random.normal(0, random.uniform(0, 6), canvas.shape)
    return np.clip(np.rint(seen + grain), 0, 255).astype(np.uint8)


def make_texture(random: np.random.Generator, exponent: float) -> Floats:
    """(320, 320) noise of mean 0 and deviation 1 whose amplitude falls as frequency ** -exponent."""
    across, down = np.fft.rfftfreq(_SIZE), np.fft.fftfreq(_SIZE)
    frequency = np.hypot(across, down[:, None])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(random.standard_normal((_SIZE, _SIZE))) * frequency**-exponent
    noise = np.fft.irfft2(spectrum, (_SIZE, _SIZE))
    return np.asarray(noise / noise.std(), np.float32)


def _radii(random: np.random.Generator) -> Floats:
    """As many as cover the picture, spread as r ** -3: the density at which all sizes cover alike."""
    least, greatest = np.exp(random.uniform(*np.log(_LEAST_RADII))), _SIZE / 2
    area = 2 * np.pi * least**2 * np.log(greatest / least)  # of a leaf in the mean
    share = random.random(int(random.uniform(*_COVERAGES) * _SIZE**2 / area) + 1)
    return np.asarray((least**-2 - share * (least**-2 - greatest**-2)) ** -0.5, np.float32)


def _add_leaf(
    canvas: Floats, radius: float, colour: Floats, textures: list[Floats], random: np.random.Generator
) -> None:
    """Paints one shape, an ellipse or a polygon, plain or textured."""
    reach = int(np.ceil(radius * 1.5)) + 1
    centre = random.integers(0, _SIZE, 2)
    top, left = np.maximum(centre - reach, 0)
    bottom, right = np.minimum(centre + reach, _SIZE)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    outline = _outline(radius, random) + (centre[::-1] - (left, top))
    cv2.fillPoly(mask, [np.rint(outline * 8).astype(np.int32)], 255, cv2.LINE_AA, shift=3)
    part = canvas[top:bottom, left:right]
    painted: Floats = colour
    if radius > 6 and random.random() < 0.6:
        texture = textures[random.integers(len(textures))]
        painted = _paint(texture[top:bottom, left:right], colour, random)
    cover = mask[..., None].astype(np.float32) / 255
    part += cover * (painted - part)


def _outline(radius: float, random: np.random.Generator) -> Floats:
    """(N, 2) corners about the origin: of an ellipse, or of a polygon with three to eight corners."""
    smooth = random.random() < 0.5
    corners = 24 if smooth else int(random.integers(3, 9))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners)) if not smooth else np.linspace(0, 2 * np.pi, corners)
    stretch = np.exp(random.uniform(-0.4, 0.4))
    points = radius * np.stack([np.cos(angles) * stretch, np.sin(angles) / stretch], 1)
    turn = random.uniform(0, np.pi)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ matrix, np.float32)


def _paint(texture: Floats, colour: Floats, random: np.random.Generator) -> Floats:
    """(H, W, 3): a colour, varied along a direction of its own."""
    strength = random.uniform(5, 60)
    tint = 1 + 0.3 * random.standard_normal(3)
    return np.asarray(colour + texture[..., None] * (strength * tint), np.float32)


def _colour(random: np.random.Generator) -> Floats:
    """(3,) RGB: any brightness, most colours near grey."""
    brightness = random.uniform(0, 255)
    chroma = random.standard_normal(3) * random.exponential(30)
    return np.asarray(np.clip(brightness + chroma, 0, 255), np.float32)
