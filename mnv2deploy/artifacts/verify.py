"""Whether a release is what it was when it was made: its files, their contracts, and what they answer here.

Every file is checked by itself: one that is bad never hides another. Names in a manifest or a list of sums are not
trusted: nothing outside the release's folder is opened, and no artifact that is not the manifest's is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mnv2deploy.artifacts.checksums import CHECKSUMS
from mnv2deploy.artifacts.manifest import MANIFEST, Artifact, Manifest, ReleasedFile, read_manifest
from mnv2deploy.artifacts.release_files import is_safe, read_sums, walk
from mnv2deploy.artifacts.verify_artifact import verify_artifact
from mnv2deploy.errors import Mnv2deployError, UsageError
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.weights.verified import sha256_of


@dataclass(slots=True)
class VerifiedFile:
    """One file of a release, or one that should be there, or should not.

    Attributes:
        name: Path inside the release, with ``/``.
        checked: What was looked at: ``size``, ``sha256``, ``contract``, ``answers`` and the like.
        problems: What is wrong, in sentences.
    """

    name: str
    checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        folder: Of the release.
        files: By name.
    """

    folder: Path
    files: tuple[VerifiedFile, ...]

    @property
    def problems(self) -> list[str]:
        """Of all files."""
        return [problem for file in self.files for problem in file.problems]


def find_releases(folder: Path) -> list[Path]:
    """The folder, if it is a release, or else those directly in it that are, by name.

    Raises:
        UsageError: there is no such folder, or neither.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder of a release.")
    if _is_release(folder):
        return [folder]
    try:
        releases = sorted(path for path in folder.iterdir() if path.is_dir() and _is_release(path))
    except OSError as error:
        raise UsageError(f"{folder}: the folder of a release cannot be read: {error.strerror}.") from error
    if releases:
        return releases
    raise UsageError(f"{folder} is not the folder of a release: there is no {MANIFEST} in it, nor in a folder of it.")


def _is_release(folder: Path) -> bool:
    """One that lost its manifest is one too: it must not be passed over."""
    return any(os.path.lexists(folder / name) for name in (MANIFEST, CHECKSUMS))


def verify_release(folder: Path, progress: Progress = SILENT) -> Verification:
    """Checks every file of a release against its manifest and sums, and runs every artifact on the golden picture.

    Args:
        folder: Of one release, see `find_releases`.
        progress: Counts files.

    Returns:
        A row for each file, whatever is wrong with it.
    """
    try:
        return _Release(folder).verify(progress)
    finally:
        progress.stop()


class _Release:
    """A folder while it is looked at.

    Attributes:
        rows: What was found of each file.
        digests: Sha256 of each plain file in the folder.
        intact: Names of the files that are what the manifest says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, VerifiedFile] = {}
        self.digests: dict[str, str] = {}
        self.intact: set[str] = set()

    def verify(self, progress: Progress) -> Verification:
        entries = list(walk(self.folder))
        progress.start(f"Hashing {self.folder.name}", len(entries))
        for done, (name, problem) in enumerate(entries, 1):
            self._hash(name, problem)
            progress.update(done)
        manifest = self._read_manifest()
        if manifest is not None:
            self._check_files(manifest)
        self._check_sums(manifest)
        artifacts = () if manifest is None else manifest.artifacts
        progress.start(f"Running {self.folder.name}", len(artifacts))
        for done, artifact in enumerate(artifacts, 1):
            self._check_artifact(artifact)
            progress.update(done)
        return Verification(self.folder, tuple(self.rows[name] for name in sorted(self.rows)))

    def _row(self, name: str) -> VerifiedFile:
        return self.rows.setdefault(name, VerifiedFile(name))

    def _hash(self, name: str, problem: str | None) -> None:
        row = self._row(name)
        if problem is None:
            try:
                self.digests[name] = sha256_of(self.folder / name)
            except OSError as error:
                problem = f"{name} cannot be read: {error.strerror}."
        row.problems += [] if problem is None else [problem]

    def _read_manifest(self) -> Manifest | None:
        row = self._row(MANIFEST)
        if MANIFEST not in self.digests:
            row.problems += [] if row.problems else [f"{MANIFEST} is missing, so nothing says what should be here."]
            return None
        row.checked.append("format")
        try:
            return read_manifest(self.folder / MANIFEST)
        except Mnv2deployError as error:
            row.problems.append(str(error))
            return None

    def _check_files(self, manifest: Manifest) -> None:
        """Every file that the manifest lists is as it says, and there is no other."""
        names: set[str] = set()
        for file in _listed(manifest):
            if not is_safe(file.name):
                self._row(MANIFEST).problems.append(
                    f"{MANIFEST} lists {file.name!r}, which is no path inside the release; it was not opened."
                )
            elif file.name in {MANIFEST, CHECKSUMS, *names}:
                self._row(MANIFEST).problems.append(f"{MANIFEST} lists {file.name}, which it should not or did before.")
            else:
                self._check_file(file)
            names.add(file.name)
        signatures = {name for name in self.digests if name.startswith(f"{CHECKSUMS}.")}
        for name in set(self.digests) - names - signatures - {MANIFEST, CHECKSUMS}:
            self._row(name).problems.append(f"{name} is not part of the release: {MANIFEST} does not list it.")

    def _check_file(self, file: ReleasedFile) -> None:
        row = self._row(file.name)
        if file.name not in self.digests:
            row.problems += [] if row.problems else [f"{file.name} is missing."]
            return
        row.checked += ["size", "sha256"]
        size, digest = (self.folder / file.name).stat().st_size, self.digests[file.name]
        if size != file.size:
            row.problems.append(f"{file.name} has {size} bytes and should have {file.size}; get it again.")
        elif digest != file.sha256:
            row.problems.append(f"{file.name} {_digests(digest, file.sha256, MANIFEST)}")
        else:
            self.intact.add(file.name)

    def _check_sums(self, manifest: Manifest | None) -> None:
        """The sums are those of all files of the release; of all that are there, where the manifest is lost."""
        row = self._row(CHECKSUMS)
        if CHECKSUMS not in self.digests:
            row.problems += [] if row.problems else [f"{CHECKSUMS} is missing."]
            return
        row.checked.append("names")
        sums, problems = read_sums(self.folder / CHECKSUMS)
        listed = self.digests if manifest is None else [file.name for file in _listed(manifest)]
        wanted = {MANIFEST, *listed} - {CHECKSUMS}
        row.problems += [
            *problems,
            *(f"{CHECKSUMS} does not list {name}." for name in sorted(wanted - set(sums)) if is_safe(name)),
            *(f"{CHECKSUMS} lists {name}, which is not part of the release." for name in sorted(set(sums) - wanted)),
        ]
        for name, digest in sums.items():
            if name in self.digests and not (file := self._row(name)).problems:
                file.checked += [] if "sha256" in file.checked else ["sha256"]
                if self.digests[name] != digest:
                    file.problems.append(f"{name} {_digests(self.digests[name], digest, CHECKSUMS)}")

    def _check_artifact(self, artifact: Artifact) -> None:
        """Its contract and its answers; of a file that is not the manifest's they would mean nothing."""
        if artifact.file.name in self.intact:
            row = self._row(artifact.file.name)
            checked, problems = verify_artifact(
                self.folder, artifact, has_picture=artifact.golden.picture in self.intact
            )
            row.checked += checked
            row.problems += problems


def _listed(manifest: Manifest) -> Iterator[ReleasedFile]:
    yield manifest.recipe
    yield from (artifact.file for artifact in manifest.artifacts)
    yield from manifest.files


def _digests(got: str, wanted: str, where: str) -> str:
    return f"has the sha256 {got[:12]}... and {where} says {wanted[:12]}...; get it again."
