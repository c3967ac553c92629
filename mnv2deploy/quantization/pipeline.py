"""From a float artifact and pictures to a quantized artifact: the steps of a profile, in order."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from mnv2deploy.contract import METADATA_KEY, Contract, Quantization
from mnv2deploy.errors import UsageError
from mnv2deploy.files import output_folder, write_atomically
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.quantization import equalization, qdq, qoperator
from mnv2deploy.quantization.encodings import Encodings, quantized_tensors
from mnv2deploy.quantization.graph import Graph, Step, read_graph
from mnv2deploy.quantization.inputs import Inputs, byte_contract, evenly
from mnv2deploy.quantization.loading import load_float
from mnv2deploy.quantization.mixed_precision import count_values, layers_to_keep, shares_of_work, streams_to_keep
from mnv2deploy.quantization.normalization import fold_normalization
from mnv2deploy.quantization.observation import Extent, Histogram, measure_extents, measure_histograms
from mnv2deploy.quantization.ranges import METHODS, encode_tensors
from mnv2deploy.quantization.reconstruction import Reconstruction, reconstruct
from mnv2deploy.quantization.targets import Target

PROFILES = ("fast", "balanced", "best")
REFINEMENT_STEPS = 700
# Of ranges from generated pictures, which lack what only things excite: before channels are equalized, lest ReLU6 cut
# them, and after. Logits of the three models on photos, without margins and with: 15.7 and 18.9, 23.4 and 28.1, 20.4
# and 24.0 dB; calibrated on photos 20.1, 32.2 and 26.0.
_MARGIN_BEFORE, _MARGIN = 2.0, 1.5
# Layer by layer, each picture is run as often as there are layers: so many pictures are enough to round weights with.
_FAST_PICTURES, _BALANCED_PICTURES = 24, 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked of quantization.

    Attributes:
        target: Types, granularity, form.
        format: ``qdq`` or ``qoperator``.
        method: How ranges are chosen, one of `ranges.METHODS`.
        profile: One of `PROFILES`.
        exclude: Patterns (``*`` and ``?``) of layers' names that stay in float32.
        seed: Of crops.
        margins: Whether ranges get a margin because the pictures are not such as the model will see.
    """

    target: Target
    format: Literal["qdq", "qoperator"] = "qdq"
    method: str = "mse"
    profile: str = "balanced"
    exclude: tuple[str, ...] = ()
    seed: int = 0
    margins: bool = False


@dataclass(slots=True, eq=False)
class Prepared:
    """A float network ready to be rounded.

    Attributes:
        graph: Normalization folded in, equalized.
        encodings: Of the tensors; and of the layers, once they are known.
        inputs: Calibration pictures as the graph takes them.
        contract: Of the float artifact.
        layers: To be quantized.
        kept: Layers that stay in float32 unasked, and what their inputs would keep in eight bits, dB.
        stream: Layers of eight bits whose answers stay in float32, and what those would keep in eight bits, dB.
    """

    graph: Graph
    encodings: Encodings
    inputs: Inputs
    contract: Contract
    layers: list[Step]
    kept: dict[str, float] = field(default_factory=dict)
    stream: dict[str, float] = field(default_factory=dict)


def prepare_quantization(
    model: Path, pictures: Sequence[Path], options: Options, progress: Progress = SILENT
) -> Prepared:
    """Everything up to rounding: normalization folded in, channels equalized, ranges chosen.

    Args:
        model: A float artifact.
        pictures: To calibrate with.
        options: What is asked; a profile other than ``fast`` keeps in float32 what eight bits do not fit.
        progress: Told of passes over the pictures.

    Raises:
        ModelError: not a float artifact of this program.
        UsageError: an excluded pattern fits no layer.
        InputError: a picture cannot be read.
    """
    target = options.target
    loaded, contract = load_float(model)
    graph = read_graph(loaded, str(model))
    layers = _chosen(graph, options.exclude)
    folded = fold_normalization(graph, contract.preprocessing) if target.picture_bytes else None
    inputs = Inputs(pictures, contract, None if folded is None else folded.zero_point)
    tensors = quantized_tensors(graph, layers)
    everything = [graph.input, *(step.output for step in graph.steps)]
    progress.start("Watching the float network", len(pictures))
    extents = measure_extents(graph, everything, inputs, _counter(progress))
    if options.margins:
        extents = {name: extent.widened(_MARGIN_BEFORE) for name, extent in extents.items()}
    equalization.equalize(graph, extents, target.weight_bits)
    progress.start("Measuring ranges", len(pictures))
    extents = measure_extents(graph, tensors, inputs, _counter(progress))
    mixed = options.profile != "fast"
    histograms: dict[str, Histogram] = {}
    if METHODS[options.method].histograms or mixed:
        progress.start("Counting values", len(pictures))
        histograms = measure_histograms(graph, extents, inputs, _counter(progress))
    margin = _MARGIN if options.margins else 1.0
    encodings = Encodings(encode_tensors(graph, tensors, extents, histograms, options.method, target, margin))
    prepared = Prepared(graph, encodings, inputs, contract, layers)
    if mixed:
        _keep_in_float(prepared, extents, histograms, streams=target.float_streams)
    if folded is not None:  # the bytes have to be read even where the first layer stays in float32
        encodings.tensors[graph.input] = folded
    return prepared


def _keep_in_float(
    prepared: Prepared, extents: Mapping[str, Extent], histograms: Mapping[str, Histogram], *, streams: bool
) -> None:
    """Leaves in float32 what eight bits do not fit: layers, and streams where the target knows such."""
    graph, encodings, layers = prepared.graph, prepared.encodings, prepared.layers
    values = count_values(graph, next(iter(prepared.inputs)))
    stream: dict[str, float] = {}
    if streams:
        stream = streams_to_keep(graph, layers, encodings.tensors, extents, histograms, values)
        encodings.stream = frozenset(stream)
    work = shares_of_work(graph, values)
    prepared.kept = layers_to_keep(graph, layers, encodings.tensors, extents, histograms, work)
    prepared.layers = [layer for layer in layers if layer.name not in prepared.kept]
    prepared.stream = {layer.name: stream[layer.output] for layer in prepared.layers if layer.output in stream}
    held = set(quantized_tensors(graph, prepared.layers, encodings.stream))
    encodings.tensors = {name: encoding for name, encoding in encodings.tensors.items() if name in held}


def _counter(progress: Progress) -> Callable[[], None]:
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        progress.update(done)

    return told


def round_weights(prepared: Prepared, options: Options, progress: Progress = SILENT) -> None:
    """Gives every layer its whole numbers and its bias, as the profile says; the graph's weights stay float."""
    careful = options.profile != "fast"
    count = _BALANCED_PICTURES if careful else _FAST_PICTURES
    inputs = Inputs(evenly(prepared.inputs.pictures, count), prepared.contract, prepared.inputs.zero_point, kept=True)
    progress.start("Rounding layer by layer", len(prepared.layers))
    method = Reconstruction(ordered=careful, bits=options.target.weight_bits)
    reconstruct(prepared.graph, prepared.encodings, prepared.layers, inputs, method, _counter(progress))


def write_model(prepared: Prepared, options: Options) -> onnx.ModelProto:
    """The quantized graph, without a contract yet."""
    graph, encodings, target = prepared.graph, prepared.encodings, options.target
    if options.format == "qoperator":
        return qoperator.write(graph, encodings, picture_bytes=target.picture_bytes)
    return qdq.write(
        graph,
        encodings,
        picture_bytes=target.picture_bytes,
        float_biases=target.float_biases,
        onnxruntime_cpu=target.onnxruntime_cpu,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """What came of quantizing.

    Attributes:
        path: The artifact.
        sha256: Of its bytes.
        size: In bytes.
        contract: As written into it.
        prepared: The float graph and all encodings.
    """

    path: Path
    sha256: str
    size: int
    contract: Contract
    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRecord:
    """What the artifact says of the pictures it was calibrated with.

    Attributes:
        name: Of the set, or ``data-free``.
        sha256: Of the set; None of pictures nobody can have again.
    """

    name: str
    sha256: str | None


def quantize(
    model: Path,
    output: Path,
    pictures: Sequence[Path],
    calibration: CalibrationRecord,
    options: Options,
    progress: Progress = SILENT,
) -> Quantized:
    """Makes a quantized artifact of a float one.

    Args:
        model: A float artifact.
        output: Where; written to a temporary name and renamed.
        pictures: To calibrate with.
        calibration: What to say of them.
        options: What is asked.
        progress: Told of every step.

    Raises:
        UsageError: ``output`` cannot be written there, or the options do not fit the model.
        ModelError: not a float artifact of this program.
        InputError: a picture cannot be read.
        MissingDependencyError: the profile needs torch.
    """
    with output_folder(output.parent):
        prepared = prepare_quantization(model, pictures, options, progress)
        round_weights(prepared, options, progress)
        if options.profile == "best":
            _refine(prepared, model, options, progress)
        progress.start("Writing the artifact", None)
        quantized = write_model(prepared, options)
        contract = describe(prepared, model, calibration, options)
        onnx.helper.set_model_props(quantized, {METADATA_KEY: contract.to_json()})
        onnx.checker.check_model(quantized, full_check=True)
        data = quantized.SerializeToString(deterministic=True)
        write_atomically(output, data)
        progress.stop()
    return Quantized(output, hashlib.sha256(data).hexdigest(), len(data), contract, prepared)


def _refine(prepared: Prepared, model: Path, options: Options, progress: Progress) -> None:
    """Trains the encodings against the float artifact's own answers."""
    # torch, which only this profile needs
    from mnv2deploy.quantization.refinement import refine
    from mnv2deploy.quantization.teacher import teacher_batches

    names = [step.output for step in prepared.graph.layers]
    few = Inputs(evenly(prepared.inputs.pictures, 8), prepared.contract, prepared.inputs.zero_point)
    extents = measure_extents(prepared.graph, names, few)
    spreads = {name: float(np.sqrt(extent.power.mean())) for name, extent in extents.items()}
    progress.start("Training scales, biases and rounding", REFINEMENT_STEPS)
    told = _counter(progress)
    outputs = prepared.graph.outputs
    batches = teacher_batches(
        model, outputs, prepared.inputs, prepared.contract, _batch(prepared.contract), options.seed
    )
    refined = refine(
        prepared.graph,
        prepared.encodings,
        spreads,
        batches,
        REFINEMENT_STEPS,
        options.target.weight_bits,
        told=lambda _: told(),
        symmetric=options.target.symmetric_activations,
    )
    prepared.encodings.layers, prepared.encodings.tensors = refined.layers, refined.tensors


def _batch(contract: Contract) -> int:
    """As many pictures as 16 of 224 x 224 pixels have, and two at least."""
    return max(2, round(16 * 224**2 / (contract.input.height * contract.input.width)))


def describe(prepared: Prepared, model: Path, calibration: CalibrationRecord, options: Options) -> Contract:
    """The contract of the quantized artifact."""
    contract = byte_contract(prepared.contract) if options.target.picture_bytes else prepared.contract
    chosen = {step.name for step in prepared.layers}
    packages = ["mnv2deploy", "onnx", "onnxruntime", *(["torch"] if options.profile == "best" else [])]
    tools = dict(contract.provenance.tools) | {package: importlib.metadata.version(package) for package in packages}
    quantization = Quantization(
        target=options.target.name,
        format=options.format,
        profile=options.profile,
        method=options.method,
        weights=f"int{options.target.weight_bits} per channel",
        activations=options.target.activations,
        float_layers=tuple(step.name for step in prepared.graph.layers if step.name not in chosen),
        float_answers=tuple(prepared.stream),
        calibration=calibration.name,
        calibration_pictures=len(prepared.inputs),
        calibration_sha256=calibration.sha256,
        float_sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        seed=options.seed,
    )
    provenance = dataclasses.replace(contract.provenance, tools=tuple(sorted(tools.items())), quantization=quantization)
    return dataclasses.replace(contract, provenance=provenance)


def _chosen(graph: Graph, exclude: Sequence[str]) -> list[Step]:
    """The layers no pattern names."""
    excluded: set[str] = set()
    for pattern in exclude:
        found = {step.name for step in graph.layers if fnmatch.fnmatchcase(step.name, pattern)}
        if not found:
            raise UsageError(
                f"--exclude {pattern} fits none of the {len(graph.layers)} layers; they are called as "
                f"{graph.layers[0].name} and {graph.layers[-1].name}."
            )
        excluded |= found
    if len(excluded) == len(graph.layers):
        raise UsageError("--exclude leaves no layer to quantize.")
    return [step for step in graph.layers if step.name not in excluded]
