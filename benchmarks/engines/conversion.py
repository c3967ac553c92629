"""Artifacts in the formats of engines that do not read ONNX, made once and kept."""

import hashlib
import math
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from engines.environments import UnavailableError, key_of, python_of, run
from mnv2deploy.catalog.cards import card_names
from mnv2deploy.contract import Contract

BENCHMARKS = Path(__file__).parent.parent
ENVIRONMENTS = {"tflite": "litert-torch", "ncnn": "ncnn"}  # those not listed need none of their own
SUFFIXES = {"tflite": (".tflite",), "ncnn": (".bin", ".param"), "opencv": (".onnx",)}


def convert(converter: str, artifact: Path, contract: Contract, folder: Path, environments: Path) -> Path:
    """The artifact's network in another format.

    Args:
        converter: ``tflite``: from the catalog's torch network through litert-torch. ``ncnn``: from the artifact
            through pnnx. ``opencv``: the artifact, its sums spelt out.
        artifact: The ``.onnx`` file.
        contract: Its contract.
        folder: Where conversions are kept.
        environments: Where the converters are installed.

    Raises:
        UnavailableError: it cannot be converted.
    """
    environment = ENVIRONMENTS.get(converter)
    made_by = _source() + (key_of(environment).encode() if environment else b"")
    key = hashlib.sha256(artifact.read_bytes() + made_by).hexdigest()[:12]
    target = folder / f"{artifact.stem}-{key}{SUFFIXES[converter][-1]}"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        python = python_of(environment, environments) if environment else Path(sys.executable)
        print(f"Converting {artifact.name} to {converter}, once.", file=sys.stderr)
        with TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "model"
            {"tflite": to_tflite, "ncnn": to_ncnn, "opencv": to_opencv}[converter](python, artifact, contract, made)
            for suffix in SUFFIXES[converter]:  # the last is looked for, so it is moved last
                made.with_suffix(suffix).replace(target.with_suffix(suffix))
    return target


def to_tflite(python: Path, artifact: Path, contract: Contract, made: Path) -> None:
    """The network out of the catalog, traced here, converted there: litert-torch need not know mnv2deploy."""
    if contract.provenance.model not in card_names():
        raise UnavailableError(f"the catalog has no torch network for {artifact.name} ({contract.provenance.model})")
    program, flatbuffer = str(made.with_suffix(".pt2")), str(made.with_suffix(".tflite"))
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    export = [sys.executable, "-m", "engines.torch_network", contract.provenance.model, program]
    run(export, "torch.export fails", env=environment)
    run([str(python), "-m", "engines.to_tflite", program, flatbuffer], "litert-torch fails", env=environment)


def to_ncnn(python: Path, artifact: Path, contract: Contract, made: Path) -> None:
    """Through pnnx, the program; its Python module wants torch only to trace."""
    pnnx = next(python.parent.parent.glob("lib/python*/site-packages/pnnx/pnnx"))
    onnx = made.with_suffix(".onnx")
    shutil.copyfile(artifact, onnx)
    shape = f"inputshape=[1,3,{contract.input.height},{contract.input.width}]"
    run([str(pnnx), str(onnx), shape, "fp16=0"], "pnnx fails", cwd=made.parent)
    text = made.with_suffix(".ncnn.param").read_text(encoding="utf-8")
    text = write_tiles(text, made.with_suffix(".pnnx.param").read_text(encoding="utf-8"))
    if unknown := re.findall(r"^((?:torch|aten|F|nn|pnnx)\.\S+)", text, re.MULTILINE):
        raise UnavailableError(f"pnnx has no ncnn layer for {', '.join(sorted(set(unknown)))}")
    made.with_suffix(".param").write_text(text, encoding="utf-8")
    made.with_suffix(".ncnn.bin").replace(made.with_suffix(".bin"))


def to_opencv(python: Path, artifact: Path, contract: Contract, made: Path) -> None:  # noqa: ARG001
    """With the shapes of sums made equal, for batches of one, as OpenCV's new engine tells its users to do.

    It cannot add a value a channel to a convolution's output, which leaves only its classic engine, half as fast.
    """
    import onnx

    model = onnx.load(artifact)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in values}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Add" and all(name in shapes for name in node.input):
            larger = max((shapes[name] for name in node.input), key=math.prod)
            for position, name in enumerate(node.input):
                if shapes[name] != larger:
                    size = onnx.numpy_helper.from_array(np.array(larger), f"{name}/size")
                    model.graph.initializer.append(size)
                    nodes.append(onnx.helper.make_node("Expand", [name, size.name], [f"{name}/expanded"]))
                    node.input[position] = f"{name}/expanded"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, made.with_suffix(".onnx"))


def write_tiles(ncnn: str, pnnx: str) -> str:
    """Replaces each ``torch.tile`` pnnx leaves over by ncnn's Tile with the repetitions pnnx knows, batch aside."""
    for name, counts in re.findall(r"^torch\.tile +(\S+) .* dims=\(([\d,]+)\)", pnnx, re.MULTILINE):
        repeats = counts.split(",")[1:]
        parameters = f"-23302={len(repeats)},{','.join(repeats)}"
        ncnn = re.sub(rf"^torch\.tile( +{re.escape(name)} .*)$", rf"Tile\1 {parameters}", ncnn, flags=re.MULTILINE)
    return ncnn


def _source() -> bytes:
    """Of the code that converts: what another version of it made is made again."""
    names = ("conversion.py", "torch_network.py", "to_tflite.py")
    return b"".join((Path(__file__).parent / name).read_bytes() for name in names)
