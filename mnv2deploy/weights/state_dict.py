"""Reads the state dicts torch programs save, ``.pth`` and ``.safetensors``, without running code in them.

Training scripts save more than a state dict, and wrap networks in others. `read_state_dict` finds the state dict and
takes the wrappers' prefixes off; `StateDict` then knows each tensor by the name an origin gives it.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError, MissingDependencyError
from mnv2deploy.weights.assembly import Tensors

if TYPE_CHECKING:
    from torch import Tensor

# Under these keys training scripts keep a state dict beside other things; averaged weights, which are the ones to be
# used, come first (timm's train.py, torchvision's references, OpenMMLab, Lightning). OpenMMLab's ``ema_state_dict`` is
# not among them: in its files the averaged weights are the ``state_dict``.
_WRAPPERS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net")
# DataParallel and AveragedModel; Lightning and users' own classes; torch.compile.
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
_COUNTERS = ("n_averaged", "num_batches_tracked")
_CONVERT = "save its tensors alone, with torch.save(model.state_dict(), FILE)"

# What a numpy number beside the weights is pickled with. Numpy's own would believe whatever a file says of its memory.
_NUMPY_SCALARS = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar", "numpy.dtype")


class _Ignored:
    """Stands in the place of something beside the weights that is not needed."""

    def __init__(self, *_: object) -> None:
        """Takes what the real one would."""

    def __setstate__(self, _: object) -> None:
        """Likewise."""


def read_state_dict(path: Path) -> Tensors:
    """Reads a state dict by the names the network itself gives its tensors.

    Args:
        path: What ``torch.save`` wrote, a dict of tensors or one that holds such a dict under a usual key; or a
            ``.safetensors`` file.

    Returns:
        Arrays that may share the file's storage; bfloat16 is widened to float32.

    Raises:
        CheckpointError: the file is damaged, is of another kind, holds quantized tensors, or cannot be read without
            running code in it.
    """
    import torch

    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    state = _state_dict_in(found, path)
    _refuse_quantized(state, path)
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path} is not a torch state dict: {_quoted(name)} is no tensor; {_CONVERT}.")
        tensors[name] = value
    if not tensors:
        raise CheckpointError(f"{path} is not a torch state dict: it holds no tensors.")
    bare = {name: value for name, value in tensors.items() if name.rpartition(".")[2] not in _COUNTERS}
    prefix = _common_prefix(bare)
    return {name.removeprefix(prefix): _array(value, name, path) for name, value in tensors.items()}


class StateDict:
    """A checkpoint as an `Origin` whose tensors are ours, as torch's are: only the names differ.

    Args:
        raw: Tensors by the origin's names.
        name_of: The origin's name of one of our tensors.
        where: File name, for messages.
        leads_nowhere: Prefixes of tensors that the origin's network has and does not use.
    """

    def __init__(
        self, raw: Tensors, name_of: Callable[[str], str], where: str, leads_nowhere: tuple[str, ...] = ()
    ) -> None:
        self._raw = raw
        self._name_of = name_of
        self._where = where
        self._leads_nowhere = leads_nowhere
        self._used: set[str] = set()
        self.last = ""

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        name = self._name_of(key)
        if name not in self._raw:
            raise CheckpointError(f"{self._where} lacks the tensor {name}.")
        self._used.add(name)
        self.last = name
        return self._raw[name]

    def unused(self) -> list[str]:
        """See `Origin.unused`."""
        return sorted(
            name
            for name in set(self._raw) - self._used
            if name.rpartition(".")[2] not in _COUNTERS and not name.startswith(self._leads_nowhere or ("\0",))
        )


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingDependencyError(
            "Reading .safetensors files needs safetensors; install with: pip install 'mnv2deploy[build]'"
        ) from error
    try:
        return load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}.") from error
    except Exception as error:  # the library raises its own kind, and torch's where a type is unknown to it
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged ({error}).") from error


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        _refuse_compressed(path)
        # torchvision's and timm's scripts keep their options beside the weights: a class that does nothing.
        harmless: list[Any] = [argparse.Namespace, *((_Ignored, name) for name in _NUMPY_SCALARS)]
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        needs = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f" (it needs {needs[1]})" if needs else ""
        raise CheckpointError(
            f"{path} is not a torch state dict that can be read without running code in it{why}; where it comes from, "
            f"{_CONVERT}."
        ) from error
    except Exception as error:  # unpickling fails in as many ways as there are broken files
        raise CheckpointError(
            f"{path} is not a torch state dict that can be read without running code in it, or is damaged; fetch it "
            f"again, or {_CONVERT}."
        ) from error


def _refuse_compressed(path: Path) -> None:
    """Torch stores its tensors as they are; what is compressed may unfold to any size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("a compressed member")


def _state_dict_in(found: Any, path: Path) -> Mapping[Any, Any]:
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} is not a torch state dict but one {type(found).__name__}; {_CONVERT}.")
    for key in _WRAPPERS:
        if isinstance(inner := found.get(key), Mapping):
            return inner
    return found


def _refuse_quantized(state: Mapping[Any, Any], path: Path) -> None:
    """What ``torch.ao.quantization.convert`` made: quantized tensors, and a linear layer's packed in a tuple."""
    import torch

    for name, value in state.items():
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, torch.Tensor) and part.is_quantized for part in parts):
            raise CheckpointError(
                f"{path} is no float checkpoint: {_quoted(name)} is quantized, so its weights are already eight-bit; "
                "give the float or QAT checkpoint it was made of."
            )


def _common_prefix(names: Collection[str]) -> str:
    """What wrappers put before every name, for example ``module.model.``."""
    prefix = ""
    while names and (
        more := next((more for more in _PREFIXES if all(name.startswith(prefix + more) for name in names)), "")
    ):
        prefix += more
    return prefix


def _array(tensor: Tensor, name: str, path: Path) -> NDArray[Any]:
    import torch

    if tensor.layout != torch.strided:
        raise CheckpointError(f"{path} is not a torch state dict of plain numbers: {name} is sparse.")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{path} is not a torch state dict: {name} claims more numbers than the file holds.")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: NDArray[Any] = tensor.detach().numpy()
    return array


def _quoted(name: object) -> str:
    """A key of a dict from strangers, in few characters."""
    return repr(name[:60]) if isinstance(name, str) else f"a key of type {type(name).__name__}"
