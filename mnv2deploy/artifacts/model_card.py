"""``README.md`` of a release: a model card, with the metadata the Hugging Face Hub reads at its top.

It tells no speeds, which differ from run to run: those are in the manifest. So the same release has the same card.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from mnv2deploy.artifacts import contract_words
from mnv2deploy.artifacts.checksums import CHECKSUMS
from mnv2deploy.artifacts.hub_metadata import PIPELINE_TAGS, base_model, hub_licence, hub_results, hub_tags
from mnv2deploy.artifacts.manifest import MANIFEST, Agreement, Manifest, PictureSet
from mnv2deploy.artifacts.markdown import as_code, as_text, as_yaml

CARD = "README.md"

_METRICS = {"top_1": "top-1 accuracy", "top_5": "top-5 accuracy", "AP": "COCO AP", "mean_iou": "mean IoU"}
_SHOWN_LABELS = 5


def model_card(manifest: Manifest) -> str:
    """The card, in Markdown.

    Args:
        manifest: Of the release; its speeds and ``files`` are not read.
    """
    # Markdown, not HTML: the filters escape what is markup in it.
    environment = Environment(
        loader=PackageLoader("mnv2deploy.artifacts"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(text=as_text, code=as_code, yaml=as_yaml, percent=_percent, interval=_interval)
    return environment.get_template("model_card.md.j2").render(
        manifest=manifest,
        artifacts=manifest.artifacts,
        first=manifest.artifacts[0],
        quantized=[artifact for artifact in manifest.artifacts if artifact.is_quantized],
        contract=manifest.artifacts[0].contract,
        pipeline_tag=PIPELINE_TAGS[manifest.task],
        licence=hub_licence(manifest.weights.licence),
        base_model=base_model(manifest),
        tags=hub_tags(manifest.artifacts),
        results=hub_results(manifest),
        preparations=_preparations(manifest),
        agreements=_agreements(manifest),
        datasets=_datasets(manifest),
        outputs=contract_words.outputs,
        take_it=contract_words.take_it,
        noise=_noise,
        metrics=_METRICS,
        shown_labels=_SHOWN_LABELS,
        MANIFEST=MANIFEST,
        CHECKSUMS=CHECKSUMS,
    )


def _preparations(manifest: Manifest) -> dict[tuple[str, ...], list[str]]:
    """The steps of each kind of input, and the files that take it."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for artifact in manifest.artifacts:
        kinds.setdefault(contract_words.preparation(artifact.contract), []).append(artifact.file.name)
    return kinds


def _agreements(manifest: Manifest) -> list[Agreement]:
    """One for each way agreement was counted: as a rule all artifacts' is counted alike."""
    found = [artifact.agreement for artifact in manifest.artifacts if artifact.agreement]
    return list({(one.of, one.against, one.pictures): one for one in found}.values())


def _datasets(manifest: Manifest) -> list[PictureSet]:
    """What accuracy was measured on, each once."""
    return list(dict.fromkeys(artifact.accuracy.dataset for artifact in manifest.artifacts if artifact.accuracy))


def _noise(agreement: Agreement) -> str:
    """The ratio of signal to noise of each output; where an artifact has none of the first's outputs, nothing."""
    return ", ".join(
        f"{as_code(one.output)} " + ("equal" if one.sqnr_db is None else f"{one.sqnr_db:.1f} dB")
        for one in agreement.outputs
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
