"""Builds of a network of nine numbers: everything is real but export, quantization, finishing and the clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from byte_inputs import QUANTIZATION
from tiny_models import BLUE, GREEN, RED, save_picture, tiny_classifier

from mnv2deploy.artifacts import steps
from mnv2deploy.artifacts.manifest import Layer, Parity, Speed
from mnv2deploy.artifacts.pipeline import Built, Settings, build_artifacts
from mnv2deploy.artifacts.recipes import read_recipe
from mnv2deploy.artifacts.store import Store
from mnv2deploy.artifacts.watching import Watcher
from mnv2deploy.contract import METADATA_KEY
from mnv2deploy.structure import plain

LABELS = {3: "red", 5: "green", 9: "blue"}
RECIPE = """\
model = "mobilenet-v2"
weights = "weights.safetensors"

[quantization]
calibration = "calibrated"
profile = "fast"

[measure]
pictures = "compared"
dataset = "labelled"

[[artifacts]]
name = "fp32"

[[artifacts]]
name = "int8"
quantized = true
[artifacts.checks]
min_agreement = 40

[[artifacts]]
name = "bytes"
input = "uint8"
"""
STEPS = [
    "export",
    "quantize",
    "finish bytes",
    "measure fp32",
    "measure int8",
    "measure bytes",
    "time",
]


class Noted(Watcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[str, str]] = []
        self.warnings: list[str] = []

    def makes(self, recipe: str, step: str, place: str) -> None:
        self.begun.append((place, step))

    def warns(self, recipe: str, message: str) -> None:
        self.warnings.append(f"{recipe}: {message}")

    @property
    def made(self) -> list[str]:
        return [step for _, step in self.begun]


@dataclass
class Bench:
    """A folder with the recipe ``small.toml`` and all it names.

    Attributes:
        folder: It.
        calls: Arguments of every step that was made, by its function, in their order.
        failing: Raised by the step of this name.
    """

    folder: Path
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)

    @property
    def recipe(self) -> Path:
        return self.folder / "small.toml"

    def write(self, old: str = "", new: str = "", name: str = "small.toml") -> Path:
        """The recipe with something else in it."""
        assert old in RECIPE
        (self.folder / name).write_text(RECIPE.replace(old, new, 1), encoding="utf-8")
        return self.folder / name

    def made(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def build(self, watcher: Watcher | None = None, *, timed: bool = True, **settings: Any) -> Built:
        store = Store(self.folder / "store")
        held = Settings(store=store, offline=True, watcher=watcher or Watcher(), **settings)
        return build_artifacts(read_recipe(self.recipe), held, timed=timed)

    def steps_made(self) -> list[str]:
        """Of a build now."""
        watcher = Noted()
        self.build(watcher)
        return watcher.made


def make_bench(folder: Path, monkeypatch: Any) -> Bench:
    """Replaces the slow functions of `steps`."""
    bench = Bench(folder)
    bench.write()
    (folder / "weights.safetensors").write_bytes(b"as if")
    for name, colours in (("calibrated", (RED, GREEN, BLUE)), ("compared", (BLUE, GREEN, RED))):
        for number in range(4):
            stripes = [colours[(number + step) % 3] for step in range(1 + number)]
            save_picture(folder / name / f"{number}.png", *stripes, height=16 if name == "compared" else 20)
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        save_picture(folder / "labelled" / name / "0.png", colour)
    for made in (_export, _quantized, _finished, _times):
        name = f"make{made.__name__}"
        monkeypatch.setattr(steps, name, _called(bench, name, made))
    return bench


def _called(bench: Bench, name: str, made: Callable[..., None]) -> Callable[..., None]:
    def call(folder: Path, *arguments: Any, **options: Any) -> None:
        bench.calls.append((name, arguments, options))
        if name in bench.failing:
            raise bench.failing[name]
        made(folder, *arguments)

    return call


def _export(folder: Path, *_: Any) -> None:
    tiny_classifier(folder / steps.MODEL, LABELS)
    save_picture(folder / steps.GOLDEN, RED)
    parity = Parity(output="logits", batch=1, max_error=1e-6, mean_error=1e-7, relative_error=1e-7)
    _write(folder, steps.ExportResult(parity=(parity,), parameters=9, multiply_adds=9, not_simplified=None))


def _quantized(folder: Path, floats: Path, *_: Any) -> None:
    """A network of its own, to be known by its bytes, that takes red for blue."""
    tiny_classifier(folder / steps.MODEL, LABELS, ((1, 0, 9), (0, 9, 0), (0, 0, 9)))
    model = onnx.load(folder / steps.MODEL)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    contract = json.loads(entry.value)
    contract["provenance"]["quantization"] = plain(QUANTIZATION)
    entry.value = json.dumps(contract)
    onnx.save(model, folder / steps.MODEL)
    layer = Layer(name="only", op="MatMul", quantized=True, sqnr_db=20.0)
    _write(folder, steps.QuantizationResult(layers=(layer,)))


def _finished(folder: Path, model: Path, *_: Any) -> None:
    proto = onnx.load(model)
    proto.doc_string = "finished"
    onnx.save(proto, folder / steps.MODEL)


def _times(folder: Path, models: dict[str, Path], *_: Any) -> None:
    times = [
        Speed(milliseconds=1.0 + index, speedup=None, quartiles=None, machine="m", disturbed=None)
        for index, _ in enumerate(models)
    ]
    _write(folder, steps.Times(artifacts=tuple(times)))


def _write(folder: Path, result: Any) -> None:
    (folder / steps.RESULT).write_text(json.dumps(plain(result)), encoding="utf-8")
