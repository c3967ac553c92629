"""A release broken in every way, and each found; what is not broken is still looked at."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from byte_inputs import quantized_in_name
from releases import SUMS, reseal, write_manifest, write_release, write_sums
from tiny_models import GREEN, RED, save_picture, tiny_classifier

from mnv2deploy.artifacts.manifest import MANIFEST, Manifest, read_manifest
from mnv2deploy.artifacts.verify import Verification, find_releases, verify_release
from mnv2deploy.contract import METADATA_KEY, Contract, parse_contract
from mnv2deploy.errors import UsageError

LABELS = {7: "red", 8: "green", 9: "blue"}
ARTIFACTS = ["small-fp32.onnx", "small-int8.onnx"]
FILES = [SUMS, "docs/README.md", "golden.png", MANIFEST, *ARTIFACTS, "small.toml"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of a float artifact and one that says it is quantized."""
    folder = tmp_path_factory.mktemp("made")
    photo = save_picture(folder / "photo.png", RED, RED, GREEN, height=300, width=600)
    fp32 = tiny_classifier(folder / "fp32.onnx", LABELS)
    int8 = quantized_in_name(fp32, folder / "int8.onnx")
    write_release(folder / "small", {"fp32": fp32, "int8": int8}, photo)
    return folder / "small"


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "small"))


def problems(verification: Verification) -> dict[str, list[str]]:
    return {file.name: file.problems for file in verification.files if file.problems}


def found(release: Path) -> dict[str, list[str]]:
    return problems(verify_release(release))


def flip(path: Path, place: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def change_manifest(release: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Writes another manifest, and sums that fit it."""
    write_manifest(release, change(read_manifest(release)))


def change_first(**values: object) -> Callable[[Manifest], Manifest]:
    """With other fields of the first artifact."""

    def change(manifest: Manifest) -> Manifest:
        first, *rest = manifest.artifacts
        return dataclasses.replace(manifest, artifacts=(dataclasses.replace(first, **values), *rest))

    return change


def change_contract(path: Path, change: Callable[[Contract], Contract]) -> None:
    """Writes another contract into an artifact."""
    model = onnx.load(path)
    contract = parse_contract(model.metadata_props[0].value, str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: change(contract).to_json()})
    onnx.save(model, path)


def test_a_whole_release_has_a_row_for_every_file(release):
    verification = verify_release(release)
    assert problems(verification) == {}
    assert {file.name: file.checked for file in verification.files} == {
        "SHA256SUMS": ["names"],
        "docs/README.md": ["size", "sha256"],
        "golden.png": ["size", "sha256"],
        "manifest.json": ["format", "sha256"],
        "small-fp32.onnx": ["size", "sha256", "contract", "answers"],
        "small-int8.onnx": ["size", "sha256", "contract", "answers"],
        "small.toml": ["size", "sha256"],
    }
    assert [file.name for file in verification.files] == FILES
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=release, check=True)


def test_real_networks_of_a_release_are_run(artifacts, photos, tmp_path):
    models = {"fp32": artifacts["ssdlite-coco"], "int8": artifacts["mobilenet-v2"]}
    manifest = write_release(tmp_path / "small", models, photos["coffee.png"])
    assert found(tmp_path / "small") == {}
    golden = manifest.artifacts[0].golden
    cup, *others = golden.answers
    assert cup.label == "cup"
    dog = dataclasses.replace(cup, label="dog", class_id=18)
    change_manifest(tmp_path / "small", change_first(golden=dataclasses.replace(golden, answers=(dog, *others))))
    ((name, (missed, found_instead)),) = found(tmp_path / "small").items()
    assert name == "small-fp32.onnx"
    assert missed.startswith("On golden.png small-fp32.onnx does not find dog (0.")
    assert found_instead.startswith("On golden.png small-fp32.onnx finds cup (0.")


@pytest.mark.parametrize("name", ["small-fp32.onnx", "golden.png", "docs/README.md", "small.toml"])
def test_a_flipped_bit_is_found_and_hides_nothing(name, release):
    flip(release / name, 5)
    bad = found(release)
    assert bad[name][0].startswith(f"{name} has the sha256 ")
    if name == "golden.png":  # no answers without it
        assert {*bad} == {name, "small-fp32.onnx", "small-int8.onnx"}
        assert "'golden.png' is not a file of the release, or is damaged" in bad["small-int8.onnx"][0]
    else:
        assert {*bad} == {name}
        checked = {file.name: file.checked for file in verify_release(release).files}
        assert "answers" in checked["small-int8.onnx"]
    if name == "small-fp32.onnx":  # what is not the release's is not run
        assert "contract" not in checked[name]


def test_a_byte_more_is_found_by_the_size(release):
    with (release / "small-fp32.onnx").open("ab") as file:
        file.write(b"\0")
    size = (release / "small-fp32.onnx").stat().st_size
    assert found(release) == {
        "small-fp32.onnx": [f"small-fp32.onnx has {size} bytes and should have {size - 1}; get it again."]
    }


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(name, release):
    (release / name).unlink()
    bad = found(release)
    assert bad.pop(name)[0].startswith(f"{name} is missing")
    assert set(bad) <= ({"small-fp32.onnx", "small-int8.onnx"} if name == "golden.png" else set())


@pytest.mark.parametrize("name", ["more.txt", "docs/more.onnx", ".hidden", "new/folder/x"])
def test_an_extra_file_is_found_listed_or_not(name, release):
    (release / name).parent.mkdir(parents=True, exist_ok=True)
    (release / name).write_bytes(b"x")
    stranger = f"{name} is not part of the release: manifest.json does not list it."
    assert found(release) == {name: [stranger]}
    write_sums(release)
    assert found(release) == {name: [stranger], SUMS: [f"{SUMS} lists {name}, which is not part of the release."]}


def test_several_are_found_at_once(release):
    flip(release / "small-fp32.onnx")
    (release / "docs" / "README.md").unlink()
    (release / "extra").write_bytes(b"")
    (release / SUMS).write_text((release / SUMS).read_text().replace("golden.png", "silver.png"))
    assert {name: len(said) for name, said in found(release).items()} == {
        "small-fp32.onnx": 1,
        "docs/README.md": 1,
        "extra": 1,
        SUMS: 2,
    }


def test_a_changed_number_in_the_manifest_is_found_by_the_sums(release):
    text = (release / MANIFEST).read_text()
    assert text.count('"value": 0.85') == 2
    (release / MANIFEST).write_text(text.replace('"value": 0.85', '"value": 0.95'))
    ((name, (problem,)),) = found(release).items()
    assert name == MANIFEST
    assert problem.startswith("manifest.json has the sha256 ")
    assert "SHA256SUMS says" in problem


def test_a_hash_changed_in_manifest_or_sums_alone_is_found(release):
    manifest = read_manifest(release)
    readme = manifest.files[1]
    other = dataclasses.replace(readme, sha256="0" * 64)
    write_manifest(release, dataclasses.replace(manifest, files=(manifest.files[0], other)))
    assert list(found(release)) == ["docs/README.md"]
    write_manifest(release, manifest)
    assert found(release) == {}
    (release / SUMS).write_text((release / SUMS).read_text().replace(readme.sha256, "0" * 64))
    ((name, (problem,)),) = found(release).items()
    assert name == "docs/README.md"
    assert "SHA256SUMS says 000000000000" in problem


@pytest.mark.parametrize("text", ["", "{", '{"version": 9}', "[]", '{"version": 1, "name": "x"}', "\xff"])
def test_a_manifest_that_cannot_be_read_leaves_the_sums_to_check(text, release):
    (release / MANIFEST).write_bytes(text.encode("latin-1"))
    flip(release / "small-fp32.onnx")
    bad = found(release)
    assert set(bad) == {MANIFEST, "small-fp32.onnx"}
    assert "manifest" in bad[MANIFEST][0]
    assert "SHA256SUMS says" in bad["small-fp32.onnx"][0]


def test_a_truncated_manifest_is_found(release):
    text = (release / MANIFEST).read_text()
    (release / MANIFEST).write_text(text[: len(text) // 2])
    assert list(found(release)) == [MANIFEST]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "SHA256SUMS, line 8, is not the sum of a file of the release: 'hello'."),
        ("", "SHA256SUMS, line 8, is not the sum of a file of the release: ''."),
        (f"{'0' * 64}  ../golden.png", "line 8, is not the sum"),
        (f"{'0' * 64}  /etc/passwd", "line 8, is not the sum"),
        (f"{'0' * 63}  golden.png", "line 8, is not the sum"),
        (f"{'0' * 64}  golden.png", "SHA256SUMS lists golden.png twice."),
        (f"{'0' * 64}  nothing.png", "SHA256SUMS lists nothing.png, which is not part of the release."),
    ],
)
def test_lines_that_are_no_sums_are_found(line, said, release):
    text = (release / SUMS).read_text()
    assert text.count("\n") == 6
    (release / SUMS).write_text(f"{text}{'0' * 64}  silver.png\n{line}\n")
    bad = found(release)
    assert set(bad) == {SUMS}
    assert len(bad[SUMS]) == 2
    assert any(said in problem for problem in bad[SUMS])


def test_sums_that_leave_one_out_or_are_no_text_are_found(release):
    lines = (release / SUMS).read_text().splitlines(keepends=True)
    (release / SUMS).write_text("".join(line for line in lines if MANIFEST not in line))
    assert found(release) == {SUMS: ["SHA256SUMS does not list manifest.json."]}
    (release / SUMS).write_text("".join(line.replace("  ", " *") for line in lines))
    assert found(release) == {}
    (release / SUMS).write_bytes(b"\xff\xfe")
    assert found(release)[SUMS][0] == "SHA256SUMS cannot be read."


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda contract: dataclasses.replace(contract, labels=contract.labels[:2]), "labels"),
        (
            lambda contract: dataclasses.replace(
                contract, preprocessing=dataclasses.replace(contract.preprocessing, mean=(1.0, 0.0, 0.0))
            ),
            "preprocessing",
        ),
        (
            lambda contract: dataclasses.replace(
                contract, provenance=dataclasses.replace(contract.provenance, licence="MIT")
            ),
            "provenance",
        ),
    ],
)
def test_an_edited_contract_is_found_though_the_hashes_fit(change, field, release):
    change_contract(release / "small-fp32.onnx", change)
    reseal(release)
    ((name, said),) = found(release).items()
    assert name == "small-fp32.onnx"
    contract = "small-fp32.onnx carries another contract than manifest.json has of it: they differ in "
    assert said[0] == f"{contract}{field}."
    assert (len(said) > 1) == (field == "preprocessing"), "another mean has other answers"


def test_other_weights_are_found_though_the_hashes_fit(release, tmp_path):
    tiny_classifier(release / "small-fp32.onnx", LABELS, weights=((0, 9, 0), (9, 0, 0), (0, 0, 9)))
    reseal(release)
    ((name, (values, answer)),) = found(release).items()
    assert name == "small-fp32.onnx"
    assert "computes logits otherwise" in values
    assert "answers green (" in answer
    assert ") first instead of red (" in answer


def test_what_is_no_artifact_is_found_and_the_other_still_run(release):
    (release / "small-fp32.onnx").write_bytes(b"no model")
    reseal(release)
    verification = verify_release(release)
    ((name, (problem,)),) = problems(verification).items()
    assert name == "small-fp32.onnx"
    assert "is not a model onnxruntime" in problem
    assert next(file for file in verification.files if file.name == "small-int8.onnx").checked[-1] == "answers"


def test_changed_golden_values_and_answers_are_found(release):
    golden = read_manifest(release).artifacts[0].golden
    (output,) = golden.outputs
    moved = dataclasses.replace(output, values=(output.values[0] + 0.1, *output.values[1:]))
    change_manifest(release, change_first(golden=dataclasses.replace(golden, outputs=(moved,))))
    assert "computes logits otherwise" in found(release)["small-fp32.onnx"][0]
    red, green, blue = golden.answers
    wrong = (dataclasses.replace(green, score=red.score), dataclasses.replace(red, score=green.score), blue)
    change_manifest(release, change_first(golden=dataclasses.replace(golden, answers=wrong)))
    (difference,) = found(release)["small-fp32.onnx"]
    assert difference.startswith("On golden.png small-fp32.onnx answers red (")


@pytest.mark.parametrize("picture", ["../golden.png", "other.png", "/etc/passwd", "docs/README.md"])
def test_a_golden_picture_that_is_none_of_the_release_is_not_opened(picture, release):
    shutil.copy(release / "golden.png", release.parent / "golden.png")
    golden = dataclasses.replace(read_manifest(release).artifacts[0].golden, picture=picture)
    change_manifest(release, change_first(golden=golden))
    ((name, (problem,)),) = found(release).items()
    assert name == "small-fp32.onnx"
    wanted = "not a picture" if picture == "docs/README.md" else f"was not run: {picture!r} is not a file"
    assert wanted in problem


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "docs/../../outside",
        "/etc/passwd",
        "C:/outside",
        "C:outside",
        "..\\outside",
        "docs//README.md",
        "./small.toml",
        "",
        "a\nb",
        "x\x1b[2J",
    ],
)
def test_a_name_that_leads_out_is_refused_and_never_opened(name, release, monkeypatch):
    (release.parent / "outside").write_bytes(b"secret")
    manifest = read_manifest(release)
    strange = dataclasses.replace(manifest.files[1], name=name)
    write_manifest(release, dataclasses.replace(manifest, files=(*manifest.files, strange)))
    opened: set[str] = set()
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: (opened.add(str(self)), usual(self, *args, **kw))[1])
    bad = found(release)
    refusal = f"manifest.json lists {name!r}, which is no path inside the release; it was not opened."
    assert bad == {MANIFEST: [refusal]}, "the name is shown nowhere else"
    ours = {path for path in opened if not path.startswith(("/proc/", "/sys/"))}
    assert ours == {str(release / file) for file in FILES}
    artifact = dataclasses.replace(
        manifest.artifacts[0], file=dataclasses.replace(manifest.artifacts[0].file, name=name)
    )
    write_manifest(release, dataclasses.replace(manifest, artifacts=(artifact, manifest.artifacts[1])))
    bad = found(release)
    assert set(bad) == {MANIFEST, "small-fp32.onnx", SUMS}
    assert name not in {file.name for file in verify_release(release).files}


def test_a_name_twice_or_of_the_manifest_itself_is_refused(release):
    manifest = read_manifest(release)
    for file in (manifest.recipe, dataclasses.replace(manifest.recipe, name=MANIFEST)):
        write_manifest(release, dataclasses.replace(manifest, files=(*manifest.files, file)))
        assert found(release) == {MANIFEST: [f"manifest.json lists {file.name}, which it should not or did before."]}


@pytest.mark.parametrize("name", ["small-fp32.onnx", MANIFEST, SUMS, "docs", "extra", "hanging"])
def test_links_are_refused(name, release):
    target = release.parent / "elsewhere"
    if (release / name).exists():
        shutil.move(release / name, target)
    elif name == "extra":
        target.write_bytes(b"x")
    (release / name).symlink_to(target)
    bad = found(release)
    assert bad[name] == [f"{name} is a link to elsewhere; a release consists of files."]
    others = {"docs": {"docs/README.md"}}.get(name, set())
    assert set(bad) == {name, *others}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has none")
def test_a_pipe_is_refused_and_not_waited_for(release):
    os.mkfifo(release / "pipe")
    assert found(release) == {"pipe": ["pipe is no plain file."]}


def test_a_name_that_would_clear_the_screen_is_shown_escaped(release):
    (release / "a\x1b[2Jb").write_bytes(b"")
    ((_, (problem,)),) = found(release).items()
    assert problem.startswith("'a\\x1b[2Jb' is a name")


def test_an_onnxruntime_that_is_too_old_says_which_is_needed(release, monkeypatch):
    monkeypatch.setattr(onnxruntime, "__version__", "1.9.1")
    bad = found(release)
    assert bad == {
        name: [
            f"{name} needs onnxruntime 1.15 or later and this is 1.9.1; install 'onnxruntime>=1.15' and verify again."
        ]
        for name in ARTIFACTS
    }
    monkeypatch.setattr(onnxruntime, "__version__", "1.15.0.dev20230601")
    assert found(release) == {}


def test_releases_are_found_in_a_folder_and_one_that_lost_its_manifest_too(made, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(made, tmp_path / "all" / name)
    (tmp_path / "all" / "neither").mkdir()
    (tmp_path / "all" / "b" / MANIFEST).unlink()
    assert find_releases(tmp_path / "all") == [tmp_path / "all" / "a", tmp_path / "all" / "b"]
    assert find_releases(tmp_path / "all" / "a") == [tmp_path / "all" / "a"]
    for folder in (tmp_path / "all" / "neither", tmp_path / "nowhere", made / MANIFEST):
        with pytest.raises(UsageError, match="folder"):
            find_releases(folder)


def test_a_folder_that_cannot_be_read_is_wrong_usage(tmp_path, monkeypatch):
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        find_releases(tmp_path)


def test_progress_counts_files_and_artifacts_and_ends(release):
    said: list[tuple[object, ...]] = []

    class Watcher:
        def start(self, description, total):
            said.append((description, total))

        def update(self, done):
            said.append((done,))

        def stop(self):
            said.append(())

    verify_release(release, Watcher())
    assert said == [("Hashing small", 7), *((n,) for n in range(1, 8)), ("Running small", 2), (1,), (2,), ()]
    assert json.loads((release / MANIFEST).read_text())["version"] == 1


def test_a_signature_of_the_sums_may_lie_in_a_release(release):
    (release / f"{SUMS}.asc").write_bytes(b"signed")
    assert found(release) == {}
