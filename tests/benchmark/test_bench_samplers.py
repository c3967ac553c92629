"""What is timed is what a user runs."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import mnv2deploy
from mnv2deploy.benchmark.samplers import STAGES, RunSampler, StageSampler, synthetic_input
from mnv2deploy.errors import MissingDependencyError, ModelError, UsageError
from mnv2deploy.runtime.session import Session


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_the_timed_stages_give_the_answer_of_the_pipeline(name, artifacts, photos):
    pictures = [photos["coffee.png"], photos["rocket.jpg"]]
    sampler = StageSampler(Session(artifacts[name], threads=1), pictures)
    answer = mnv2deploy.load(artifacts[name], threads=1)
    assert sampler.inputs == 2
    for index in (1, 0):
        stages = sampler(index)
        assert len(stages) == len(STAGES)
        assert min(stages) > 0
        assert sampler.answer.to_json() == answer(pictures[index]).to_json()


def test_each_stage_holds_its_own_step(artifacts, photos, monkeypatch):
    """A clock that is put forward by every step, each by another number of seconds."""
    import mnv2deploy.benchmark.samplers as module

    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def slow(function, seconds):
        def call(*arguments, **options):
            now[0] += seconds
            return function(*arguments, **options)

        return call

    session = Session(artifacts["mobilenet-v2"], threads=1)
    sampler = StageSampler(session, [photos["coffee.png"]])
    monkeypatch.setattr(module, "as_image", slow(module.as_image, 1))
    monkeypatch.setattr(module, "prepare", slow(module.prepare, 2))
    monkeypatch.setattr(session, "run", slow(session.run, 4))
    monkeypatch.setattr(sampler, "_decode", slow(sampler._decode, 8))
    assert sampler(0) == (1, 2, 4, 8)
    assert RunSampler(session, 1)(0) == (4,)


def test_the_synthetic_input_is_the_same_picture_all_over(artifacts):
    session = Session(artifacts["mobilenet-v2"], threads=1)
    batch = synthetic_input(session, 3)
    assert batch.shape == (3, 3, 224, 224)
    assert batch.dtype == np.float32
    assert np.array_equal(batch, synthetic_input(session, 3))
    assert np.array_equal(batch[0], batch[2])
    contract = session.contract.preprocessing
    darkest, lightest = [(value - np.array(contract.mean)) / contract.std for value in (0, 255)]
    assert np.all(batch.min(axis=(0, 2, 3)) >= darkest - 1e-5)
    assert np.all(batch.max(axis=(0, 2, 3)) <= lightest + 1e-5)
    assert np.all(batch.std(axis=(0, 2, 3)) > 0.1)


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_a_graph_that_takes_bytes_is_fed_bytes(name, byte_artifacts, photos):
    session = Session(byte_artifacts[name].bytes, threads=1)
    batch = synthetic_input(session, 2)
    assert batch.dtype == np.uint8
    assert batch.shape == (2, session.contract.input.height, session.contract.input.width, 3)
    assert np.array_equal(batch[0], batch[1])
    assert batch.std() > 25  # noise
    assert min(RunSampler(session, 2)(0)) > 0
    sampler = StageSampler(session, [photos["coffee.png"]])
    assert min(sampler(0)) > 0
    assert sampler.answer.to_json() == mnv2deploy.load(byte_artifacts[name].bytes)(photos["coffee.png"]).to_json()


def test_both_kinds_time_the_same_noise(byte_artifacts):
    floats, of_bytes = (Session(path, threads=1) for path in byte_artifacts["ssdlite-coco"])
    how = floats.contract.preprocessing
    expected = (synthetic_input(of_bytes, 1) - np.array(how.mean)) / how.std
    np.testing.assert_allclose(synthetic_input(floats, 1), expected.transpose(0, 3, 1, 2), rtol=1e-6, atol=1e-6)


def test_a_batch_is_run_whole(artifacts, monkeypatch):
    session = Session(artifacts["mobilenet-v2"], threads=1)
    sampler = RunSampler(session, 3)
    shapes = []
    monkeypatch.setattr(session, "run", lambda tensor: shapes.append(tensor.shape))
    (seconds,) = sampler(0)
    assert seconds > 0
    assert shapes == [(3, 3, 224, 224)]


def test_a_fixed_batch_can_be_timed_as_it_is_and_no_other_way(artifacts, photos, tmp_path):
    session = Session(fix_batch(artifacts["mobilenet-v2"], 2, tmp_path), threads=1)
    RunSampler(session, 2)
    for attempt in (lambda: RunSampler(session, 1), lambda: StageSampler(session, [photos["coffee.png"]])):
        with pytest.raises(UsageError, match=r"fixed\.onnx takes 2 pictures a run and no other number, so batch 1"):
            attempt()


def test_a_graph_that_fails_at_a_batch_is_a_model_error(artifacts, tmp_path):
    """Its input promises any batch, but a constant inside does not."""
    model = onnx.load(artifacts["mobilenet-v2"])
    name = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["reshaped" if one == name else one for one in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 224, 224]), "one_picture"))
    model.graph.node.insert(0, helper.make_node("Reshape", [name, "one_picture"], ["reshaped"]))
    onnx.save(model, tmp_path / "hidden.onnx")
    session = Session(tmp_path / "hidden.onnx", threads=1)
    RunSampler(session, 1)
    with pytest.raises(ModelError, match=r"hidden\.onnx fails with 2 pictures a run"):
        RunSampler(session, 2)


def test_a_batch_beyond_all_memory_is_refused(artifacts):
    with pytest.raises(MissingDependencyError, match="not memory enough for 1000000000 pictures"):
        RunSampler(Session(artifacts["mobilenet-v2"], threads=1), 10**9)


def fix_batch(artifact, batch, folder):
    """The artifact with its batch dimension fixed."""
    model = onnx.load(artifact)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, folder / "fixed.onnx")
    return folder / "fixed.onnx"
