"""A release as one HTML file to look at: nothing in it from elsewhere, the same bytes for the same release."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from mnv2deploy.artifacts import report_words as words
from mnv2deploy.artifacts.manifest import Manifest
from mnv2deploy.artifacts.report_figures import scatters
from mnv2deploy.artifacts.report_layers import layer_chart
from mnv2deploy.artifacts.report_samples import Sample

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT = "report.html"
_TEMPLATE = "report.html.j2"


def render_report(manifest: Manifest, samples: Sequence[Sample], recipe_text: str) -> str:
    """The page.

    Args:
        manifest: Of the release.
        samples: Pictures to show, in this order; there may be none.
        recipe_text: The recipe as it is.

    Returns:
        HTML that refers to nothing outside itself and runs no script.
    """
    shown, tiles = words.tiles(manifest)
    checks = [check for artifact in manifest.artifacts for check in artifact.checks]
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            manifest=manifest,
            first=manifest.artifacts[0],
            shown=shown,
            tiles=tiles,
            verdict=words.verdict(manifest),
            mood="none" if not checks else "good" if all(check.passed for check in checks) else "bad",
            scatters=scatters(manifest),
            charts=[
                (artifact, chart) for artifact in manifest.artifacts if (chart := layer_chart(artifact)) is not None
            ],
            samples=samples,
            marked=_answered_differently(manifest, samples),
            recipe_text=recipe_text,
            words=words,
        )
    )


def _answered_differently(manifest: Manifest, samples: Sequence[Sample]) -> set[str]:
    """Which of the sample pictures some artifact answers otherwise than the first; folders of names are left aside."""
    differing = {PurePath(name).name for one in manifest.artifacts if one.agreement for name in one.agreement.differing}
    return {sample.picture for sample in samples if PurePath(sample.picture).name in differing}


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mnv2deploy.artifacts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    return environment
