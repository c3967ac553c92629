"""``mnv2deploy segment``: pictures in, masks out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Images, Json, Model, Offline, Provider, Quiet, Threads
from mnv2deploy.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.contract import Label
    from mnv2deploy.runtime.results import SegmentationResult

DEFAULT_MODEL = "deeplabv3-voc"


def segment(
    images: Images,
    model: Model = DEFAULT_MODEL,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write NAME.mask.png and the overlay into this folder, over those of an earlier run.",
        ),
    ] = ".",
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Draw the mask over the picture, with a legend.")
    ] = True,
    rle: Annotated[
        bool, typer.Option("--rle", help="Add COCO run-length encoded masks to the JSON: needs --json.")
    ] = False,
    threads: Threads = None,
    provider: Provider = "cpu",
    offline: Offline = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say of every pixel of pictures what it belongs to.

    A mask is a PNG whose pixel values are class ids, as large as the picture.
    """
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.pictures import PictureRun
    from mnv2deploy.media.sinks import plan_masks, plan_overlays, save_mask
    from mnv2deploy.runtime.pipeline import open_segmenter
    from mnv2deploy.runtime.session import Session

    if rle and not json:
        raise UsageError("--rle is a field of the JSON output; add --json.")
    run: PictureRun[SegmentationResult] = PictureRun(images, quiet=quiet, json=json)
    masks = plan_masks(output, run.names)
    overlays = plan_overlays(output, run.names) if overlay else []
    artifact = find_artifact(model, "segment", offline=offline, quiet=quiet)
    segmenter = open_segmenter(Session(artifact, threads=threads, provider=provider))
    palette = _palette(segmenter.contract.labels)
    run.add_files("mask", "mask in", masks, lambda path, _, result: save_mask(path, result.mask, palette))
    if overlay:
        run.add_files("overlay", "overlay in", overlays, _save_overlay)
    run(segmenter, to_json=_to_json_with_rle if rle else _to_json, to_text=_to_text)


def _palette(labels: Iterable[Label]) -> dict[int, tuple[int, int, int]]:
    from mnv2deploy.media.drawing import mask_colour

    return {label.class_id: mask_colour(label.name, label.class_id, label.colour) for label in labels}


def _save_overlay(path: Path, picture: NDArray[np.uint8], result: SegmentationResult) -> None:
    from mnv2deploy.media.draw_segmentation import draw_segmentation
    from mnv2deploy.media.sinks import save

    save(path, draw_segmentation(picture, result))


def _to_json(result: SegmentationResult) -> dict[str, Any]:
    return result.to_json()


def _to_json_with_rle(result: SegmentationResult) -> dict[str, Any]:
    import numpy as np

    from mnv2deploy.runtime.rle import encode_rle

    document = result.to_json()
    mask = np.asfortranarray(result.mask)
    for one in document["segments"]:
        one["rle"] = encode_rle(mask == one["class_id"])
    return document


def _to_text(result: SegmentationResult) -> str:
    from mnv2deploy.cli.table import format_table

    rows = [[f"  {one.label}", str(one.pixels), f"{one.share:.1%}"] for one in result.segments]
    return f"{result.width}x{result.height}\n" + format_table(["  LABEL", "PIXELS", "SHARE"], rows, right=[1, 2])
