"""Whether an artifact of a release carries the contract its manifest has, and answers here as it did there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from mnv2deploy.artifacts.golden import check_golden
from mnv2deploy.artifacts.manifest import MANIFEST, Artifact
from mnv2deploy.contract import Contract
from mnv2deploy.errors import Mnv2deployError
from mnv2deploy.runtime.session import Session
from mnv2deploy.structure import plain


def verify_artifact(folder: Path, artifact: Artifact, *, has_picture: bool) -> tuple[list[str], list[str]]:
    """Opens an artifact in this onnxruntime and runs it on the golden picture.

    Args:
        folder: Of the release.
        artifact: What the manifest has of it; the file is known to be the one it was made from.
        has_picture: Whether its golden picture is there and intact.

    Returns:
        What was looked at, ``contract`` and ``answers``, and what is wrong, in sentences.
    """
    name, checked, problems = artifact.file.name, list[str](), list[str]()
    minimum = artifact.contract.provenance.minimum_onnxruntime
    if _numbers(onnxruntime.__version__) < _numbers(minimum):
        return checked, [
            f"{name} needs onnxruntime {minimum} or later and this is {onnxruntime.__version__}; install "
            f"'onnxruntime>={minimum}' and verify again."
        ]
    try:
        embedded = Session(folder / name, threads=1).contract
        checked.append("contract")
        problems += _compare_contracts(name, embedded, artifact.contract)
        if not has_picture:
            why = f"{artifact.golden.picture!r} is not a file of the release, or is damaged"
            return checked, [*problems, f"{name} was not run: {why}."]
        problems += check_golden(folder / name, folder, artifact.golden)
        checked.append("answers")
    except Mnv2deployError as error:
        problems.append(str(error))
    return checked, problems


def _compare_contracts(name: str, embedded: Contract, listed: Contract) -> Iterator[str]:
    one, other = plain(embedded), plain(listed)
    if fields := ", ".join(sorted(key for key in one | other if one.get(key) != other.get(key))):
        yield f"{name} carries another contract than {MANIFEST} has of it: they differ in {fields}."


def _numbers(version: str) -> list[int]:
    """Major and minor, to compare."""
    return [int(part) for part in re.findall(r"\d+", version)[:2]]
