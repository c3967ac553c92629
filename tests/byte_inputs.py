"""Artifacts whose graphs normalise their input themselves, made of real ones that do not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mnv2deploy.contract import METADATA_KEY, Contract, Quantization, parse_contract

QUANTIZATION = Quantization(
    target="x86-64",
    format="qdq",
    profile="fast",
    method="min-max",
    weights="int8 per channel",
    activations="uint8",
    float_layers=("backbone.stem.conv", "classifier"),
    float_answers=("backbone.blocks.3.project.conv",),
    calibration="sample-photos",
    calibration_pictures=7,
    calibration_sha256="c" * 64,
    float_sha256="f" * 64,
    seed=11,
)


class BytePair(NamedTuple):
    """One network twice: it takes (N, 3, H, W) float32, or (N, H, W, 3) uint8."""

    floats: Path
    bytes: Path


def make_pair(artifact: Path, folder: Path) -> BytePair:
    """Both of them, padded, where they are, with a grey that is a byte."""
    model = onnx.load(artifact)
    contract = parse_contract(model.metadata_props[0].value, str(artifact))
    if contract.preprocessing.pad_value is not None:
        contract = dataclasses.replace(contract, preprocessing=_changed(contract, pad_value=128.0))
    pair = BytePair(folder / f"{artifact.stem}-floats.onnx", folder / f"{artifact.stem}-bytes.onnx")
    _save(model, contract, pair.floats)
    _normalise_inside(model, contract)
    graph_input = dataclasses.replace(contract.input, layout="NHWC", dtype="uint8")
    preprocessing = _changed(contract, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    _save(model, dataclasses.replace(contract, input=graph_input, preprocessing=preprocessing), pair.bytes)
    return pair


def quantized_in_name(artifact: Path, path: Path) -> Path:
    """The same artifact, said to be quantized."""
    model = onnx.load(artifact)
    contract = parse_contract(model.metadata_props[0].value, str(artifact))
    provenance = dataclasses.replace(contract.provenance, quantization=QUANTIZATION)
    _save(model, dataclasses.replace(contract, provenance=provenance), path)
    return path


def _changed(contract: Contract, **values: object):
    return dataclasses.replace(contract.preprocessing, **values)


def _save(model: onnx.ModelProto, contract: Contract, path: Path) -> None:
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _normalise_inside(model: onnx.ModelProto, contract: Contract) -> None:
    """Bytes in the order of the picture -> what the graph took until now."""
    name = contract.input.name
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["normalised" if entry == name else entry for entry in node.input]
    mean, std = (np.array(values, np.float32) for values in (contract.preprocessing.mean, contract.preprocessing.std))
    graph.initializer.extend([numpy_helper.from_array(mean, "mean"), numpy_helper.from_array(std, "std")])
    steps = [
        helper.make_node("Cast", [name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["normalised"], perm=[0, 3, 1, 2]),
    ]
    nodes = [*steps, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    shape = ["N", contract.input.height, contract.input.width, 3]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))
