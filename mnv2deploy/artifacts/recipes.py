"""Build recipes (``models/*.toml``): which model, with which options, to which file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mnv2deploy.catalog.cards import read_toml
from mnv2deploy.errors import ModelError
from mnv2deploy.structure import build


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """``[export]`` of a recipe."""

    opset: int | None = None
    simplify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecipeFile:
    model: str
    export: ExportOptions = field(default_factory=ExportOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One artifact to build.

    Attributes:
        model: Name of a catalog card, or path of one of your own.
        output: The artifact.
        opset: Of the graph; None for the exporter's default.
        simplify: Whether onnxsim is run.
    """

    model: str
    output: Path
    opset: int | None = None
    simplify: bool = True


def recipe_for(name_or_path: str) -> Recipe:
    """The recipe in a TOML file, whose artifact lands in ``build/`` beside it; or the plain one of a model.

    Raises:
        ModelError: the file is malformed.
        UsageError: it cannot be opened.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        table = read_toml(path)
        if "model" in table:
            try:
                parsed = build(_RecipeFile, table)
            except ValueError as error:
                raise ModelError(f"{path}: {error}.") from error
            output = path.parent / "build" / f"{path.stem}.onnx"
            return Recipe(model=parsed.model, output=output, opset=parsed.export.opset, simplify=parsed.export.simplify)
    return Recipe(model=name_or_path, output=Path(f"{path.stem}.onnx"))
