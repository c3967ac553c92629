"""Measures a quantized artifact, all that a `Verdict` says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.evaluation.dataset import Dataset
from mnv2deploy.evaluation.measuring import measure
from mnv2deploy.progress import Progress
from mnv2deploy.quantization.agreement import compare_answers
from mnv2deploy.quantization.comparison import compare_layers
from mnv2deploy.quantization.inputs import Inputs, evenly
from mnv2deploy.quantization.pipeline import Quantized
from mnv2deploy.quantization.verdict import Verdict
from mnv2deploy.quantization.verdict_measurement import measure_size, measure_speed, read_metric
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.runtime.session import Session

# Layers' signal and noise are sums over all values of a tensor: a few pictures tell them to a tenth of a decibel.
_LAYER_PICTURES = 8


def measure_verdict(
    floats: Path, quantized: Quantized, pictures: Sequence[Path], dataset: Dataset | None, progress: Progress
) -> Verdict:
    """Answers, layers, the metric and times of a quantized artifact beside the float one.

    Args:
        floats: The float artifact.
        quantized: What was made of it.
        pictures: To compare on; not calibrated with.
        dataset: Labelled pictures; None measures no metric.
        progress: Told of every step.

    Raises:
        InputError: none of the pictures can be read.
    """
    threads = available_processors()
    float_session, quantized_session = Session(floats, threads=1), Session(quantized.path, threads=1)
    answers = compare_answers(float_session, quantized_session, pictures, threads=threads, progress=progress)
    metric = None
    if dataset is not None:
        metric = read_metric(measure([float_session, quantized_session], dataset, threads=threads, progress=progress))
    prepared = quantized.prepared
    unread = {failure.file for failure in answers.failures}
    few = evenly([path for path in pictures if str(path) not in unread], _LAYER_PICTURES)
    progress.start("Comparing layers", None)
    layers = compare_layers(
        prepared.graph, prepared.encodings, Inputs(few, prepared.contract, prepared.inputs.zero_point)
    )
    speed = measure_speed(floats, quantized.path, progress=progress)
    return Verdict(
        size=measure_size(floats, quantized.path), answers=answers, metric=metric, speed=speed, layers=tuple(layers)
    )
