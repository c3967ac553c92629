"""A release's bill of materials in CycloneDX 1.6: its files, and what they were made of and with.

It hangs on nothing but what a release is made of: no date, no number that differs from run to run. So the same
release has the same bytes, down to its serial number.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL

from mnv2deploy.artifacts.manifest import Artifact, Manifest, PictureSet, Weights

SBOM = "sbom.cdx.json"

_PYPI = re.compile(r"pypi:([^=]+)==([^!]+)(?:!.*)?")
_NPM = re.compile(r"npm:(?:(@[^/]+)/)?([^@]+)@([^!]+)(?:!.*)?")
# Of the serial numbers: uuid5 of this and the content.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.6.schema.json#mnv2deploy")


def sbom(manifest: Manifest) -> bytes:
    """The bill of materials, CycloneDX 1.6 JSON.

    Components: the release itself, each ``.onnx`` file, the weights with their files, the calibration pictures, and
    the tools; its dependencies say which artifact was made from what. A CycloneDX model card of each artifact would be
    the place of what is written as properties here; the library cannot write those (its issue 912).

    Args:
        manifest: Of the release; its speeds and ``files`` are not read.
    """
    release = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"release:{manifest.name}",
        name=manifest.name,
        description=f"{manifest.title}. {manifest.description}",
        licenses=_licences(manifest.weights.licence),
        properties=_properties({"task": manifest.task, "paper": manifest.paper}),
    )
    weights = _weights(manifest.weights)
    calibration = None if manifest.calibration is None else _pictures(manifest.calibration)
    tools = {tool: _tool(*tool) for tool in _all_tools(manifest)}
    artifacts = {artifact.name: _artifact(artifact, manifest) for artifact in manifest.artifacts}
    bom = Bom(components=[*artifacts.values(), weights, *([calibration] if calibration else []), *tools.values()])
    bom.metadata.component = release
    bom.register_dependency(release, artifacts.values())
    for artifact in manifest.artifacts:
        made_of = [weights if artifact.made_from is None else artifacts[artifact.made_from]]
        if artifact.is_quantized and calibration:
            made_of.append(calibration)
        made_with = [tools[tool] for tool in artifact.contract.provenance.tools]
        bom.register_dependency(artifacts[artifact.name], [*made_of, *made_with])
    return _written(bom)


def _written(bom: Bom) -> bytes:
    """Without the moment of writing, which the library puts in, and with a serial number made of the content."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"], document["serialNumber"]
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(_NAMESPACE, content).urn
    return (json.dumps(document, sort_keys=True, indent=1) + "\n").encode()


def _artifact(artifact: Artifact, manifest: Manifest) -> Component:
    made = artifact.contract.provenance
    facts = {
        "size": f"{artifact.file.size}",
        "input": _shape(artifact),
        "outputs": ", ".join(f"{output.name} ({output.meaning})" for output in artifact.contract.outputs),
        "opset": f"{made.opset}",
        "minimum_onnxruntime": made.minimum_onnxruntime,
        "parameters": f"{artifact.parameters}",
        "multiply_adds": f"{artifact.multiply_adds}",
    }
    if made.quantization:
        quantized = made.quantization
        facts["quantization"] = f"{quantized.format}, weights {quantized.weights}, activations {quantized.activations}"
        facts["quantized_for"] = quantized.target
    if artifact.accuracy:
        measured = artifact.accuracy
        facts[f"metric:{measured.metric}"] = f"{measured.value:.6g}"
        facts["metric_measured_on"] = f"{measured.dataset.name}, {measured.dataset.pictures} pictures"
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"artifact:{artifact.name}",
        name=artifact.file.name,
        hashes=_hashes(artifact.file.sha256),
        licenses=_licences(made.licence),
        properties=_properties({"artifact": artifact.name, "task": manifest.task, **facts}),
    )


def _shape(artifact: Artifact) -> str:
    graph_input = artifact.contract.input
    sides = ", ".join(map(str, ("N", *graph_input.shape)))
    return f"{graph_input.name} ({sides}) {graph_input.dtype}"


def _weights(weights: Weights) -> Component:
    files = [
        Component(type=ComponentType.FILE, bom_ref=f"weights:{name}", name=name, hashes=_hashes(sha256))
        for name, sha256 in weights.files
    ]
    is_web = weights.source.startswith(("https://", "http://"))
    reference = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(weights.source))
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="weights",
        name="weights",
        description="The trained weights the artifacts were made from.",
        licenses=_licences(weights.licence),
        purl=_purl_of(weights.source),
        external_references=[reference] if is_web else [],
        components=files,
        properties=_properties({"source": weights.source}),
    )


def _pictures(pictures: PictureSet) -> Component:
    # The digest is of all names and pictures, not of a file, so it is no hash in CycloneDX's sense.
    facts = {"pictures": f"{pictures.pictures}", "pictures_sha256": pictures.sha256}
    return Component(
        type=ComponentType.DATA,
        bom_ref=f"calibration:{pictures.name}",
        name=pictures.name,
        description="Pictures the quantized artifacts were calibrated with.",
        properties=_properties(facts),
    )


def _tool(name: str, version: str) -> Component:
    purl = PackageURL(type="pypi", name=name, version=version)
    return Component(type=ComponentType.LIBRARY, bom_ref=purl.to_string(), name=name, version=version, purl=purl)


def _all_tools(manifest: Manifest) -> list[tuple[str, str]]:
    """Each once: artifacts may have been made with tools the release as a whole does not list."""
    of_artifacts = (tool for artifact in manifest.artifacts for tool in artifact.contract.provenance.tools)
    return sorted({*manifest.tools, *of_artifacts})


def _licences(licence: str) -> list[DisjunctiveLicense | LicenseExpression]:
    """An SPDX identifier, an expression of such, or a name; nothing where the licence is not known."""
    if licence in ("", "unknown"):
        return []
    if identifier := fixup_id(licence):
        return [DisjunctiveLicense(id=identifier)]
    return [LicenseExpression(licence)] if is_expression(licence) else [DisjunctiveLicense(name=licence)]


def _purl_of(source: str) -> PackageURL | None:
    """The package weights were taken from, where it was one."""
    if match := _PYPI.fullmatch(source):
        return PackageURL(type="pypi", name=match[1], version=match[2])
    if match := _NPM.fullmatch(source):
        return PackageURL(type="npm", namespace=match[1], name=match[2], version=match[3])
    return None


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]


def _properties(facts: Mapping[str, str]) -> Iterable[Property]:
    return [Property(name=f"mnv2deploy:{name}", value=value) for name, value in facts.items()]
