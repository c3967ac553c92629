"""Check the Triton model repository of a release with Triton's own protobuf; the server itself is not needed.

    python check_triton.py RELEASE

Without tritonclient in this Python the script makes an environment for itself and starts again in it.
"""

import argparse
import importlib.util
from pathlib import Path

from origin_cases import restart_with

REQUIREMENTS = ["tritonclient[grpc]==2.73.0", "numpy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path)
    args = parser.parse_args()
    if importlib.util.find_spec("tritonclient") is None:
        restart_with(REQUIREMENTS)
    found = sorted((args.release / "triton").glob("*/config.pbtxt"))
    if not found:
        raise SystemExit(f"{args.release}/triton: no config.pbtxt in any folder of it")
    for path in found:
        print(f"{path.parent.name}: {check(path)}")


def check(path: Path) -> str:
    """Refuses a configuration Triton would not load; says in a line what is in it."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    model = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    assert model.name == path.parent.name, "the name is not the folder's"
    assert model.backend == "onnxruntime"
    assert model.platform == "onnxruntime_onnx"
    assert (path.parent / "1" / "model.onnx").is_file(), "there is no 1/model.onnx"
    assert model.input
    assert model.output
    for tensor in (*model.input, *model.output):
        assert tensor.data_type, f"{tensor.name} has no type"
        assert tensor.dims, f"{tensor.name} has no sides"
        assert all(side == -1 or side > 0 for side in tensor.dims)
    for output in model.output:
        assert not output.label_filename or (path.parent / output.label_filename).is_file()
    shapes = [f"{tensor.name} {list(tensor.dims)}" for tensor in (*model.input, *model.output)]
    return f"batches of up to {model.max_batch_size}, {', '.join(shapes)}"


if __name__ == "__main__":
    main()
