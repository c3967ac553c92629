"""``mnv2deploy detect``: pictures in, labelled boxes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.runtime.results import DetectionResult

DEFAULT_MODEL = "ssdlite-coco"


def detect(
    images: Annotated[
        list[str], typer.Argument(metavar="IMG...", help="Picture files, or folders of them.", show_default=False)
    ],
    model: Annotated[
        str, typer.Option(metavar="FILE_OR_NAME", help="An artifact, or a model of the catalog (built on first use).")
    ] = DEFAULT_MODEL,
    score: Annotated[
        float | None, typer.Option(help="Least score shown, 0 to 1.  [default: the model's, 0.5]", show_default=False)
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            help="Overlap above which boxes of a class are one.  [default: the model's, 0.6]", show_default=False
        ),
    ] = None,
    max_detections: Annotated[
        int | None, typer.Option(help="At most so many a picture.  [default: the model's, 100]", show_default=False)
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Only these classes.  [default: all]", show_default=False)
    ] = "",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PICTURE_OR_DIR", help="Draw the boxes and write the pictures here."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads for one picture.  [default: every processor]", show_default=False)
    ] = None,
    provider: Annotated[str, typer.Option(help="Execution provider of onnxruntime.")] = "cpu",
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, one object a picture.")] = False,
) -> None:
    """Detect objects in pictures."""
    import mnv2deploy
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.pictures import PictureRun

    run: PictureRun[DetectionResult] = PictureRun(images, output=output, quiet=quiet, json=json)
    detector = mnv2deploy.load(
        find_artifact(model, offline=offline, quiet=quiet),
        threads=threads,
        provider=provider,
        score=score,
        iou=iou,
        max_detections=max_detections,
        classes=[name.strip() for name in classes.split(",") if name.strip()],
    )
    run(detector, to_json=_to_json, to_text=_to_text, draw=_draw)


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
    from mnv2deploy.media.drawing import draw_detections

    return draw_detections(picture, result)
