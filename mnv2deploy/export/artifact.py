"""From a model card to an artifact on disk: weights, network, graph, contract, parity."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from mnv2deploy import contract as contracts
from mnv2deploy.catalog.cards import Card
from mnv2deploy.catalog.network_specs import SSDLiteSpec
from mnv2deploy.catalog.photos import SAMPLE_PHOTOS, load_photos
from mnv2deploy.contract import BoxDecoding, Contract, Decoding, DetectionDecoding, Input, Output, Provenance
from mnv2deploy.errors import DownloadError, ModelError
from mnv2deploy.export import graph, parity
from mnv2deploy.export.pooling import project_pooled_branch_once, use_global_average_pool
from mnv2deploy.export.pyramid import convolve_before_stretching
from mnv2deploy.export.resizing import stretch_by_constant_scales
from mnv2deploy.export.simplification import simplify
from mnv2deploy.files import make_folder, output_folder, write_atomically
from mnv2deploy.networks import load_network
from mnv2deploy.networks.anchors import anchor_layers
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import check_card, checkpoint_digests, read_checkpoint
from mnv2deploy.weights.fetch import fetch
from mnv2deploy.weights.native import WeightsOrigin, native_bytes, recorded_origin

_LOCAL = "local file"
_LOGITS = Output(name="class_logits", meaning="class_logits")
_OUTPUTS = {
    "classify": (_LOGITS,),
    "detect": (_LOGITS, Output(name="box_encodings", meaning="box_encodings")),
    "segment": (_LOGITS,),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    Attributes:
        path: The artifact.
        sha256: Of its bytes.
        size: In bytes.
        contract: As written into it.
        parity: Against torch, on real pictures.
        not_simplified: Why onnxsim's graph was not taken; None where it was, or was not asked for.
    """

    path: Path
    sha256: str
    size: int
    contract: Contract
    parity: tuple[parity.OutputParity, ...]
    not_simplified: str | None


def export(
    card: Card,
    output: Path,
    *,
    opset: int | None = None,
    simplified: bool = True,
    weights: Path | None = None,
    state_dict: Path | None = None,
    pictures: Sequence[Path] = (),
    offline: bool = False,
    progress: Progress = SILENT,
) -> Exported:
    """Builds the card's artifact and proves it equal to the torch network before it gets its name.

    Args:
        card: What to build.
        output: Where; its folder is made where it is missing. Written to a temporary name and renamed.
        opset: Of the graph; None for `graph.DEFAULT_OPSET`.
        simplified: Whether onnxsim is run.
        weights: A checkpoint of the card's format to use instead of the card's own.
        state_dict: Where the network's weights go too, as a checkpoint of our own; see `weights.native`.
        pictures: To check parity on; the catalog's sample photos where none are given.
        offline: Never open a socket; weights and photos come from the cache.
        progress: Told of downloads and steps.

    Raises:
        UsageError: ``output`` cannot be written there, or ``weights`` is no file.
        DownloadError: weights or photos could not be had.
        CheckpointError: the weights do not fit the card's network.
        ModelError: the card's anchors are not the network's.
        VerificationError: onnxruntime and torch differ; nothing is written.
    """
    with output_folder(output.parent), output_folder((state_dict or output).parent):
        source, checkpoint = _find_weights(card, weights, offline, progress)
        photos = list(pictures) or _sample_photos(offline, progress)
        progress.start(f"{card.name}: filling the network", total=None)
        raw = read_checkpoint(checkpoint, card.weights.format)
        check_card(card, raw, checkpoint)
        network = load_network(card, raw, str(checkpoint))
        progress.start(f"{card.name}: tracing it to ONNX", total=None)
        shape = (3, card.input.height, card.input.width)
        model = graph.trace(network, shape, [entry.name for entry in _OUTPUTS[card.task]], opset or graph.DEFAULT_OPSET)
        progress.start(f"{card.name}: simplifying and checking the graph", total=None)
        not_simplified = None
        if simplified:
            model, not_simplified = simplify(model)
        rewrite(model)
        graph.normalize(model)
        origin = _weights_origin(card, source, checkpoint, raw)
        used_onnxsim = simplified and not_simplified is None
        contract = describe(card, _provenance(card, origin, graph.opset_of(model), used_onnxsim))
        onnx.helper.set_model_props(model, {contracts.METADATA_KEY: contract.to_json()})
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString(deterministic=True)
        progress.start(f"{card.name}: comparing onnxruntime with torch", total=None)
        tensors = [prepare(images.read(photo), contract.input, contract.preprocessing) for photo in photos]
        session = Session(data, name=str(output))
        results = parity.measure_parity(session, network, tensors)
        parity.require_parity(results, str(output))
        open_pipeline(session)(photos[0])  # the contract must fit the graph: as many anchors, the labels' columns
        written = {output: data}
        if state_dict is not None:
            arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
            written[state_dict] = native_bytes(card, origin, arrays)
        for path, content in written.items():
            make_folder(path.parent)  # another run that failed may have taken it away
            write_atomically(path, content)
        progress.stop()
    return Exported(output, hashlib.sha256(data).hexdigest(), len(data), contract, tuple(results), not_simplified)


def rewrite(model: onnx.ModelProto) -> None:
    """Writes what onnxruntime would compute slowly or twice in another way, exactly and in place."""
    use_global_average_pool(model)
    project_pooled_branch_once(model)
    convolve_before_stretching(model)
    stretch_by_constant_scales(model)


def describe(card: Card, provenance: Provenance) -> Contract:
    """The contract of the artifact a card is built into."""
    return Contract(
        input=Input(name="image", layout="NCHW", dtype="float32", height=card.input.height, width=card.input.width),
        preprocessing=card.preprocessing,
        outputs=_OUTPUTS[card.task],
        decoding=_decoding(card),
        labels=card.labels,
        provenance=provenance,
    )


def _decoding(card: Card) -> Decoding:
    if isinstance(card.decoding, BoxDecoding) and isinstance(card.network, SSDLiteSpec):
        anchors = anchor_layers(card.network.anchors, card.input)
        return DetectionDecoding(anchors=anchors, **dataclasses.asdict(card.decoding))
    if isinstance(card.decoding, BoxDecoding):
        raise ModelError(f"The card {card.name} decodes boxes from a network that has no anchors.")
    return card.decoding


def _find_weights(card: Card, weights: Path | None, offline: bool, progress: Progress) -> tuple[str, Path]:
    """The first address the card has these weights at, and their main file: the same here and wherever they are had."""
    if weights is None:
        weights = fetch(card.download, offline=offline, progress=progress).main
    digests = {digest for _, digest in checkpoint_digests(weights, card.weights.format)} if weights.is_file() else set()
    for source in card.download.sources:
        if digests == {file.sha256 for file in source.files}:
            return source.url, weights  # the card's own weights, whichever of its addresses answered
    return _LOCAL, weights


def _sample_photos(offline: bool, progress: Progress) -> list[Path]:
    try:
        downloads = [fetch(item, offline=offline, progress=progress) for item in load_photos(SAMPLE_PHOTOS)]
    except DownloadError as error:
        raise DownloadError(f"{error} Or check it on pictures of your own, with --pictures FILE.") from error
    return [path for download in downloads for path in download.files.values()]


def _weights_origin(card: Card, source: str, checkpoint: Path, raw: Tensors) -> WeightsOrigin:
    """Where the weights are from: a file of our own remembers where they were before."""
    if card.weights.format == "native" and (recorded := recorded_origin(checkpoint, raw)):
        return recorded
    licence = card.weights.licence if source != _LOCAL else "unknown"
    return WeightsOrigin(source=source, files=checkpoint_digests(checkpoint, card.weights.format), licence=licence)


def _provenance(card: Card, origin: WeightsOrigin, opset: int, used_onnxsim: bool) -> Provenance:
    packages = ["mnv2deploy", "onnx", "onnxscript", "torch", *(["onnxsim"] if used_onnxsim else [])]
    return Provenance(
        model=card.name,
        source=origin.source,
        weights_sha256=origin.files,
        licence=origin.licence,
        tools=tuple((package, importlib.metadata.version(package)) for package in sorted(packages)),
        opset=opset,
        minimum_onnxruntime=graph.MINIMUM_ONNXRUNTIME[opset],
    )
