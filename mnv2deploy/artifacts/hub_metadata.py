"""What the Hugging Face Hub calls things: the metadata at the top of a model card.

After the Hub's modelcard.md and its list of licences (huggingface/hub-docs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cyclonedx.spdx import fixup_id

from mnv2deploy.artifacts.manifest import Artifact, Manifest

PIPELINE_TAGS = {"classify": "image-classification", "detect": "object-detection", "segment": "image-segmentation"}

# Metrics of https://hf.co/metrics; others go by their own names.
_METRICS = {"top_1": "accuracy", "mean_iou": "mean_iou", "AP": "map"}
_LICENCES = """
    apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc0-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gpl-2.0
    gpl-3.0 lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
"""
_FAMILIES = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl", "lgpllr": "lgpl-lr"}
_HUB = re.compile(r"https://(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/(?:resolve|blob|raw)/.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLicence:
    """A licence in the Hub's words.

    Attributes:
        identifier: One of the Hub's, ``other``, or ``unknown``.
        name: Of an ``other``.
        link: To the text of an ``other``, where SPDX has it.
    """

    identifier: str
    name: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubMetric:
    """An entry of ``metrics``.

    Attributes:
        type: The Hub's.
        name: For people.
        value: 0..1.
    """

    type: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubResult:
    """An entry of the model index's ``results``: all that was measured on one data set.

    Attributes:
        dataset_type: Its name as an identifier. The Hub's own, where there is one, is not known here.
        dataset_name: For people.
        metrics: Of each artifact.
    """

    dataset_type: str
    dataset_name: str
    metrics: tuple[HubMetric, ...]


def hub_licence(licence: str) -> HubLicence:
    """The Hub's word for an SPDX identifier, an expression of such, or any other name."""
    word = re.sub(r"-(only|or-later)$", "", licence.lower())
    word = _FAMILIES.get(word, word)
    if word in _LICENCES.split() or word in _FAMILIES.values():
        return HubLicence(identifier=word)
    if word in ("", "unknown"):
        return HubLicence(identifier="unknown")
    known = fixup_id(licence)
    link = f"https://spdx.org/licenses/{known}.html" if known else None
    return HubLicence(identifier="other", name=_identifier(licence), link=link)


def hub_results(manifest: Manifest) -> tuple[HubResult, ...]:
    """What was measured on labelled pictures, a result a data set."""
    measured = [(artifact, artifact.accuracy) for artifact in manifest.artifacts if artifact.accuracy]
    names = dict.fromkeys(accuracy.dataset.name for _, accuracy in measured)
    return tuple(
        HubResult(
            dataset_type=_identifier(name),
            dataset_name=name,
            metrics=tuple(
                HubMetric(
                    type=_METRICS.get(accuracy.metric, accuracy.metric),
                    name=f"{accuracy.metric}, {artifact.name}",
                    value=f"{accuracy.value:.6g}",
                )
                for artifact, accuracy in measured
                if accuracy.dataset.name == name
            ),
        )
        for name in names
    )


def base_model(manifest: Manifest) -> str | None:
    """The repository of the Hub the weights were taken from; None where it was another place."""
    match = _HUB.fullmatch(manifest.weights.source)
    return match[1] if match else None


def hub_tags(artifacts: tuple[Artifact, ...]) -> list[str]:
    """What the release is found by, beside its task."""
    return ["onnx", "onnxruntime", "mobilenet_v2", *(["int8"] if any(one.is_quantized for one in artifacts) else [])]


def _identifier(name: str) -> str:
    """Lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "unnamed"
