"""A release: the folder people download, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from mnv2deploy.artifacts.checks import check
from mnv2deploy.artifacts.checksums import CHECKSUMS, checksums
from mnv2deploy.artifacts.manifest import MANIFEST, Artifact, Manifest, PictureSet, ReleasedFile, Weights, read_manifest
from mnv2deploy.artifacts.model_card import CARD, model_card
from mnv2deploy.artifacts.pipeline import Built
from mnv2deploy.artifacts.recipes import ArtifactOptions
from mnv2deploy.artifacts.report import REPORT, render_report
from mnv2deploy.artifacts.report_samples import Sample, choose_pictures, draw_samples
from mnv2deploy.artifacts.sbom import SBOM, sbom
from mnv2deploy.artifacts.triton import triton_repository
from mnv2deploy.contract import Contract
from mnv2deploy.errors import UsageError
from mnv2deploy.files import explain, make_folder, output_folder, sync
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.verified import sha256_of


def describe(built: Built) -> Manifest:
    """The manifest of what was built, without the files that are made of it."""
    recipe, card = built.recipe, built.source.card
    contracts = {name: Session(path, threads=1).contract for name, path in built.artifacts.items()}
    artifacts = tuple(_artifact(built, option, contracts[option.name]) for option in recipe.artifacts)
    provenance = artifacts[0].contract.provenance
    tools = dict(tool for artifact in artifacts for tool in artifact.contract.provenance.tools)
    return Manifest(
        name=recipe.name,
        title=card.title,
        description=card.description,
        paper=card.paper,
        task=card.task,
        recipe=_named(recipe.path, f"{recipe.name}.toml"),
        weights=Weights(source=provenance.source, licence=provenance.licence, files=provenance.weights_sha256),
        calibration=_calibration(artifacts),
        artifacts=artifacts,
        files=(),
        tools=tuple(sorted(tools.items())),
    )


def _artifact(built: Built, option: ArtifactOptions, contract: Contract) -> Artifact:
    recipe, path = built.recipe, built.artifacts[option.name]
    measured = built.measured[option.name]
    first = recipe.artifacts[0].name
    is_first_quantized = option == next((one for one in recipe.artifacts if one.quantized), None)
    artifact = Artifact(
        name=option.name,
        file=_named(path, f"{recipe.name}-{option.name}.onnx"),
        made_from=_parent(built, option),
        contract=contract,
        parameters=built.exported.parameters,
        multiply_adds=built.exported.multiply_adds,
        parity=built.exported.parity if option.name == first else (),
        agreement=measured.agreement,
        accuracy=measured.accuracy,
        speed=built.times.get(option.name),
        layers=built.quantized.layers if is_first_quantized and built.quantized else (),
        golden=measured.golden,
        checks=(),
    )
    return dataclasses.replace(artifact, checks=check(artifact, option.checks.given()))


def _parent(built: Built, option: ArtifactOptions) -> str | None:
    """The artifact this one was made from: the plain one as exact as it is, or else the first."""
    first, *others = built.recipe.artifacts
    if option == first:
        return None
    plain = [one for one in others if one.quantized and not (one.input or one.end_to_end)]
    return plain[0].name if option.quantized and plain and option != plain[0] else first.name


def _calibration(artifacts: tuple[Artifact, ...]) -> PictureSet | None:
    for artifact in artifacts:
        made = artifact.contract.provenance.quantization
        if made is not None and made.calibration_sha256 is not None:
            return PictureSet(name=made.calibration, pictures=made.calibration_pictures, sha256=made.calibration_sha256)
    return None


def _named(path: Path, name: str) -> ReleasedFile:
    return ReleasedFile(name=name, sha256=sha256_of(path), size=path.stat().st_size)


def write_release(built: Built, manifest: Manifest, folder: Path, progress: Progress = SILENT) -> Manifest:
    """Writes every file of a release.

    Args:
        built: The artifacts.
        manifest: What `describe` says of them.
        folder: Empty.
        progress: Told of sample pictures.

    Returns:
        The manifest with all files.
    """
    paths = dict(zip((artifact.file.name for artifact in manifest.artifacts), built.artifacts.values(), strict=True))
    for name, path in paths.items():
        shutil.copyfile(path, folder / name)
    shutil.copyfile(built.golden, folder / built.golden.name)
    (folder / manifest.recipe.name).write_bytes(built.recipe.path.read_bytes())
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8", newline="\n")
    (folder / SBOM).write_bytes(sbom(manifest))
    samples = _samples(built, manifest, progress)
    report = render_report(manifest, samples, built.recipe.text)
    (folder / REPORT).write_text(report, encoding="utf-8", newline="\n")
    if built.recipe.publish.triton:
        _write_triton_repository(built, manifest, folder)
    known = {MANIFEST, CHECKSUMS, manifest.recipe.name, *paths}
    others = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [name for path in others if (name := path.relative_to(folder).as_posix()) not in known]
    manifest = dataclasses.replace(manifest, files=tuple(_named(folder / name, name) for name in names))
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8", newline="\n")
    (folder / CHECKSUMS).write_bytes(checksums(folder))
    return manifest


def _write_triton_repository(built: Built, manifest: Manifest, folder: Path) -> None:
    """Beside the artifacts, which are in it under a second name and not a second time, where the disk can do that."""
    repository = triton_repository(manifest, built.artifacts)
    for name, data in repository.files.items():
        make_folder((folder / name).parent)
        (folder / name).write_bytes(data)
    for name, artifact in repository.models.items():
        make_folder((folder / name).parent)
        try:
            os.link(folder / artifact, folder / name)
        except OSError:
            shutil.copyfile(folder / artifact, folder / name)


def _samples(built: Built, manifest: Manifest, progress: Progress) -> list[Sample]:
    """Of the first artifact and the first quantized one; pictures they answer differently come first."""
    first = manifest.artifacts[0].name
    quantized = next((artifact for artifact in manifest.artifacts if artifact.is_quantized), None)
    differing = quantized.agreement.differing if quantized and quantized.agreement else ()
    names = [first, *([quantized.name] if quantized else [])]
    pictures = choose_pictures(built.pictures(), differing)
    return draw_samples({name: built.artifacts[name] for name in names}, pictures, progress)


def publish(built: Built, manifest: Manifest, output: Path, locks: Path, progress: Progress = SILENT) -> bool:
    """Gives the release its name below a folder; until then nothing is seen of it.

    Args:
        built: The artifacts.
        manifest: What `describe` says of them.
        output: Folder of releases.
        locks: Folder of locks, which two builds into one folder share.
        progress: Told of sample pictures.

    Returns:
        Whether anything changed: false where the same release was there already.

    Raises:
        UsageError: something that is no release has the name, or the folder cannot be written.
        MissingDependencyError: the disk is full.
    """
    release = output / manifest.name
    try:
        with output_folder(output), _alone(release, locks), _new_folder(release) as new:
            if release.exists() and not (release / MANIFEST).is_file():
                raise UsageError(f"{release} is there and is no release; move it away, or choose another --output.")
            if strangers := _strangers(release):
                raise UsageError(f"{release} holds {strangers[0]}, which is no part of the release; move it away.")
            write_release(built, manifest, new, progress)
            if release.exists() and checksums(release) == checksums(new):
                return False
            sync(new)
            _exchange(new, release)
            return True
    except OSError as error:
        raise explain(error, output) from error


def _strangers(release: Path) -> list[str]:
    """Files that somebody put into a release; signatures of its sums end with it."""
    known = {MANIFEST, CHECKSUMS}
    if release.exists():
        manifest = read_manifest(release)
        known |= {file.name for file in (manifest.recipe, *manifest.files)}
        known |= {artifact.file.name for artifact in manifest.artifacts}
    found = {path.relative_to(release).as_posix() for path in release.rglob("*") if not path.is_dir()}
    return sorted(name for name in found - known if not name.startswith(f"{CHECKSUMS}."))


@contextlib.contextmanager
def _alone(release: Path, locks: Path) -> Iterator[None]:
    make_folder(locks)
    name = hashlib.sha256(str(release.resolve()).encode()).hexdigest()[:24]
    with filelock.FileLock(locks / f"release-{name}.lock"):
        yield


@contextlib.contextmanager
def _new_folder(release: Path) -> Iterator[Path]:
    """An empty folder beside the release, gone in the end; and what a killed build left is put right."""
    new, old = _beside(release, "new"), _beside(release, "old")
    if old.exists() and not release.exists():
        old.rename(release)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        new.mkdir()
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _exchange(new: Path, release: Path) -> None:
    old = _beside(release, "old")
    if release.exists():
        release.rename(old)
    new.rename(release)
    sync(release.parent, deep=False)
    shutil.rmtree(old, ignore_errors=True)


def _beside(release: Path, what: str) -> Path:
    return release.with_name(f".{release.name}.{what}")
