"""Runs in the environment ``litert-torch``: turns a torch.export program into a .tflite.

python -m engines.to_tflite PROGRAM.pt2 MODEL.tflite
"""

import sys

import litert_torch
import torch
from torch.fx import GraphModule


def main() -> None:
    """Converts."""
    source, target = sys.argv[1:]
    program = torch.export.load(source)
    module = program.module()
    spell_tiles_out(module)
    litert_torch.convert(module, program.example_inputs[0]).export(target)


def spell_tiles_out(module: GraphModule) -> None:
    """Writes each `tile` as the sum with zeros of its shape, which becomes a BROADCAST_TO.

    litert-torch 0.10 turns the network from NCHW to NHWC and forgets to turn the repetitions of a tile, and the shape
    of an expand.
    """
    aten = torch.ops.aten
    for node in module.graph.nodes:
        if node.target in (aten.tile.default, aten.repeat.default, aten.expand.default):
            with module.graph.inserting_before(node):
                zeros = module.graph.call_function(aten.zeros.default, (list(node.meta["val"].shape),))
            node.target, node.args = aten.add.Tensor, (node.args[0], zeros)
    module.recompile()


if __name__ == "__main__":
    main()
