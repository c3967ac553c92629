"""ncnn, on the artifact converted by pnnx: see `conversion`."""

from types import SimpleNamespace
from typing import Any

import ncnn
import numpy as np

from engines.decoding import fitted_size
from engines.peer import Outputs, Peer, Pixels


class Engine(Peer):
    """A `Net` in float32, with ncnn's own resizing and normalisation.

    Args:
        model: The ``.param`` file; the weights are beside it.
        contract: Of the artifact.
        threads: Of one inference.
    """

    def __init__(self, model: str, contract: SimpleNamespace, threads: int) -> None:
        super().__init__(contract, threads)
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = options.use_bf16_packed = False
        if self._net.load_param(model) or self._net.load_model(model.removesuffix(".param") + ".bin"):
            raise ValueError(f"ncnn cannot load {model}")
        self._names = [f"out{index}" for index in range(len(contract.outputs))]
        self.description = f"{ncnn.__version__}, f32"

    def feed(self, tensor: Any) -> Any:
        return ncnn.Mat(tensor[0]).clone()  # by itself it borrows the memory and does not keep it alive

    def run(self, feed: Any) -> Outputs:
        extractor = self._net.create_extractor()
        extractor.input("in0", feed)
        return [np.array(extractor.extract(name)[1])[None] for name in self._names]

    def prepare(self, pixels: Pixels) -> Any:
        preprocessing, (height, width) = self.contract.preprocessing, self.side
        rgb, (rows, columns) = ncnn.Mat.PixelType.PIXEL_RGB, pixels.shape[:2]
        if preprocessing.resize == "centre_crop":
            scale = min(rows, columns) / preprocessing.shorter_side
            high, wide = round(height * scale), round(width * scale)
            top, left = (rows - high) // 2, (columns - wide) // 2
            mat = ncnn.Mat.from_pixels_roi_resize(pixels, rgb, columns, rows, left, top, wide, high, width, height)
        elif preprocessing.resize == "pad":
            high, wide = fitted_size(rows, columns, height, width)
            mat = ncnn.Mat.from_pixels_resize(pixels, rgb, columns, rows, wide, high)
            mat = ncnn.copy_make_border(mat, 0, height - high, 0, width - wide, 0, preprocessing.pad_value)
        else:
            mat = ncnn.Mat.from_pixels_resize(pixels, rgb, columns, rows, width, height)
        mat.substract_mean_normalize(list(preprocessing.mean), [1 / std for std in preprocessing.std])
        return mat
