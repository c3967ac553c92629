"""Releases: recipes, what is built of them, and the files beside the artifacts."""

from __future__ import annotations

from importlib.util import find_spec

from mnv2deploy.errors import MissingDependencyError

_PACKAGES = {name: name for name in ("torch", "onnx", "onnxscript", "onnxsim", "matplotlib")}
_PACKAGES |= {"cyclonedx": "cyclonedx-python-lib", "faster_coco_eval": "faster-coco-eval", "jinja2": "Jinja2"}


def require_release_extra() -> None:
    """Raises MissingDependencyError unless what writing a release needs is installed; imports none of it."""
    if missing := [package for module, package in _PACKAGES.items() if find_spec(module) is None]:
        raise MissingDependencyError(
            f"Writing a release needs {', '.join(missing)}; install with: pip install 'mnv2deploy[release]'"
        )
