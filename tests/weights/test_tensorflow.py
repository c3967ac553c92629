"""From a checkpoint's tensors to our state dict: every one has its place, and nothing is made up."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.errors import CheckpointError
from mnv2deploy.networks import build_network
from mnv2deploy.weights.assembly import Tensors, assemble
from mnv2deploy.weights.checkpoint import read_checkpoint
from mnv2deploy.weights.fetch import Fetched
from mnv2deploy.weights.tensorflow import TensorflowCheckpoint, tensorflow_scope

SCOPES = (
    "FeatureExtractor/",
    "BoxPredictor_",
    "MobilenetV2/",
    "image_pooling/",
    "aspp0/",
    "concat_projection/",
    "logits/",
)
BACKBONE = "FeatureExtractor/MobilenetV2"
# Of batch norm: the COCO graph is folded, the pedestrian graph is not, and DeepLab's is folded another way.
FORMS = ("folded", "unfolded", "fused")
COUNT = 15


@pytest.fixture(scope="session", autouse=True)
def cache() -> Path:
    """The run's cache (``tests/conftest.py``), not the empty one that a test of fetching gets."""
    folder = Path(__file__).parent.parent.parent / "build" / "cache"
    return Path(os.environ.setdefault("MNV2DEPLOY_CACHE", str(folder)))


def convert(raw: Tensors, wanted: Checkpoint) -> Tensors:
    return assemble(TensorflowCheckpoint(raw, wanted.epsilons, "model.bin"), wanted.shapes, "model.bin")


class Checkpoint:
    """A real checkpoint, and what its network needs."""

    def __init__(self, card_name: str, weights: Fetched) -> None:
        card = load_card(card_name)
        self.raw = read_checkpoint(weights.main, card.weights.format)
        self.used = sorted(name for name in self.raw if name.startswith(SCOPES) and self.raw[name].dtype.kind == "f")
        network = build_network(card.network)
        self.shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        norms = {name: module for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
        self.epsilons = {name: module.eps for name, module in norms.items()}

    def convert(self, **changes: np.ndarray | None) -> Tensors:
        """With tensors replaced, added, or removed where None is given."""
        raw = {name: array for name, array in {**self.raw, **changes}.items() if array is not None}
        return convert(raw, self)

    def sample(self, seed: int) -> list[str]:
        return [str(name) for name in np.random.default_rng(seed).choice(self.used, COUNT, replace=False)]


@pytest.fixture(scope="module")
def checkpoints(coco_weights: Fetched, pedestrian_weights: Fetched, deeplab_weights: Fetched) -> dict[str, Checkpoint]:
    return {
        "fused": Checkpoint("deeplabv3-voc", deeplab_weights),
        "folded": Checkpoint("ssdlite-coco", coco_weights),
        "unfolded": Checkpoint("ssdlite-pedestrian", pedestrian_weights),
    }


@pytest.fixture(params=FORMS)
def checkpoint(request: pytest.FixtureRequest, checkpoints: dict[str, Checkpoint]) -> Checkpoint:
    return checkpoints[request.param]


def test_every_value_of_the_checkpoint_is_in_the_state_dict(checkpoint: Checkpoint) -> None:
    state = {name: array for name, array in checkpoint.convert().items() if not name.endswith("num_batches_tracked")}
    given = np.sort(np.concatenate([checkpoint.raw[name].ravel() for name in checkpoint.used]))
    found = np.sort(np.concatenate([array.ravel() for array in state.values()]))
    # Means, scales and variances of folded norms.
    made_up = {0.0, 1.0} | {float(np.float32(1 - epsilon)) for epsilon in checkpoint.epsilons.values()}
    rest = found[~np.isin(found, np.float32(list(made_up)))]
    np.testing.assert_array_equal(rest, given[~np.isin(given, np.float32(list(made_up)))])
    assert len(found) == sum(int(np.prod(shape)) for name, shape in checkpoint.shapes.items() if "num_b" not in name)


def test_whichever_tensor_is_missing_its_layer_is_named(checkpoint: Checkpoint) -> None:
    for name in checkpoint.used:
        # A folded layer without its kernel or offset looks like an unfolded one; the extras' channel count is not read.
        layer = re.split(r"/BatchNorm|/Conv2D|/weights|/biases|/depthwise_weights", name)[0]
        layer = re.sub(r"(1x1|3x3_s2)_\d+", r"\1", layer)
        with pytest.raises(CheckpointError, match=f"model.bin lacks the tensor {layer}/"):
            checkpoint.convert(**{name: None})


@pytest.mark.parametrize("index", range(COUNT))
def test_misshapen_tensor_is_named_with_both_shapes(checkpoint: Checkpoint, index: int) -> None:
    name = checkpoint.sample(2)[index]
    array = checkpoint.raw[name]
    for wrong in (array[..., :-1] if array.shape[-1] > 1 else array[:1], array[None], array.ravel()[:0]):
        with pytest.raises(CheckpointError, match="shape") as caught:
            checkpoint.convert(**{name: wrong})
        assert name in str(caught.value)
        assert "the network needs" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_refused_by_name(checkpoint: Checkpoint, value: float) -> None:
    for name in checkpoint.sample(3)[:5]:
        damaged = checkpoint.raw[name].copy()
        damaged.flat[-1] = value
        with pytest.raises(CheckpointError, match="not finite") as caught:
            checkpoint.convert(**{name: damaged})
        assert name in str(caught.value)


def test_value_beyond_float32_is_refused(checkpoint: Checkpoint) -> None:
    name = next(name for name in checkpoint.used if name.endswith(("ClassPredictor/biases", "semantic/biases")))
    with pytest.raises(CheckpointError, match=f"{name} holds values that are not finite"):
        checkpoint.convert(**{name: checkpoint.raw[name].astype(np.float64) + 1e300})


@pytest.mark.parametrize(
    "name",
    [
        f"{BACKBONE}/expanded_conv_17/expand/weights",
        f"{BACKBONE}/Conv/biases",
        "BoxPredictor_6/ClassPredictor/biases",
        "BoxPredictor_0/ClassPredictor/BatchNorm/gamma",
        f"{BACKBONE}/Conv/BatchNorm/batchnorm/mul",  # beside a kernel it is folded into already
    ],
)
def test_tensor_without_a_place_is_refused_by_name(checkpoint: Checkpoint, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"no place for: .*{name}"):
        checkpoint.convert(**{name: np.zeros(3, np.float32)})


def test_arithmetic_of_the_graph_outside_the_network_is_no_matter(checkpoint: Checkpoint) -> None:
    extra = {"Postprocessor/other/y": np.float32([1]), f"{BACKBONE}/shape": np.int32([1, 2])}
    state = checkpoint.convert(**extra)
    assert all(np.array_equal(state[name], array) for name, array in checkpoint.convert().items())


def test_many_tensors_without_a_place_are_counted(checkpoint: Checkpoint) -> None:
    extra = {f"BoxPredictor_9/{letter}": np.zeros(1, np.float32) for letter in "abcde"}
    with pytest.raises(CheckpointError, match="BoxPredictor_9/a, BoxPredictor_9/b, BoxPredictor_9/c and 2 more"):
        checkpoint.convert(**extra)


@pytest.mark.parametrize(
    "name", ["aspp1/weights", "aspp0/BatchNorm/FusedBatchNorm/Scaled", "MobilenetV2/Conv_1/Conv2D/merged_input"]
)
def test_full_deeplab_does_not_fit_the_reduced_one(checkpoints: dict[str, Checkpoint], name: str) -> None:
    with pytest.raises(CheckpointError, match=f"no place for: {name}"):
        checkpoints["fused"].convert(**{name: np.zeros(3, np.float32)})


@pytest.mark.parametrize("form", ["folded", "unfolded"])
def test_an_extra_layer_that_is_there_twice_is_refused(checkpoints: dict[str, Checkpoint], form: str) -> None:
    checkpoint = checkpoints[form]
    name = next(name for name in checkpoint.used if "layer_19_2_Conv2d_2_3x3_s2_512/" in name)
    with pytest.raises(CheckpointError, match="two tensors for the same layer"):
        checkpoint.convert(**{name.replace("s2_512", "s2_256"): checkpoint.raw[name]})


def test_checkpoint_of_another_number_of_classes_is_refused(checkpoints: dict[str, Checkpoint]) -> None:
    coco, pedestrian = checkpoints["folded"], checkpoints["unfolded"]
    with pytest.raises(CheckpointError, match="ClassPredictor.*another number of classes"):
        convert(coco.raw, pedestrian)


def test_empty_checkpoint_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="lacks the tensor"):
        convert({}, checkpoint)


@pytest.mark.parametrize(
    ("form", "module", "scope", "has_scale"),
    [
        ("folded", "backbone.stem", f"{BACKBONE}/Conv", False),
        ("folded", "backbone.blocks.0.depthwise", f"{BACKBONE}/expanded_conv/depthwise", True),
        ("folded", "backbone.blocks.7.project", f"{BACKBONE}/expanded_conv_7/project", False),
        ("folded", "extras.1.depthwise", f"{BACKBONE}/layer_19_2_Conv2d_3_3x3_s2_256_depthwise", True),
        ("fused", "backbone.stem", "MobilenetV2/Conv", False),
        ("fused", "backbone.blocks.16.depthwise", "MobilenetV2/expanded_conv_16/depthwise", True),
        ("fused", "head.pool", "image_pooling", False),
        ("fused", "head.project", "concat_projection", False),
    ],
)
def test_folded_norm_computes_scale_times_x_plus_offset(
    checkpoints: dict[str, Checkpoint], form: str, module: str, scope: str, has_scale: bool
) -> None:
    checkpoint = checkpoints[form]
    state = checkpoint.convert()
    endings = {
        "folded": ("batchnorm/mul", "batchnorm/sub"),
        "fused": ("FusedBatchNorm/Scaled", "FusedBatchNorm/Offset"),
    }
    scale, offset = (f"{scope}/BatchNorm/{ending}" for ending in endings[form])
    raw_offset = checkpoint.raw[offset]
    assert (scale in checkpoint.raw) == has_scale
    raw_scale = checkpoint.raw[scale] if has_scale else np.ones_like(raw_offset)
    norm = torch.nn.BatchNorm2d(len(raw_offset), eps=1e-5 if module.startswith("head.") else 1e-3).eval()
    prefix = f"{module}.bn."
    own = {key.removeprefix(prefix): torch.tensor(state[key]) for key in state if key.startswith(prefix)}
    norm.load_state_dict(own)
    x = np.random.default_rng(0).normal(size=(2, len(raw_offset), 3, 5)).astype(np.float32)
    with torch.no_grad():
        found = norm(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, raw_scale[:, None, None] * x + raw_offset[:, None, None], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "scope"),
    [
        ("backbone.stem", f"{BACKBONE}/Conv"),
        ("backbone.last", f"{BACKBONE}/Conv_1"),
        ("backbone.blocks.0.project", f"{BACKBONE}/expanded_conv/project"),
        ("backbone.blocks.16.expand", f"{BACKBONE}/expanded_conv_16/expand"),
        ("head.pool", "image_pooling"),
        ("head.atrous.2", "aspp3"),
        ("head.classifier", "logits/semantic"),
        ("extras.0.reduce", f"{BACKBONE}/layer_19_1_Conv2d_2_1x1"),
        ("extras.3.pointwise", f"{BACKBONE}/layer_19_2_Conv2d_5_3x3_s2"),
        ("class_predictors.0.depthwise", "BoxPredictor_0/ClassPredictor_depthwise"),
        ("box_predictors.5.pointwise", "BoxPredictor_5/BoxEncodingPredictor"),
    ],
)
def test_scopes_are_tensorflows(module: str, scope: str) -> None:
    assert tensorflow_scope(module) == scope.removeprefix("FeatureExtractor/")


def test_module_tensorflow_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match="classifier has no counterpart"):
        tensorflow_scope("classifier")
