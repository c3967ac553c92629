"""Releases of real artifacts, made by hand: no recipe, no build."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from manifests import a_manifest, an_artifact

from mnv2deploy.artifacts.checksums import CHECKSUMS as SUMS
from mnv2deploy.artifacts.golden import make_golden_picture, measure_golden
from mnv2deploy.artifacts.manifest import MANIFEST, Artifact, Manifest, ReleasedFile, read_manifest
from mnv2deploy.runtime.session import Session


def released(folder: Path, name: str) -> ReleasedFile:
    """A file of a release as it is."""
    data = (folder / name).read_bytes()
    return ReleasedFile(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def write_release(folder: Path, models: Mapping[str, Path], photo: Path) -> Manifest:
    """A release of these artifacts, by their names in the recipe, with the photo as its golden picture."""
    folder.mkdir(parents=True)
    (folder / "golden.png").write_bytes(make_golden_picture(photo))
    (folder / "small.toml").write_text('model = "small"\n')
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("# small\n")
    artifacts = tuple(_artifact(folder, name, model) for name, model in models.items())
    manifest = a_manifest(
        task=artifacts[0].contract.task,
        recipe=released(folder, "small.toml"),
        artifacts=artifacts,
        files=(released(folder, "golden.png"), released(folder, "docs/README.md")),
    )
    write_manifest(folder, manifest)
    return manifest


def _artifact(folder: Path, name: str, model: Path) -> Artifact:
    path = folder / f"small-{name}.onnx"
    path.write_bytes(model.read_bytes())
    contract = Session(path).contract
    is_quantized = contract.provenance.quantization is not None
    golden = measure_golden(path, folder / "golden.png", is_quantized=is_quantized)
    return an_artifact(name, file=released(folder, path.name), contract=contract, golden=golden)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The manifest, and sums that fit it."""
    (folder / MANIFEST).write_text(manifest.to_json())
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """What ``sha256sum`` prints of all files but the sums."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    (folder / SUMS).write_text("\n".join(lines) + "\n")


def reseal(folder: Path) -> None:
    """Writes hashes and sizes of changed files into the manifest, and the sums: what was changed is now official."""
    import dataclasses

    manifest = read_manifest(folder)
    artifacts = tuple(
        dataclasses.replace(artifact, file=released(folder, artifact.file.name)) for artifact in manifest.artifacts
    )
    files = tuple(released(folder, file.name) for file in manifest.files)
    write_manifest(folder, dataclasses.replace(manifest, artifacts=artifacts, files=files))
