"""The backbone, classifier and segmenter against Hugging Face's, with the same weights (tests/reference/README.md)."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from deterministic_weights import picture, weight
from hf_names import Case, hf_name, our_names, parse_case
from numpy.typing import NDArray
from torch import nn

from mnv2deploy.networks import deeplab
from mnv2deploy.networks.deeplab import DeepLabV3
from mnv2deploy.networks.mobilenet_v2 import Conventions, MobileNetV2, MobileNetV2Classifier

REFERENCE = Path(__file__).parent.parent / "reference" / "hf_mobilenet_v2.npz"
# Both ran in float64, and what is stored was rounded to float32: of numbers to 30, one unit in the last place is 2e-6.
TOLERANCE = 2e-6
BACKBONE_EPSILON, HEAD_EPSILON = 1e-3, 1e-5


@pytest.fixture(scope="module")
def reference() -> dict[Case, NDArray[np.float32]]:
    with np.load(REFERENCE) as stored:
        return {parse_case(key): stored[key] for key in stored.files if key != "meta"}


@functools.cache
def made_up(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(weight(name, shape)).double()


def network(
    case: Case, backbone_epsilon: float = BACKBONE_EPSILON, head_epsilon: float = HEAD_EPSILON
) -> MobileNetV2Classifier | DeepLabV3:
    """Ours, filled by name, in float64."""
    conventions = Conventions(case.padding, backbone_epsilon)
    backbone = MobileNetV2(case.width_multiplier, case.output_stride, conventions, case.last_channels)
    if case.task == "classification":
        built: MobileNetV2Classifier | DeepLabV3 = MobileNetV2Classifier(backbone, 7)
    else:
        built = DeepLabV3(backbone, 7, Conventions(case.padding, head_epsilon))
    built = built.double().eval()
    built.load_state_dict({name: made_up(name, tuple(tensor.shape)) for name, tensor in built.state_dict().items()})
    return built


def answer(built: nn.Module, case: Case) -> NDArray[np.float64]:
    # Of segmentation one answer is stored; of classification the second picture is looked at once.
    batch = 2 if case.task == "classification" and case.height == 64 else 1
    x = torch.from_numpy(picture(2, case.height, case.width)[:batch]).double()
    with torch.inference_mode():
        return built(x).numpy()


def groups() -> list[tuple[str, float, int, str]]:
    with np.load(REFERENCE) as stored:
        cases = [parse_case(key) for key in stored.files if key != "meta"]
    return sorted({(case.task, case.width_multiplier, case.output_stride, case.padding) for case in cases})


def test_reference_covers_what_the_networks_can_be(reference: dict[Case, NDArray[np.float32]]) -> None:
    assert {case.width_multiplier for case in reference} == {0.35, 0.75, 1.0, 1.4}
    assert {(case.task, case.output_stride, case.padding) for case in reference} == {
        (task, stride, padding)
        for task in ("classification", "segmentation")
        for stride in (8, 16, 32)
        for padding in ("tf", "torch")
    }
    parities = {(case.height % 2, case.width % 2) for case in reference}
    assert {(0, 0), (1, 1)} < parities
    narrow = {case.last_channels for case in reference if case.width_multiplier < 1}
    assert narrow == {0, 1280, 448, 960}  # HF's finegrained_output, and without it: the last convolution narrow too


@pytest.mark.parametrize(("task", "width", "stride", "padding"), groups())
def test_network_answers_as_hugging_faces(
    task: str, width: float, stride: int, padding: str, reference: dict[Case, NDArray[np.float32]]
) -> None:
    group = (task, width, stride, padding)
    cases = [
        case for case in reference if (case.task, case.width_multiplier, case.output_stride, case.padding) == group
    ]
    if width > 0.35:  # to save time: 96x96 has even sides throughout, as 64x64 has
        cases = [case for case in cases if case.height != 96]
    assert len(cases) >= 3
    networks = {case.last_channels: network(case) for case in cases}
    for case in cases:
        found = answer(networks[case.last_channels], case)
        expected = reference[case][: len(found)]
        assert found.shape == expected.shape, case
        assert reference[case].std() > 0.5, case  # the comparison says something
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE, err_msg=case.key)


SEGMENTATION = Case("segmentation", 0.35, 8, "tf", 0, 96, 96)


@pytest.mark.parametrize("case", [SEGMENTATION, Case("classification", 0.35, 32, "tf", 1280, 64, 64)])
def test_another_padding_is_another_network(case: Case, reference: dict[Case, NDArray[np.float32]]) -> None:
    """Alike only where every side is odd."""
    assert np.abs(answer(network(replace(case, padding="torch")), case) - reference[case]).max() > 0.1
    odd = replace(case, height=65, width=97)
    other = answer(network(replace(odd, padding="torch")), odd)
    np.testing.assert_allclose(other, reference[odd][: len(other)], rtol=0, atol=TOLERANCE)


def test_other_epsilons_are_other_networks(reference: dict[Case, NDArray[np.float32]]) -> None:
    for epsilons in ((1e-5, HEAD_EPSILON), (BACKBONE_EPSILON, 1e-3)):
        other = answer(network(SEGMENTATION, *epsilons), SEGMENTATION)
        assert np.abs(other - reference[SEGMENTATION]).max() > 0.005, epsilons


def test_relu6_in_the_head_is_another_network(
    reference: dict[Case, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeplab.F, "relu", torch.nn.functional.relu6)
    assert np.abs(answer(network(SEGMENTATION), SEGMENTATION) - reference[SEGMENTATION]).max() > 0.5


@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_of_the_block_that_lost_its_stride_is_another_network(
    stride: int, reference: dict[Case, NDArray[np.float32]]
) -> None:
    """TensorFlow and HF dilate the blocks after it only."""
    case = replace(SEGMENTATION, output_stride=stride)
    built = network(case)
    conv = built.backbone.blocks[13].depthwise.conv
    conv.dilation = (2 * conv.dilation[0],) * 2
    assert np.abs(answer(built, case) - reference[case]).max() > 0.5


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_every_tensor_of_hugging_faces_has_a_place(task: str) -> None:
    """Its segmenter has a last 1x1 convolution that leads nowhere."""
    built = network(Case(task, 0.35, 32, "tf", 0 if task == "segmentation" else 1280, 64, 64))
    ours, theirs = set(built.state_dict()), set(our_names(task))
    unused = {name for name in theirs if name.startswith("backbone.last.")} if task == "segmentation" else set()
    assert ours == theirs - unused
    assert len({hf_name(name) for name in theirs}) == len(theirs)
