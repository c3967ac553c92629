"""The torch network an artifact was exported from; for processes in which mnv2deploy[build] is installed.

python -m engines.torch_network MODEL FILE      writes it as a torch.export program, input channels last
"""

import sys

import torch
from torch import Tensor, nn

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.networks import load_network
from mnv2deploy.weights.checkpoint import read_checkpoint
from mnv2deploy.weights.fetch import fetch


def load(model: str) -> nn.Module:
    """The network of a catalog card with its weights, in evaluation mode.

    Args:
        model: As the contract's provenance names it.
    """
    card = load_card(model)
    checkpoint = fetch(card.download).main
    return load_network(card, read_checkpoint(checkpoint, card.weights.format), str(checkpoint))


class ChannelsLast(nn.Module):
    """Takes (1, H, W, 3)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(1, H, W, 3) -> the network's outputs."""
        outputs: Tensor = self.network(x.permute(0, 3, 1, 2))
        return outputs


def main() -> None:
    """Traces and saves."""
    model, path = sys.argv[1:]
    card = load_card(model)
    example = torch.zeros(1, card.input.height, card.input.width, 3)
    torch.export.save(torch.export.export(ChannelsLast(load(model)).eval(), (example,)), path)


if __name__ == "__main__":
    main()
