"""Means over a map are rewritten for speed; what they compute stays."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from mnv2deploy.export.graph import trace
from mnv2deploy.export.pooling import project_pooled_branch_once, use_global_average_pool
from mnv2deploy.export.simplification import simplify
from mnv2deploy.networks.deeplab import DeepLabHead
from mnv2deploy.networks.mobilenet_v2 import Conventions

CHANNELS = 12


def operators(model):
    return [node.op_type for node in model.graph.node]


def producer(model, name):
    return next(node for node in model.graph.node if name in node.output)


def answer(model, x):
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})[0]


def traced(network, *shape):
    model, reason = simplify(trace(network.eval(), shape, ["out"], 18))
    assert reason is None
    return model


def head(atrous_rates):
    """A head whose weights and normalisations are all different."""
    torch.manual_seed(0)
    network = DeepLabHead(CHANNELS, 5, Conventions(), atrous_rates, 256, 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 2)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-1, 1)
    return network


@pytest.mark.parametrize("atrous_rates", [(), (2, 3)])
def test_the_pooled_branch_is_projected_once(atrous_rates):
    model = traced(head(atrous_rates), CHANNELS, 9, 11)
    x = np.random.default_rng(0).normal(size=(3, CHANNELS, 9, 11)).astype(np.float32)
    expected = answer(model, x)
    assert "Add" not in operators(model)
    use_global_average_pool(model)
    project_pooled_branch_once(model)
    (add,) = (node for node in model.graph.node if node.op_type == "Add")
    assert {producer(model, name).op_type for name in add.input} == {"Conv", "Tile"}
    assert operators(model).count("Concat") == (1 if atrous_rates else 0)
    assert "ReduceMean" not in operators(model)
    (projection,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("project.conv.weight"))
    assert projection.dims[1] == 256 * (1 + len(atrous_rates))
    np.testing.assert_allclose(answer(model, x), expected, atol=2e-5 * np.abs(expected).max())


class Twice(nn.Module):
    """A concatenation with a pooled part that two convolutions read, and means that are not over the whole map."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2 * CHANNELS, 3, 1), nn.Conv2d(2 * CHANNELS, 3, 1)

    def forward(self, x):
        both = torch.cat([x.mean(dim=(2, 3), keepdim=True).tile(1, 1, 4, 4), x], dim=1)
        return self.first(both) + self.second(both) + x.mean(dim=(1, 3), keepdim=True)


def test_what_is_no_deeplab_head_stays():
    model = traced(Twice(), CHANNELS, 4, 4)
    x = np.random.default_rng(0).normal(size=(2, CHANNELS, 4, 4)).astype(np.float32)
    expected = answer(model, x)
    before = operators(model)
    project_pooled_branch_once(model)
    assert operators(model) == before
    use_global_average_pool(model)
    assert (operators(model).count("ReduceMean"), operators(model).count("GlobalAveragePool")) == (1, 1)
    np.testing.assert_allclose(answer(model, x), expected, atol=1e-5)


def test_artifacts_are_written_so(artifacts):
    for name, absent in (("deeplabv3-voc", {"Concat", "ReduceMean"}), ("mobilenet-v2", {"ReduceMean"})):
        found = set(operators(onnx.load(artifacts[name])))
        assert "GlobalAveragePool" in found
        assert not found & absent
