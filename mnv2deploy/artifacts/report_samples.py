"""The sample pictures of a report: small copies with the answers of several artifacts drawn in and said in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from mnv2deploy.media.draw_classification import draw_classification
from mnv2deploy.media.draw_detections import draw_detections
from mnv2deploy.media.draw_segmentation import draw_segmentation
from mnv2deploy.media.drawing import BACKGROUND, Image
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.results import ClassificationResult, DetectionResult, SegmentationResult
from mnv2deploy.runtime.session import Session

Result = ClassificationResult | DetectionResult | SegmentationResult

MOST_SAMPLES = 6
# Pixels of the longer side, and bytes: six pictures answered twice make a page of less than half a megabyte.
_SIDE, _MOST_BYTES = 480, 40_000
_QUALITIES = (85, 75, 65, 55, 45, 35, 25, 15, 5)
# Of an answer in words; the rest is counted.
_MOST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what artifacts answer.

    Attributes:
        picture: Name of its file.
        drawings: Of each artifact its name, the picture with the answer drawn in as JPEG, and the answer in words.
    """

    picture: str
    drawings: tuple[tuple[str, bytes, str], ...]


def choose_pictures(pictures: Sequence[Path], differing: Collection[str]) -> list[Path]:
    """The pictures to show: those answered differently in their order, then the others in theirs.

    Args:
        pictures: To choose from.
        differing: Names of some of them, the least alike first, see `manifest.Agreement`.
    """
    names = [PurePath(name).name for name in differing]
    first = sorted((path for path in pictures if path.name in names), key=lambda path: names.index(path.name))
    return [*first, *(path for path in pictures if path.name not in names)][:MOST_SAMPLES]


def draw_samples(artifacts: Mapping[str, Path], pictures: Sequence[Path], progress: Progress = SILENT) -> list[Sample]:
    """Answers every picture with every artifact, on one thread: the same bytes on every run.

    Args:
        artifacts: Their ``.onnx`` files by name, in the order they are shown in.
        pictures: Files.
        progress: Told how many answers are drawn.

    Raises:
        InputError: a picture cannot be read.
        ModelError: a file is no artifact.
    """
    pipelines = {name: open_pipeline(Session(path, threads=1)) for name, path in artifacts.items()}
    progress.start("Drawing sample pictures", len(pictures) * len(artifacts))
    samples: list[Sample] = []
    for path in pictures:
        image = images.read(path)
        drawings = []
        for name, pipeline in pipelines.items():
            result = pipeline(image)
            drawings.append((name, encode_jpeg(draw_small(image, result)), in_words(result)))
            progress.update(len(samples) * len(artifacts) + len(drawings))
        samples.append(Sample(path.name, tuple(drawings)))
    progress.stop()
    return samples


def draw_small(image: Image, result: Result) -> Image:
    """Draws an answer into a copy of at most 480 pixels: so lines and letters are as large as they are meant.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        result: What was answered for it.
    """
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    shrunk = _shrink(result, *size)
    if isinstance(shrunk, DetectionResult):
        return draw_detections(small, shrunk)
    return (
        draw_segmentation(small, shrunk)
        if isinstance(shrunk, SegmentationResult)
        else draw_classification(small, shrunk)
    )


def _shrink(result: Result, width: int, height: int) -> Result:
    """The answer as it is for the same picture of another size."""
    if isinstance(result, DetectionResult):
        across, down = width / result.width, height / result.height
        detections = tuple(
            dataclasses.replace(
                one, box=(one.box[0] * across, one.box[1] * down, one.box[2] * across, one.box[3] * down)
            )
            for one in result.detections
        )
        return DetectionResult(width, height, detections)
    if isinstance(result, SegmentationResult):
        rows, columns = (
            (np.arange(new) + 0.5) * old / new for new, old in ((height, result.height), (width, result.width))
        )
        mask = result.mask[rows.astype(int)[:, None], columns.astype(int)]
        return dataclasses.replace(result, width=width, height=height, mask=mask)
    return dataclasses.replace(result, width=width, height=height)


def encode_jpeg(image: Image) -> bytes:
    """A JPEG of the best quality that stays below 40 kB.

    Args:
        image: `(H, W, 3)` uint8 RGB, at most 480 pixels a side.
    """
    import cv2

    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = b""
    for quality in _QUALITIES:
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(encoded) < _MOST_BYTES:
            break
    return encoded


def in_words(result: Result) -> str:
    """An answer as a line of text: labels with their scores, or with their shares of the picture."""
    if isinstance(result, ClassificationResult):
        said = [f"{one.label} {one.score:.2f}" for one in result.classes]
    elif isinstance(result, DetectionResult):
        said = [f"{one.label} {one.score:.2f}" for one in result.detections]
    else:
        said = [f"{one.label} {_percent(one.share)}" for one in result.segments if one.label != BACKGROUND]
    rest = len(said) - _MOST_WORDS
    return ", ".join(said[:_MOST_WORDS]) + (f" and {rest} more" if rest > 0 else "") or "nothing found"


def _percent(share: float) -> str:
    return "<0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"
