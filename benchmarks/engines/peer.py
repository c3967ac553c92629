"""What every peer does to a picture before its network: ordinary OpenCV and numpy, written with care for speed."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.decoding import decoder, fitted_size

Pixels = NDArray[np.uint8]
Outputs = list[NDArray[Any]]


class Peer:
    """Base of the engines: decode, resize, normalise, run, decode.

    Where the network takes the picture's bytes, `(1, H, W, 3)` uint8, normalising falls away.

    Args:
        contract: The artifact's, as JSON has it.
        threads: For OpenCV; the engine sees to its own.
        channels_last: Whether the engine takes floats as `(1, H, W, 3)` instead of `(1, 3, H, W)`.

    Attributes:
        description: Name and version of what runs the network.
        takes_bytes: Whether the network takes the picture's bytes.
    """

    description: str

    def __init__(self, contract: SimpleNamespace, threads: int, *, channels_last: bool = False) -> None:
        cv2.setNumThreads(threads)
        self.contract = contract
        self.side = contract.input.height, contract.input.width
        self.takes_bytes = contract.input.dtype == "uint8"
        self._channels_last = channels_last
        preprocessing = contract.preprocessing
        self._scale = np.float32(1) / np.array(preprocessing.std, np.float32)
        self._offset = -np.array(preprocessing.mean, np.float32) * self._scale
        self._buffer = np.empty((1, *self.side, 3) if channels_last else (1, 3, *self.side), np.float32)
        self._decode = decoder(contract)

    def feed(self, tensor: NDArray[np.float32 | np.uint8]) -> Any:
        """`(1, 3, H, W)` float32 or `(1, H, W, 3)` uint8, prepared by mnv2deploy -> what `run` takes."""
        turn = self._channels_last and not self.takes_bytes
        return np.ascontiguousarray(tensor.transpose(0, 2, 3, 1)) if turn else tensor

    def run(self, feed: Any) -> Outputs:
        """The raw outputs in the contract's order."""
        raise NotImplementedError

    def answer(self, path: str) -> Any:
        """From a picture file to the final answer."""
        pixels = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
        return self._decode(self.run(self.prepare(pixels)), *pixels.shape[:2])

    def as_array(self, answer: Any) -> NDArray[Any]:
        """An answer in the form `agreement` compares: see `decoding`."""
        return np.asarray(answer)

    def prepare(self, pixels: Pixels) -> Any:
        """`(H, W, 3)` RGB -> what `run` takes."""
        fitted = self.fit(pixels)
        return self.padded(fitted)[None] if self.takes_bytes else self.normalise(fitted)

    def fit(self, pixels: Pixels) -> Pixels:
        """Resizes bilinearly, as the contract's ``resize`` says but without antialiasing; not padded yet."""
        height, width = self.side
        resize = self.contract.preprocessing.resize
        if resize == "centre_crop":  # the crop first: what is cut off need not be resized
            scale = min(pixels.shape[:2]) / self.contract.preprocessing.shorter_side
            rows, columns = round(height * scale), round(width * scale)
            top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
            pixels = pixels[top : top + rows, left : left + columns]
        elif resize == "pad":
            height, width = fitted_size(*pixels.shape[:2], *self.side)
        return np.asarray(cv2.resize(pixels, (width, height)), np.uint8)

    def padded(self, pixels: Pixels) -> Pixels:
        """A picture that `fit` made, as large as the input, with the contract's grey below and on the right."""
        below, right = (side - own for side, own in zip(self.side, pixels.shape[:2], strict=True))
        if not below and not right:
            return pixels
        value = [round(self.contract.preprocessing.pad_value)] * 3
        return np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT, value=value), np.uint8)

    def normalise(self, pixels: Pixels) -> NDArray[np.float32]:
        """The input tensor; always the same buffer."""
        height, width = pixels.shape[:2]
        buffer = self._buffer
        planes = np.moveaxis(buffer[0], -1, 0) if self._channels_last else buffer[0]
        if (height, width) != self.side:
            padding = self.contract.preprocessing.pad_value * self._scale + self._offset
            planes[:, height:] = planes[:, :height, width:] = padding[:, None, None]
        if self._channels_last:  # whole rows at a time: numpy is slow over a last axis of three
            rows = np.multiply(pixels.reshape(height, -1), np.tile(self._scale, width))
            rows += np.tile(self._offset, width)
            buffer[0, :height, :width] = rows.reshape(height, width, 3)
            return buffer
        for plane, channel, scale, offset in zip(planes, cv2.split(pixels), self._scale, self._offset, strict=True):
            part = plane[:height, :width]
            np.multiply(channel, scale, out=part)
            part += offset
        return buffer
