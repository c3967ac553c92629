"""``mnv2deploy classify``: pictures in, what they show out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Drawings, Images, Json, Model, Offline, Provider, Quiet, Threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.runtime.results import ClassificationResult

DEFAULT_MODEL = "mobilenet-v2"


def classify(
    images: Images,
    model: Model = DEFAULT_MODEL,
    top: Annotated[
        int | None, typer.Option(help="So many classes a picture.  [default: the model's, 5]", show_default=False)
    ] = None,
    output: Drawings = None,
    threads: Threads = None,
    provider: Provider = "cpu",
    offline: Offline = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say what pictures show."""
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.pictures import PictureRun
    from mnv2deploy.runtime.pipeline import open_classifier
    from mnv2deploy.runtime.session import Session

    run: PictureRun[ClassificationResult] = PictureRun(images, quiet=quiet, json=json)
    run.add_drawings(output, _draw)
    artifact = find_artifact(model, "classify", offline=offline, quiet=quiet)
    classifier = open_classifier(Session(artifact, threads=threads, provider=provider), top=top)
    run(classifier, to_json=_to_json, to_text=_to_text)


def _to_json(result: ClassificationResult) -> dict[str, Any]:
    return result.to_json()


def _to_text(result: ClassificationResult) -> str:
    from mnv2deploy.cli.table import format_table

    rows = [[f"  {one.label}", f"{one.score:.2f}"] for one in result.classes]
    return f"{result.width}x{result.height}\n" + format_table(["  LABEL", "SCORE"], rows, right=[1])


def _draw(picture: NDArray[np.uint8], result: ClassificationResult) -> NDArray[np.uint8]:
    from mnv2deploy.media.draw_classification import draw_classification

    return draw_classification(picture, result)
