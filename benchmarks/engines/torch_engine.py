"""PyTorch with the catalog's network and weights: the network the artifact was exported from."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch._inductor.config
import torch.nn.functional as F
from numpy.typing import NDArray

from engines.decoding import fitted_size
from engines.peer import Outputs, Peer, Pixels
from engines.torch_network import load


class Engine(Peer):
    """A module in inference mode.

    Args:
        model: The artifact; only what its contract says of it is used.
        contract: Of the artifact.
        threads: Of one inference.
        channels_last: Whether weights and input are in that memory format.
        compiled: Whether `torch.compile` is used, with weights frozen into the code as is advised for inference.
    """

    def __init__(
        self, model: str, contract: SimpleNamespace, threads: int, channels_last: bool = False, compiled: bool = False
    ) -> None:  # `model` is read by nothing: the weights come from where the artifact's came from
        super().__init__(contract, threads)
        del model
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._network = load(contract.provenance.model).to(memory_format=self._format)
        if compiled:
            torch._inductor.config.freezing = True
            self._network = torch.compile(self._network, dynamic=False)
        self._mean, self._std = (
            torch.tensor(values).view(3, 1, 1) for values in (contract.preprocessing.mean, contract.preprocessing.std)
        )
        self.description = torch.__version__

    def feed(self, tensor: NDArray[np.float32]) -> Any:
        return torch.from_numpy(tensor).contiguous(memory_format=self._format)

    @torch.inference_mode()
    def run(self, feed: Any) -> Outputs:
        outputs = self._network(feed)
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    @torch.inference_mode()
    def prepare(self, pixels: Pixels) -> Any:
        """As torchvision's transforms do it: a uint8 tensor, antialiased where the contract says so."""
        preprocessing, (height, width) = self.contract.preprocessing, self.side
        picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        rows, columns = height, width
        if preprocessing.resize == "centre_crop":
            scale = preprocessing.shorter_side / min(pixels.shape[:2])
            rows, columns = (int(side * scale + 1e-9) for side in pixels.shape[:2])  # as torchvision rounds
        elif preprocessing.resize == "pad":
            rows, columns = fitted_size(*pixels.shape[:2], height, width)
        antialias = preprocessing.interpolation == "antialias"
        picture = F.interpolate(picture, (rows, columns), mode="bilinear", antialias=antialias)
        if preprocessing.resize == "centre_crop":
            top, left = (rows - height) // 2, (columns - width) // 2
            picture = picture[:, :, top : top + height, left : left + width]
        tensor = picture.to(torch.float32)
        if preprocessing.resize == "pad":
            tensor = F.pad(tensor, (0, width - columns, 0, height - rows), value=preprocessing.pad_value)
        return ((tensor - self._mean) / self._std).contiguous(memory_format=self._format)
