"""What ``mnv2deploy export`` is told, checked before anything slow begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv2deploy.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.catalog.cards import InputSize

# Of the options of ``--from``; their help lists these too.
CHOICES: dict[str, tuple[object, ...]] = {
    "task": ("classify", "detect", "segment"),
    "head": ("deeplabv3", "deeplabv3plus", "fcn", "pspnet"),
    "resize": ("stretch", "centre_crop", "pad"),
    "interpolation": ("bilinear", "antialias", "bicubic"),
    "output_stride": (8, 16, 32),
    "activation": ("softmax", "sigmoid"),
}
OPSETS = (18, 19, 20, 21, 22, 23)


def choices(option: str) -> str:
    """``classify|detect|segment``, for the help."""
    return "|".join(map(str, CHOICES[option]))


def check_words(said: dict[str, Any], opset: int | None) -> None:
    """Raises UsageError where an option has a value it does not know."""
    if opset not in (None, *OPSETS):
        raise UsageError(f"--opset {opset} cannot be written; choose {OPSETS[0]} to {OPSETS[-1]}.")
    for option, values in CHOICES.items():
        value = said[option]
        if value not in (None, *values):
            among = ", ".join(map(str, values))
            raise UsageError(f"--{option.replace('_', '-')} {value} is not one of {among}.")


def check_files(output: Path | None, state_dict: Path | None, pictures: Sequence[Path]) -> None:
    """Checks the names of what is written, and that the pictures can be read.

    Raises:
        UsageError: a name has another ending.
        InputError: a picture is missing, or none.
    """
    if output is not None and output.suffix != ".onnx":
        raise UsageError(f"{output}: an artifact's name ends in .onnx.")
    if state_dict is not None and state_dict.suffix != ".safetensors":
        raise UsageError(f"{state_dict}: the name of a state dict ends in .safetensors.")
    if pictures:
        from mnv2deploy.runtime.images import read

        for picture in pictures:
            read(picture)


def input_size(text: str) -> InputSize:
    """``512x1024`` as a size, and ``224`` as a square.

    Raises:
        UsageError: it is none.
    """
    from mnv2deploy.catalog.cards import InputSize

    try:
        return InputSize.parse(text)
    except ValueError as error:
        raise UsageError(f"--size {error}.") from error


def refuse_checkpoint(name: str) -> None:
    """Raises UsageError where a NAME is no model of the catalog but a file that --from would take."""
    from mnv2deploy.catalog.cards import card_names

    path = Path(name)
    if path.suffix != ".toml" and name not in card_names() and path.exists():
        raise UsageError(f"{name} is no model of the catalog; did you mean --from {name}?")


def require_build_extra() -> None:
    """Raises MissingDependencyError unless what building needs is installed; imports none of it."""
    from importlib.util import find_spec

    if missing := [name for name in ("torch", "onnx", "onnxscript", "onnxsim") if find_spec(name) is None]:
        raise MissingDependencyError(
            f"Building an artifact needs {', '.join(missing)}; install with: pip install 'mnv2deploy[build]'"
        )
