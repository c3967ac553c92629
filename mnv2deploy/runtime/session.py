"""An artifact in onnxruntime: opening it, reading its contract, running it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime
from numpy.typing import NDArray

from mnv2deploy.contract import (
    METADATA_KEY,
    ClassificationDecoding,
    Contract,
    DetectionDecoding,
    Input,
    SegmentationDecoding,
    parse_contract,
)
from mnv2deploy.errors import MissingDependencyError, ModelError, UsageError
from mnv2deploy.runtime.images import as_image
from mnv2deploy.runtime.preprocessing import Tensor, prepare
from mnv2deploy.runtime.processors import thread_count

_SUFFIX = "ExecutionProvider"
_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}  # the contract's names and onnxruntime's
D = TypeVar("D", DetectionDecoding, ClassificationDecoding, SegmentationDecoding)


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output, as the graph has it.

    Attributes:
        name: Of the tensor.
        type: Onnxruntime's name of it, such as ``tensor(float)``.
        shape: With None for each side the graph does not fix.
    """

    name: str
    type: str
    shape: tuple[int | None, ...]


class Session:
    """An open artifact.

    Args:
        model: Path of the ``.onnx`` file, or its bytes.
        threads: For one inference; None takes every processor this process may use.
        provider: Execution provider in short, ``cpu``, ``cuda``, ``openvino``, ``coreml`` and so on.
        name: What to call the model in messages; its path by default.
        profile: Folder for onnxruntime's record of every operator, see `end_profiling`; None records nothing.

    Attributes:
        contract: As read from the artifact.
        providers: The execution providers in use, first choice first.

    Raises:
        UsageError: the file does not exist, or ``threads`` is not positive.
        ModelError: not an ONNX model, or not an artifact of mnv2deploy.
        MissingDependencyError: this onnxruntime has no such provider.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int | None = None,
        provider: str = "cpu",
        name: str | None = None,
        profile: Path | None = None,
    ) -> None:
        self.name = name or (str(model) if isinstance(model, Path) else "the model")
        if isinstance(model, Path) and not model.is_file():
            raise UsageError(f"{model}: there is no such file; 'mnv2deploy export NAME' makes the artifact NAME.onnx.")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong comes as an exception; nothing is printed
        options.intra_op_num_threads = thread_count(threads)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile / "profile")
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=[_provider(provider)]
            )
        except MissingDependencyError:
            raise
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ModelError(
                f"{self.name} is not a model onnxruntime {onnxruntime.__version__} can open ({_first_line(error)}); "
                "make an artifact with 'mnv2deploy export'."
            ) from error
        self.providers: list[str] = self._session.get_providers()
        self.contract = self._read_contract()

    @property
    def fixed_batch(self) -> int | None:
        """How many pictures a run takes, where the graph fixes it; None where any number will do."""
        name = self.contract.input.name
        shape = self._graph_input(name).shape
        return shape[0] if shape and isinstance(shape[0], int) else None

    @property
    def graph_inputs(self) -> tuple[GraphTensor, ...]:
        """Of the graph, whatever the contract says."""
        return tuple(map(_graph_tensor, self._session.get_inputs()))

    @property
    def graph_outputs(self) -> tuple[GraphTensor, ...]:
        """Of the graph, whatever the contract says."""
        return tuple(map(_graph_tensor, self._session.get_outputs()))

    def run(self, tensor: Tensor) -> list[NDArray[Any]]:
        """The outputs the contract lists, in its order, for inputs as `prepare` makes them, N at once."""
        names = [output.name for output in self.contract.outputs]
        outputs: list[NDArray[Any]] = self._session.run(names, {self.contract.input.name: tensor})
        return outputs

    def run_picture(self, picture: object) -> tuple[list[NDArray[Any]], int, int]:
        """Prepares one picture as the contract says, and runs it.

        Args:
            picture: (H, W, 3) uint8 RGB, or the path of a picture file.

        Returns:
            The outputs the contract lists, without their batch dimension, and the picture's height and width.

        Raises:
            UsageError: neither a path nor such an array.
            InputError: the file is not a picture that can be read.
        """
        image = as_image(picture)
        outputs = self.run(prepare(image, self.contract.input, self.contract.preprocessing))
        return [output[0] for output in outputs], image.shape[0], image.shape[1]

    def end_profiling(self) -> Path:
        """Ends the record that ``profile`` began; returns its file, a list of events in Chrome's trace format."""
        return Path(self._session.end_profiling())

    def decoding(self, kind: type[D]) -> D:
        """The contract's decoding, which has to be of this kind.

        Raises:
            ModelError: the artifact is for another task.
        """
        decoding = self.contract.decoding
        if not isinstance(decoding, kind):
            raise ModelError(
                f"{self.name} is a model to {decoding.task} with; use 'mnv2deploy {decoding.task}', or another model."
            )
        return decoding

    def _read_contract(self) -> Contract:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(
                f"{self.name} carries no mnv2deploy contract, so nothing says how to prepare its input or read its "
                "output; make the artifact with 'mnv2deploy export'."
            )
        contract = parse_contract(text, self.name)
        self._require([contract.input.name], [entry.name for entry in self._session.get_inputs()])
        self._require(
            [output.name for output in contract.outputs], [entry.name for entry in self._session.get_outputs()]
        )
        self._require_input(contract.input)
        return contract

    def _graph_input(self, name: str) -> Any:
        """Onnxruntime's entry of it: ``type``, and ``shape`` with a number or a name for each dimension."""
        return next(entry for entry in self._session.get_inputs() if entry.name == name)

    def _require(self, promised: Sequence[str], present: Sequence[str]) -> None:
        if missing := sorted(set(promised) - set(present)):
            raise ModelError(
                f"{self.name}: the contract names {', '.join(missing)}, which the graph has not; export it again."
            )

    def _require_input(self, promised: Input) -> None:
        """The graph's input has the type and, as far as it fixes one, the shape that pictures are prepared for."""
        entry, wanted = self._graph_input(promised.name), ("N", *promised.shape)
        fits = len(entry.shape) == len(wanted) and all(
            side == right for side, right in zip(entry.shape[1:], promised.shape, strict=True) if isinstance(side, int)
        )
        if not fits or entry.type != _TYPES[promised.dtype]:
            raise ModelError(
                f"{self.name}: the contract promises an input of {promised.dtype} {_shape(wanted)}, and the graph "
                f"takes {entry.type} {_shape(entry.shape)}; export it again."
            )


def _provider(short: str) -> str:
    available: list[str] = onnxruntime.get_available_providers()
    for provider in available:
        if provider.removesuffix(_SUFFIX).lower() == short.removesuffix(_SUFFIX).lower():
            return provider
    names = ", ".join(provider.removesuffix(_SUFFIX).lower() for provider in available)
    raise MissingDependencyError(
        f"This onnxruntime has no provider {short!r}, only {names}; others come with other onnxruntime packages."
    )


def _graph_tensor(entry: Any) -> GraphTensor:
    return GraphTensor(entry.name, entry.type, tuple(side if isinstance(side, int) else None for side in entry.shape))


def _shape(sides: Sequence[object]) -> str:
    return f"({', '.join(map(str, sides))})"


def _first_line(error: Exception) -> str:
    """What onnxruntime says, less its ``[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : `` and the full stop."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    return text.splitlines()[0][:200].removesuffix(".") if text else type(error).__name__
