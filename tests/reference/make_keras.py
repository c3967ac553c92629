"""Make keras.npz: the files Keras writes of MobileNetV2, without their weights, and what it answers to them.

    python make_keras.py [--output FILE]

Keras saves each model, the tensors in the file are replaced by ones made of their paths in it, Keras loads the file
again and answers: the layout is Keras's own both ways. Without Keras in this Python the script makes an environment for
itself and starts again in it. No weights are downloaded.
"""

import argparse
import importlib.util
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from origin_cases import BATCH, CLASSES, Case, restart_with, save

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["keras==3.15.1", "tensorflow-cpu==2.21.0"]


def own_top(keras: Any) -> Any:
    """keras.applications with its own top, flat."""
    return keras.applications.MobileNetV2((64, 96, 3), alpha=0.5, weights=None, classes=CLASSES)


def new_top(keras: Any) -> Any:
    """Transfer learning as the guide does it: augmentation, scaling, a nested model, several labels at once."""
    x = inputs = keras.Input((64, 64, 3))
    x = keras.layers.RandomFlip("horizontal")(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = keras.applications.MobileNetV2((64, 64, 3), include_top=False, weights=None)(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, activation="sigmoid", name="kinds")(x))


def sequential(keras: Any) -> Any:
    """Two classes from one unit; an input of odd and even halves, for which Keras fixes its padding."""
    base = keras.applications.MobileNetV2((75, 102, 3), alpha=0.35, include_top=False, weights=None)
    layers = [base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(layers)


def preprocessed(keras: Any) -> Any:
    """Scaling by arithmetic, the backbone not nested, and no activation."""
    inputs = keras.Input((96, 64, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(inputs)
    base = keras.applications.MobileNetV2(
        input_tensor=scaled, alpha=0.75, include_top=False, weights=None, pooling="avg"
    )
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(base.output))


def any_size(keras: Any) -> Any:
    """Of no fixed size."""
    base = keras.applications.MobileNetV2((None, None, 3), alpha=1.4, include_top=False, weights=None, pooling="avg")
    return keras.Model(base.input, keras.layers.Dense(CLASSES, activation="softmax")(base.output))


# Name, file ending, sizes to be asked at, and whether it scales its input itself.
MODELS: list[tuple[Callable[[Any], Any], str, list[tuple[int, int]], bool]] = [
    (own_top, ".h5", [(64, 96)], False),
    (new_top, ".keras", [(64, 64)], True),
    (new_top, ".h5", [(64, 64)], True),
    (sequential, ".h5", [(75, 102)], False),
    (sequential, ".keras", [(75, 102)], False),
    (preprocessed, ".keras", [(96, 64)], True),
    (any_size, ".keras", [(64, 64), (32, 96)], False),
    (any_size, ".weights.h5", [(64, 64), (32, 96)], False),
]


def datasets(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List every tensor of an HDF5 file by its path, the optimizer's left out."""
    for name, entry in group.items():
        if hasattr(entry, "shape"):
            if entry.dtype.kind == "f":
                yield prefix + name, entry
        elif name != "optimizer":
            yield from datasets(entry, f"{prefix}{name}/")


def fill(file: Any, name: str) -> Case:
    """Replace every tensor of an open HDF5 file."""
    case = Case(name, {path: entry.shape for path, entry in datasets(file)})
    for path, array in case.weights("keras").items():
        file[path][...] = array
    return case


def refill(path: Path, name: str) -> Case:
    """Replace every tensor of a file Keras saved, and note what else is in it."""
    import h5py

    if path.suffix != ".keras":
        with h5py.File(path, "r+") as file:
            case = fill(file, name)
            text = file.attrs.get("model_config")
        case.config = {} if text is None else {"model": json.loads(text)}
        return case
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        case = fill(file, name)
    case.config = {"model": json.loads(members["config.json"])}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**members, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(member, data)
    return case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "keras.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("keras") is None:
        restart_with(REQUIREMENTS)
    os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import keras
    import numpy as np
    from deterministic_weights import picture

    cases = []
    for make, ending, sizes, scales_itself in MODELS:
        keras.backend.clear_session()
        model = make(keras)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{ending}"
            if ending == ".weights.h5":
                model.save_weights(path)
            else:
                model.save(path)
            case = refill(path, f"{make.__name__}{ending}")
            if ending == ".weights.h5":
                model.load_weights(path)
            else:
                model = keras.models.load_model(path)
        model.layers[-1].activation = keras.activations.linear  # the logits
        for height, width in sizes:
            x = picture(BATCH, height, width).transpose(0, 2, 3, 1)
            x = (x + 1) * np.float32(127.5) if scales_itself else x
            case.answers[height, width] = np.asarray(model(x, training=False))
        cases.append(case)
    save(args.output, {"keras": keras.__version__, "backend": keras.backend.backend()}, cases)


if __name__ == "__main__":
    main()
