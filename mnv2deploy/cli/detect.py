"""``mnv2deploy detect``: pictures in, labelled boxes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Drawings, Images, Json, Model, Offline, Provider, Quiet, Threads
from mnv2deploy.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.runtime.results import DetectionResult

DEFAULT_MODEL = "ssdlite-coco"


def detect(
    images: Images,
    model: Model = DEFAULT_MODEL,
    score: Annotated[
        float | None, typer.Option(help="Least score shown, 0 to 1.  [default: the model's, 0.5]", show_default=False)
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            help="NMS: overlap above which boxes of a class are one.  [default: the model's, 0.6]", show_default=False
        ),
    ] = None,
    max_detections: Annotated[
        int | None, typer.Option(help="At most so many a picture.  [default: the model's, 100]", show_default=False)
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME", help="Only these classes; may be repeated.  [default: all]", show_default=False
        ),
    ] = None,
    output: Drawings = None,
    threads: Threads = None,
    provider: Provider = "cpu",
    offline: Offline = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Detect objects in pictures."""
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.pictures import PictureRun
    from mnv2deploy.runtime.pipeline import open_detector
    from mnv2deploy.runtime.session import Session

    run: PictureRun[DetectionResult] = PictureRun(images, quiet=quiet, json=json)
    run.add_drawings(output, _draw)
    artifact = find_artifact(model, "detect", offline=offline, quiet=quiet)
    detector = open_detector(
        Session(artifact, threads=threads, provider=provider),
        score=score,
        iou=iou,
        max_detections=max_detections,
        classes=_names(classes or []),
    )
    run(detector, to_json=_to_json, to_text=_to_text)


def _names(lists: list[str]) -> list[str]:
    names = [name.strip() for names in lists for name in names.split(",")]
    if "" in names:
        raise UsageError("--classes has an empty name; leave the option out for all classes.")
    return names


def _to_json(result: DetectionResult) -> dict[str, Any]:
    return result.to_json()


def _to_text(result: DetectionResult) -> str:
    from mnv2deploy.cli.table import format_table

    size = f"{result.width}x{result.height}"
    if not result.detections:
        return f"{size}  nothing found"
    rows = [
        [f"  {detection.label}", f"{detection.score:.2f}", *(f"{side:.0f}" for side in detection.box)]
        for detection in result.detections
    ]
    return f"{size}\n" + format_table(["  LABEL", "SCORE", "X1", "Y1", "X2", "Y2"], rows, right=[1, 2, 3, 4, 5])


def _draw(picture: NDArray[np.uint8], result: DetectionResult) -> NDArray[np.uint8]:
    from mnv2deploy.media.draw_detections import draw_detections

    return draw_detections(picture, result)
