"""The bill of materials: valid in CycloneDX's own eyes, the same every time, and true to the manifest."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from manifests import DIGEST, a_file, a_manifest, a_quantized_artifact, an_artifact

from mnv2deploy.artifacts.manifest import Weights
from mnv2deploy.artifacts.sbom import sbom


def read(manifest=None):
    return json.loads(sbom(manifest or a_manifest()))


def component(document, reference):
    (found,) = [one for one in document["components"] if one["bom-ref"] == reference]
    return found


def facts(one):
    return {entry["name"].removeprefix("mnv2deploy:"): entry["value"] for entry in one["properties"]}


def depends_on(document, reference):
    (found,) = [one for one in document["dependencies"] if one["ref"] == reference]
    return set(found.get("dependsOn", ()))


def weights(**values):
    held = {"source": "pypi:somewhere==1.0", "licence": "Apache-2.0", "files": (("weights.pth", DIGEST),)}
    return Weights(**{**held, **values})


@pytest.mark.parametrize(
    "manifest",
    [
        a_manifest(),
        a_manifest(artifacts=(an_artifact(),), calibration=None),
        a_manifest(weights=weights(licence="MIT OR Apache-2.0")),
        a_manifest(weights=weights(licence="our own, see <there>")),
        a_manifest(weights=weights(licence="unknown", source="local file")),
        a_manifest(weights=weights(source="https://example.org/a b/weights.pth?x=1#y")),
        a_manifest(weights=weights(source="npm:@scope/package@0.3.0", files=(("a", DIGEST), ("b", DIGEST)))),
    ],
)
def test_it_is_valid_by_the_strict_schema(manifest):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(manifest).decode()) is None


def test_the_validator_would_see_a_mistake():
    document = read()
    document["components"][0]["type"] = "network"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is not None


def test_it_is_the_same_bytes_in_any_process():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; from manifests import a_manifest; "
        "from mnv2deploy.artifacts.sbom import sbom; sys.stdout.buffer.write(sbom(a_manifest()))"
    )
    here = Path(__file__).parent
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(here), str(here.parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {sbom(a_manifest())}


def test_nothing_that_differs_from_run_to_run_is_in_it():
    slower = tuple(
        dataclasses.replace(one, speed=dataclasses.replace(one.speed, milliseconds=99.0, machine="another"))
        for one in a_manifest().artifacts
    )
    assert sbom(a_manifest(artifacts=slower, files=(a_file("sbom.cdx.json"),))) == sbom(a_manifest())
    assert "timestamp" not in read()["metadata"]


def test_the_serial_number_hangs_on_the_content():
    number, other = (read(manifest)["serialNumber"] for manifest in (a_manifest(), a_manifest(name="other")))
    assert number != other
    assert uuid.UUID(number.removeprefix("urn:uuid:")).version == 5


def test_the_release_is_the_main_component():
    main = read()["metadata"]["component"]
    assert (main["name"], main["type"]) == ("small", "machine-learning-model")
    assert main["description"] == "MobileNetV2 for <tests>. Two classes."


def test_artifacts_have_their_hash_size_and_what_is_known_of_them():
    fp32, int8 = (component(read(), f"artifact:{name}") for name in ("fp32", "int8"))
    assert fp32["type"] == int8["type"] == "machine-learning-model"
    assert (fp32["name"], int8["name"]) == ("small-fp32.onnx", "small-int8.onnx")
    assert fp32["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert facts(fp32) == {
        "artifact": "fp32",
        "task": "classify",
        "size": "14000000",
        "input": "image (N, 3, 32, 32) float32",
        "outputs": "class_logits (class_logits)",
        "opset": "18",
        "minimum_onnxruntime": "1.15",
        "parameters": "3504872",
        "multiply_adds": "300774272",
        "metric:top_1": "0.85",
        "metric_measured_on": "val <500>, 500 pictures",
    }
    assert facts(int8)["size"] == "3600000"
    assert facts(int8)["quantization"] == "qdq, weights int8 per channel, activations uint8"
    assert facts(int8)["quantized_for"] == "x86-64"


def test_an_artifact_of_unknown_accuracy_claims_none():
    document = read(a_manifest(artifacts=(an_artifact(accuracy=None),)))
    assert not [name for name in facts(component(document, "artifact:fp32")) if name.startswith("metric")]


def test_the_graph_of_dependencies_says_what_was_made_of_what():
    document = read()
    tools = {"pkg:pypi/mnv2deploy@0.1.0", "pkg:pypi/onnx@1.23.2", "pkg:pypi/torch@2.13.0"}
    assert depends_on(document, "release:small") == {"artifact:fp32", "artifact:int8"}
    assert depends_on(document, "artifact:fp32") == {"weights", *tools}
    assert depends_on(document, "artifact:int8") == {"artifact:fp32", "calibration:wheel-photos", *tools}
    everything = {one["bom-ref"] for one in document["components"]} | {"release:small"}
    assert {one["ref"] for one in document["dependencies"]} == everything


def test_an_artifact_depends_on_its_own_tools_alone():
    contract = an_artifact().contract
    provenance = dataclasses.replace(contract.provenance, tools=(("onnx", "1.0"), ("Some_Tool", "2")))
    own = a_quantized_artifact(contract=dataclasses.replace(contract, provenance=provenance))
    document = read(a_manifest(artifacts=(an_artifact(), own)))
    assert depends_on(document, "artifact:int8") == {"artifact:fp32", "pkg:pypi/onnx@1.0", "pkg:pypi/some-tool@2"}
    assert component(document, "pkg:pypi/onnx@1.23.2")["version"] == "1.23.2"
    assert component(document, "pkg:pypi/some-tool@2")["name"] == "Some_Tool"


def test_a_tool_of_the_release_alone_is_listed():
    document = read(a_manifest(tools=(("another", "3.0"),)))
    assert component(document, "pkg:pypi/another@3.0")["type"] == "library"
    assert component(document, "pkg:pypi/onnx@1.23.2")  # the artifacts'


def test_weights_have_their_source_and_a_hash_a_file():
    document = read(a_manifest(weights=weights(files=(("a.bin", DIGEST), ("b.bin", "f" * 64)))))
    found = component(document, "weights")
    assert facts(found) == {"source": "pypi:somewhere==1.0"}
    hashes = {one["name"]: one["hashes"][0]["content"] for one in found["components"]}
    assert hashes == {"a.bin": DIGEST, "b.bin": "f" * 64}


@pytest.mark.parametrize(
    ("source", "purl"),
    [
        ("pypi:Some_where==1.0", "pkg:pypi/some-where@1.0"),
        ("pypi:somewhere==1.0!folder/weights.pth", "pkg:pypi/somewhere@1.0"),
        ("npm:package@1.0.6", "pkg:npm/package@1.0.6"),
        ("npm:@scope/package@0.3.0!package/", "pkg:npm/%40scope/package@0.3.0"),
        ("https://example.org/weights.pth", None),
        ("local file", None),
    ],
)
def test_weights_of_a_package_have_its_package_url(source, purl):
    assert component(read(a_manifest(weights=weights(source=source))), "weights").get("purl") == purl


def test_weights_from_the_web_refer_to_where_they_are():
    found = component(read(a_manifest(weights=weights(source="https://example.org/w.pth"))), "weights")
    assert found["externalReferences"] == [{"type": "distribution", "url": "https://example.org/w.pth"}]
    assert "externalReferences" not in component(read(), "weights")


@pytest.mark.parametrize(
    ("licence", "written"),
    [
        ("BSD-3-Clause", [{"license": {"id": "BSD-3-Clause"}}]),
        ("apache-2.0", [{"license": {"id": "Apache-2.0"}}]),
        ("MIT OR Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("our own", [{"license": {"name": "our own"}}]),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_licence_is_an_identifier_an_expression_a_name_or_nothing(licence, written):
    assert component(read(a_manifest(weights=weights(licence=licence))), "weights").get("licenses") == written


def test_calibration_pictures_are_data():
    found = component(read(), "calibration:wheel-photos")
    assert found["type"] == "data"
    assert facts(found) == {"pictures": "128", "pictures_sha256": DIGEST}
    assert not [one for one in read(a_manifest(calibration=None))["components"] if one["type"] == "data"]
