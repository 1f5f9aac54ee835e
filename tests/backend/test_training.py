import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.cli import main
from backend.data.dataset import Dataset
from backend.generation import Generator
from backend.motion.features import features_to_joints
from backend.protocol.errors import Code, MotionGPTError
from backend.protocol.messages import Generate, Load, Segment

sys.path.insert(0, str(Path(__file__).parent))
from tiny import LANGUAGE, TOKENIZER, log, settings, write_humanml3d


def test_a_data_set_says_what_is_in_it(trained):
    dataset = Dataset(trained / "data")
    assert dataset.facts["clips"] == {"train": 4, "val": 1, "test": 1}
    assert dataset.facts["rotations"] == "local"
    path = features_to_joints(dataset.of(dataset.split("test")[0]), dataset.skeleton)[:, 0]
    assert np.linalg.norm(path[-1] - path[0]) == pytest.approx(0.05 * 88, abs=0.01)
    assert [(c.start, c.end) for c in dataset.clips[0].captions] == [(0.0, 0.0), (1.0, 4.0)]


def test_a_humanml3d_folder_is_read_as_it_is(trained, tmp_path):
    features = np.array(Dataset(trained / "data").features[:60])
    source = write_humanml3d(tmp_path / "h3d", features)
    assert main(["data", "build", "--source", str(source), "--out", str(tmp_path / "data")]) == 0
    dataset = Dataset(tmp_path / "data")
    assert dataset.facts["rotations"] == "ik"
    assert dataset.clips[0].captions[0].text == "a man waves."
    np.testing.assert_array_equal(dataset.of(dataset.clips[0]), features)


def test_clips_that_nothing_can_be_learned_from_are_left_out(trained, tmp_path, capsys):
    features = np.array(Dataset(trained / "data").features[:60])
    source = write_humanml3d(tmp_path / "h3d", features)
    broken, one = features.copy(), features[:6]
    broken[3, 7] = np.nan
    for name, values in (("000003", broken), ("000004", one)):
        np.save(source / "new_joint_vecs" / f"{name}.npy", values)
        (source / "texts" / f"{name}.txt").write_text("a man waves.#a/DET man/NOUN wave/VERB#0.0#0.0\n", encoding="utf-8")
    (source / "train.txt").write_text("000001\n000003\n000004\n", encoding="utf-8")
    assert main(["data", "build", "--source", str(source), "--out", str(tmp_path / "data")]) == 0
    dataset = Dataset(tmp_path / "data")
    assert {clip.id for clip in dataset.clips} == {"000001", "000002"} and np.isfinite(dataset.mean).all()
    said = capsys.readouterr()
    assert "000003 is left out, because it holds what is no number" in said.out + said.err
    assert "000004 is left out, because it is too short" in said.out + said.err


def test_a_refused_training_leaves_what_was_begun_as_it_was(trained, tmp_path, capsys):
    """Other statistics would make what the tokenizer has learned another motion."""
    folder = tmp_path / "tokenizer"
    shutil.copytree(trained / "tokenizer", folder)
    before = (folder / "statistics.json").read_text(encoding="utf-8")
    source = write_humanml3d(tmp_path / "h3d", 2.0 * np.array(Dataset(trained / "data").features[:60]))
    assert main(["data", "build", "--source", str(source), "--out", str(tmp_path / "data")]) == 0
    command = ["train", "tokenizer", "--data", str(tmp_path / "data"), "--out", str(folder), "--device", "cpu"]
    assert main([*command, *settings(TOKENIZER)]) == 1
    assert "begun with other data" in capsys.readouterr().err
    assert (folder / "statistics.json").read_text(encoding="utf-8") == before


def test_a_caption_of_a_part_is_about_that_part(trained):
    dataset = Dataset(trained / "data")
    clip = dataset.clips[0]
    whole, part = clip.captions
    np.testing.assert_array_equal(dataset.part(clip, part), dataset.of(clip)[20:80])
    np.testing.assert_array_equal(dataset.part(clip, whole), dataset.of(clip))


def test_folders_of_different_forms_do_not_mix(trained, tmp_path, capsys):
    source = write_humanml3d(tmp_path / "h3d", np.array(Dataset(trained / "data").features[:60]))
    build = ["data", "build", "--source", str(trained / "source"), "--source", str(source), "--out", str(tmp_path / "data")]
    assert main(build) == 1
    assert "do not go together" in capsys.readouterr().err


def test_a_broken_off_training_ends_like_an_unbroken_one(trained, tmp_path):
    """Two runs of three steps against one of six: the same losses, step for step."""
    common = ["train", "tokenizer", "--data", str(trained / "data"), "--device", "cpu", "--out", str(tmp_path / "again")]
    from backend.training import loop

    steps_taken = []
    original = loop.schedule

    def stop_after_three(step: int, steps: int, warmup: int) -> float:
        steps_taken.append(step)
        if len(steps_taken) == 4:
            raise KeyboardInterrupt
        return original(step, steps, warmup)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop, "schedule", stop_after_three)
        assert main([*common, *settings([*TOKENIZER, "steps=6"])]) == 130
    assert main([*common, *settings([*TOKENIZER, "steps=6"])]) == 0
    broken, whole = log(tmp_path / "again"), log(trained / "tokenizer")
    assert [r["step"] for r in broken] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([r["loss"] for r in broken], [r["loss"] for r in whole], rtol=1e-4)


def test_a_folder_begun_with_other_settings_is_not_gone_on_with(trained, capsys):
    command = ["train", "tokenizer", "--data", str(trained / "data"), "--device", "cpu", "--out", str(trained / "tokenizer")]
    assert main([*command, *settings([*TOKENIZER, "steps=6", "batch=5"])]) == 1
    message, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert message == f"motiongpt: {trained / 'tokenizer'} was begun with other settings (batch)."
    assert "choose another folder" in remedy


def test_training_moves_the_adapter_and_its_rows(trained):
    from backend.training.loop import read_model

    state = read_model(trained / "language" / "state.safetensors")
    assert any(value.abs().max() > 0 for name, value in state.items() if "lora_B" in name)
    assert state["motion.rows"].abs().max() > 0


def test_a_packed_bundle_generates(trained):
    generator = Generator.load(Load(str(trained / "bundle"), "cpu"))
    assert generator.info.bundle == "tiny"
    reply = generator.generate(Generate((Segment("a person walks", 48),), fps=24.0, seed=1), lambda done, total: None, lambda: False)
    assert reply.clips[0].rotations.shape == (48, 22, 4)
    assert np.isfinite(reply.clips[0].joints).all()


def test_an_altered_or_missing_file_of_a_bundle_is_told(trained, tmp_path):
    import shutil

    folder = Path(shutil.copytree(trained / "bundle", tmp_path / "bundle"))
    with (folder / "tokenizer.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    with pytest.raises(MotionGPTError, match=r"tokenizer\.safetensors") as altered:
        Generator.load(Load(str(folder), "cpu"))
    assert altered.value.code == Code.BUNDLE_ALTERED
    (folder / "tokenizer.safetensors").unlink()
    with pytest.raises(MotionGPTError, match="missing") as missing:
        Generator.load(Load(str(folder), "cpu"))
    assert missing.value.code == Code.BUNDLE_MISSING
    assert missing.value.remedy.startswith("Choose another bundle in the preferences")


@pytest.mark.parametrize("change", [lambda files: files.clear(), lambda files: files.update({"../elsewhere": "0" * 64})])
def test_a_bundle_that_names_other_files_than_its_own_is_refused(trained, tmp_path, change):
    import json
    import shutil

    folder = Path(shutil.copytree(trained / "bundle", tmp_path / "bundle"))
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    change(facts["files"])
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(MotionGPTError, match="not those of a bundle") as error:
        Generator.load(Load(str(folder), "cpu"))
    assert error.value.code == Code.BUNDLE_ALTERED


def test_a_missing_base_model_is_told_with_the_way_to_get_it(trained, tmp_path, monkeypatch):
    from backend.models.base import BaseModel, find_base

    monkeypatch.setenv("MOTIONGPT_CACHE", str(tmp_path))
    with pytest.raises(MotionGPTError, match="nowhere/nothing") as error:
        find_base(BaseModel("nowhere/nothing"))
    assert error.value.code == Code.BASE_MODEL_MISSING
    assert "hf download nowhere/nothing" in error.value.remedy


def test_a_base_model_whose_package_is_missing_is_told_with_the_button_that_puts_it_back(tmp_path, monkeypatch):
    from backend.models.base import BaseModel, find_base

    monkeypatch.setenv("MOTIONGPT_CACHE", str(tmp_path))
    with pytest.raises(MotionGPTError, match="the package no_such_package") as error:
        find_base(BaseModel("nowhere/nothing", "no_such_package", "no-such-package==1.0"))
    assert "Check and Mend" in error.value.remedy and "no-such-package==1.0" in error.value.remedy


def test_a_base_of_another_name_is_not_made_from_the_package_of_the_default():
    from dataclasses import replace

    from backend.models.base import SMOLLM2, find_base

    with pytest.raises(MotionGPTError, match="nowhere/nothing was not found"):
        find_base(replace(SMOLLM2, name="nowhere/nothing"))


def test_unknown_settings_are_named(trained):
    with pytest.raises(SystemExit, match="hurry"):
        main(["train", "tokenizer", "--data", str(trained / "data"), "--out", "x", "--set", "hurry=1"])


@pytest.mark.parametrize("setting", ["steps=many", "rate", "network.width=[", "network=3", "steps.x=1"])
def test_values_that_a_setting_cannot_have_are_named(trained, setting):
    with pytest.raises(SystemExit, match=setting.partition("=")[0].rpartition(".")[2] + "'"):
        main(["train", "tokenizer", "--data", str(trained / "data"), "--out", "x", "--set", setting])


def test_losses_are_finite_in_both_vocabularies(trained, tmp_path):
    from backend.language.heads import AdapterConfig
    from backend.models.base import BaseModel
    from backend.training.language import LanguageTrainee, LanguageTraining
    from backend.training.tokenizer import load_trained

    for form, template in (("items", "timed"), ("digits", "paper")):
        adapter = AdapterConfig(rank=2, vocabulary=form)
        config = LanguageTraining(BaseModel(str(trained / "base")), adapter, template, batch=8, shortest=4, longest=12)
        dataset = Dataset(trained / "data")
        trainee = LanguageTrainee(dataset, load_trained(trained / "tokenizer", dataset), config, "cpu")
        assert torch.isfinite(trainee.loss(0))


def test_training_stops_after_its_minutes_and_begins_where_a_bundle_ends(trained, tmp_path):
    from backend.models.bundle import open_bundle
    from backend.training.loop import read_model

    begin = open_bundle(trained / "bundle")
    folders = ["--data", str(trained / "data"), "--begin", str(trained / "bundle"), "--minutes", "0"]
    network = [f"network.{name}={getattr(begin.network, name)}" for name in ("width", "code_dim", "codes", "depth", "levels")]
    sizes = [part for setting in (*network, "batch=2", "window=16", "warmup=1", "rate=1e-9", "steps=5") for part in ("--set", setting)]
    main(["train", "tokenizer", *folders, "--out", str(tmp_path), *sizes])
    assert len(log(tmp_path)) == 1
    state = read_model(tmp_path / "state.safetensors")
    for name, value in begin.tokenizer().state_dict().items():
        if "quantizer" not in name:
            torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-6)


def test_further_levels_of_codes_leave_those_before_as_they_were(trained, tmp_path):
    """Of the tokenizer and of the language model: each begins with all that the bundle has."""
    from backend.models.bundle import open_bundle
    from backend.training.tokenizer import TokenizerTrainee, TokenizerTraining, reconstruction_errors

    data, bundles = ["--data", str(trained / "data")], [trained / "bundle"]
    network = [f"network.{name}={getattr(open_bundle(bundles[0]).network, name)}" for name in ("width", "code_dim", "codes", "depth")]
    for levels in (2, 3):
        folder, begin = tmp_path / str(levels), ["--begin", str(bundles[-1]), "--device", "cpu"]
        few = [*network, f"network.levels={levels}", "keep_codes=true", "batch=2", "window=16", "warmup=1", "steps=2"]
        main(["train", "tokenizer", *data, *begin, "--out", str(folder / "tokenizer"), *settings(few)])
        parts = [*data, "--tokenizer", str(folder / "tokenizer")]
        little = [*LANGUAGE, "steps=1", "rate=1e-9", f"base.name={trained / 'base'}"]
        main(["train", "language", *parts, *begin, "--out", str(folder / "language"), *settings(little)])
        main(["bundle", "pack", *parts, "--language", str(folder / "language"), "--out", str(folder / "bundle")])
        bundles.append(folder / "bundle")
    _, fewer, more = (open_bundle(bundle) for bundle in bundles)
    old, new = fewer.tokenizer(), more.tokenizer()
    changed = {name.split(".")[0] for name, value in old.state_dict().items() if not torch.equal(value, new.state_dict()[name])}
    assert changed == {"decoder"}
    dataset = Dataset(trained / "data")
    dataset.mean, dataset.std = fewer.mean, fewer.std
    new.decoder.load_state_dict(old.decoder.state_dict())
    before, after = (reconstruction_errors(model, dataset, dataset.split("train"), "cpu")["aligned_mm"] for model in (old, new))
    assert after < before
    known, learned = fewer.adapter_tensors(), more.adapter_tensors()
    torch.testing.assert_close(learned["finer.embeddings"][:1], known["finer.embeddings"])
    for name, value in known.items():
        if name.startswith(("motion.", "finer.readers.0")):
            torch.testing.assert_close(learned[name], value)
    assert "finer.readers.1.mix.weight" in learned
    config = TokenizerTraining(fewer.network, window=16)
    again = TokenizerTrainee(dataset, config, "cpu", more)  # back to as many as there were
    for name, value in again.tensors().items():
        if name.startswith(("encoder", "decoder")):
            torch.testing.assert_close(value, more.tokenizer().state_dict()[name])
    torch.testing.assert_close(torch.stack(again.model.codebooks), torch.stack(more.tokenizer().codebooks[: fewer.network.levels]))


def test_a_bundle_of_another_size_is_no_beginning(trained):
    from backend.models.bundle import open_bundle
    from backend.tokenizer.vqvae import VQVAEConfig
    from backend.training.tokenizer import TokenizerTrainee, TokenizerTraining

    begin = open_bundle(trained / "bundle")
    wider = VQVAEConfig(**{**vars(begin.network), "width": begin.network.width * 2})
    with pytest.raises(ValueError, match="the settings ask for"):
        TokenizerTrainee(Dataset(trained / "data"), TokenizerTraining(wider, window=16), "cpu", begin)


def test_clips_that_many_others_are_like_are_drawn_less_often():
    from backend.data.dataset import Clip
    from backend.data.sources import Caption
    from backend.training.scenes import Scenes

    walks = [Clip(f"{i}", "train", 90 * i, 90, (Caption(f"walk number {i}."), Caption("a person walks."))) for i in range(16)]
    kick = Clip("kick", "train", 0, 90, (Caption("a person kicks."),))
    odds = Scenes([*walks, kick], evenness=0.5).clip_odds
    np.testing.assert_allclose(odds, [1 / 4 / 5] * 16 + [1 / 5])


def test_a_language_model_goes_on_with_a_bundles_tokenizer(trained, tmp_path):
    from backend.models.bundle import open_bundle

    bundle = trained / "bundle"
    command = ["train", "language", "--data", str(trained / "data"), "--tokenizer", str(bundle), "--begin", str(bundle), "--device", "cpu"]
    main([*command, "--out", str(tmp_path / "language"), *settings([*LANGUAGE, "steps=1"])])
    parts = ["--data", str(trained / "data"), "--tokenizer", str(bundle), "--language", str(tmp_path / "language")]
    main(["bundle", "pack", *parts, "--out", str(tmp_path / "bundle")])
    before, after = open_bundle(bundle), open_bundle(tmp_path / "bundle")
    assert after.training["tokenizer"] == before.training["tokenizer"]
    np.testing.assert_array_equal(after.mean, before.mean)
    for name, value in before.tokenizer().state_dict().items():
        torch.testing.assert_close(after.tokenizer().state_dict()[name], value)


def test_examples_are_cut_to_whole_positions_and_show_their_poses(trained):
    from backend.models.base import BaseModel
    from backend.training.language import LanguageTrainee, LanguageTraining
    from backend.training.tokenizer import load_trained

    config = LanguageTraining(BaseModel(str(trained / "base")), batch=4, shortest=4, longest=12)
    dataset = Dataset(trained / "data")
    tokenizer = load_trained(trained / "tokenizer", dataset)
    trainee = LanguageTrainee(dataset, tokenizer, config, "cpu")
    stretches = set()
    for step in range(24):
        batch = trainee._batch(step)
        assert len(batch) == config.batch
        for example in batch:
            cut = example.cut
            stretches.add(cut.stretch)
            assert config.shortest <= cut.length <= config.longest
            assert len(trainee.examples.codes(cut)) == cut.length
            assert all(cut.clip.start <= row < cut.clip.start + cut.clip.frames for _, _, row in example.poses)
            frames = cut.length * tokenizer.config.frames_per_code
            assert example.seconds is None or example.seconds == pytest.approx(frames / dataset.skeleton.fps)
    assert stretches == {1.0, config.retimed, 1.0 / config.retimed}


def test_the_steps_of_a_round_see_different_examples(trained):
    from backend.models.base import BaseModel
    from backend.training.language import LanguageTrainee, LanguageTraining
    from backend.training.tokenizer import load_trained

    config = LanguageTraining(BaseModel(str(trained / "base")), batch=4, shortest=4, longest=12)
    dataset = Dataset(trained / "data")
    trainee = LanguageTrainee(dataset, load_trained(trained / "tokenizer", dataset), config, "cpu")
    batches = [trainee._batch(step) for step in range(4)]
    lengths = [sorted(example.cut.length for example in batch) for batch in batches]
    ends = sorted((batch[0], batch[-1]) for batch in lengths)
    assert all(before[1] <= after[0] for before, after in zip(ends, ends[1:], strict=False))  # dealt by length
    assert trainee._batch(2) == batches[2]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a person kicks with the left leg.", "a person kicks with the right leg."),
        ("walks clockwise, then counterclockwise", "walks counterclockwise, then clockwise"),
        ("walks counter-clockwise", "walks clockwise"),
        ("walks counter clockwise", "walks clockwise"),
        ("stands upright", "stands upright"),
    ],
)
def test_sides_of_a_caption_are_exchanged(caption, expected):
    from backend.training.language import mirrored

    assert mirrored(caption) == expected


@pytest.mark.parametrize(
    ("action", "others"),
    [
        ("walk forward left", {"walk forward", "walk back", "walk forward circle_left"}),
        ("turn left", {"turn about_right"}),
        ("run forward", set()),
        ("jump", set()),
    ],
)
def test_an_action_is_contradicted_by_other_ways_and_turns_of_its_gait(action, others):
    """Not by the same turn to the other side, whose caption may leave the side out."""
    from backend.data.dataset import Clip
    from backend.data.sources import Caption
    from backend.training.scenes import Scenes

    names = ("walk forward", "walk back", "walk forward left", "walk forward right", "walk forward circle_left")
    names += ("turn left", "turn right", "turn about_right", "run forward", "jump")
    captions = [Caption(text=name, start=0.0, end=1.0, action=name) for name in names]
    scenes = Scenes([Clip("walk", "train", 0, 80, (Caption("someone walks."), *captions))], 0.4)
    asked = next(caption for caption in captions if caption.action == action)
    rng = np.random.default_rng(0)
    assert {scenes.contradicting(rng, asked) for _ in range(100)} == (others or {""})


def test_captions_are_learned_against_those_of_the_other_side(trained):
    """Training on the contrast alone makes an answer less likely under a caption that names the wrong side."""
    from dataclasses import replace

    from backend.language.heads import AdapterConfig
    from backend.models.base import BaseModel
    from backend.training.language import LanguageTrainee, LanguageTraining, contradicted
    from backend.training.tokenizer import load_trained

    dataset = Dataset(trained / "data")
    config = LanguageTraining(BaseModel(str(trained / "base")), AdapterConfig(rank=8), batch=4, shortest=4, longest=12, rate=1e-2)
    trainee = LanguageTrainee(dataset, load_trained(trained / "tokenizer", dataset), config, "cpu")
    rng = np.random.default_rng(0)
    drawn = [trainee.examples.draw(rng, trainee.scenes["train"], "text") for _ in range(4)]
    drawn = [replace(example, caption="someone waves with the left arm.", other="") for example in drawn]
    unnamed = replace(drawn[0], caption="someone waves.")
    assert contradicted([*drawn, unnamed], rng, 1.0).keys() == {0, 1, 2, 3}
    assert contradicted([replace(unnamed, other="someone walks.")], rng, 1.0) == {0: "someone walks."}

    def margins() -> torch.Tensor:
        return trainee._loss(drawn, np.random.default_rng(1), 0.0, contradicted(drawn, rng, 1.0))[2]

    before = margins().detach()
    for _ in range(20):
        trainee.optimizer.zero_grad()
        torch.nn.functional.softplus(-margins()).mean().backward()
        trainee.optimizer.step()
    assert (margins() > before.clamp(min=0.0) + 0.5).all()


def test_rows_are_carried_over_to_the_codes_of_another_tokenizer(trained):
    """The codes of a bundle's tokenizer in another order: each code that is in use finds its rows again."""
    from backend.language.heads import AdapterConfig
    from backend.models.base import BaseModel
    from backend.models.bundle import open_bundle
    from backend.training.language import LanguageTrainee, LanguageTraining
    from backend.training.tokenizer import load_trained

    begin, dataset = open_bundle(trained / "bundle"), Dataset(trained / "data")
    tokenizer = load_trained(trained / "bundle", dataset)
    features = torch.from_numpy((dataset.features[:80] - dataset.mean) / dataset.std)[None]
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    before = tokenizer.encode(features)[0, :, 0]
    tokenizer.quantizers[0].codebook.copy_(tokenizer.quantizers[0].codebook[order])
    after = tokenizer.encode(features)[0, :, 0]
    assert not torch.equal(before, after)

    config = LanguageTraining(BaseModel(str(trained / "base")), AdapterConfig(rank=2), batch=2, shortest=4, longest=12)
    trainee = LanguageTrainee(dataset, tokenizer, config, "cpu", begin)
    tensors = begin.adapter_tensors()
    assert trainee.model.motion is not None and trainee.model.head is not None
    torch.testing.assert_close(trainee.model.motion.data[after], tensors["motion.embeddings"].float()[before], rtol=0, atol=3e-3)
    torch.testing.assert_close(trainee.model.head.data[after], tensors["motion.rows"].float()[before], rtol=0, atol=3e-3)


def test_turns_are_what_explains_how_captured_clips_turn():
    """Codes whose latents say what they turn, in clips whose yaw is just that: it is found again, and adds up."""
    from types import SimpleNamespace

    from backend.language.odometry import Odometry
    from backend.training.turns import fit_turns

    rng = np.random.default_rng(0)
    books = torch.from_numpy(rng.normal(size=(2, 16, 8)) * [[[1.0]], [[0.3]]]).float()
    true = (books @ torch.from_numpy(rng.normal(0.0, 0.1, 8)).float()).numpy()

    def clip(positions: int = 40) -> np.ndarray:
        codes = rng.integers(16, size=(positions, 2))
        turned = true[0, codes[:, 0]] + true[1, codes[:, 1]] + 0.05
        return np.repeat(np.concatenate([-turned[:, None] / 8.0, codes], axis=1), 4, axis=0).astype(np.float32)

    clips = [clip() for _ in range(12)]
    tokenizer = SimpleNamespace(
        config=SimpleNamespace(frames_per_code=4),
        codebooks=list(books),
        encode=lambda features: features[:, ::4, 1:].long(),
    )
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    dataset = SimpleNamespace(split=lambda name: range(12), of=lambda number: clips[number], mean=zero, std=one)
    odometry = Odometry(2, 16, 8)
    odometry.turns.copy_(fit_turns(tokenizer, dataset, "cpu"))  # pyright: ignore[reportArgumentType]
    for features in (*clips, clip()):
        told = odometry.sums(torch.from_numpy(features[::4, 1:]).long())[1:, 1].numpy() / 100.0
        np.testing.assert_allclose(told, -2.0 * np.cumsum(features[:, 0], dtype=np.float64)[3::4], atol=0.05)


def test_a_trained_ranker_becomes_a_part_of_its_bundle(trained, tmp_path):
    """It chooses among attempts; a bundle without one chooses by what the model itself likes best."""
    import shutil

    from backend.models.bundle import open_bundle

    bundle = tmp_path / "bundle"
    shutil.copytree(trained / "bundle", bundle)
    command = ["train", "ranker", "--data", str(trained / "data"), "--bundle", str(bundle), "--out", str(tmp_path / "ranker")]
    assert main([*command, "--device", "cpu", *settings(["examples=24", "steps=12", "batch=12", "warmup=1"])]) == 0
    generator = Generator.load(Load(bundle=str(bundle), device="cpu"))
    assert generator.ranker is not None and open_bundle(trained / "bundle").ranker() is None
    clips = [
        generator.generate(Generate((Segment("someone walks.", 40),), 20.0, seed=1, candidates=n), lambda a, b: None, lambda: False)
        for n in (1, 4)
    ]
    assert all(np.isfinite(reply.clips[0].joints).all() for reply in clips)


def test_a_ranker_tells_pairs_apart():
    """Prompts that name one of four numbers, and clips of which that one is high."""
    from backend.language.ranker import Ranker

    torch.manual_seed(0)
    ranker = Ranker(32, 10)
    words, optimizer = torch.randn(4, 32), torch.optim.AdamW(ranker.parameters(), lr=3e-3)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        return words + 0.1 * torch.randn(4, 32), 0.3 * torch.randn(4, 10) + 3.0 * torch.eye(4, 10)

    for _ in range(100):
        prompts, clips = draw()
        loss, _ = ranker.loss(prompts, clips, torch.eye(4, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ranker.eval()
    prompts, clips = draw()
    scores = torch.stack([ranker(prompt[None], clips.numpy()) for prompt in prompts])
    assert scores.argmax(-1).tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(ranker(prompts, clips.numpy()), scores.diagonal())


def test_bundles_are_averaged_if_they_have_the_rest_in_common(trained, tmp_path, capsys):
    from backend.models.bundle import file_hash, open_bundle

    one, other = trained / "bundle", tmp_path / "other"
    shutil.copytree(one, other)
    weights = load_file(other / "heads.safetensors")
    save_file({name: value + 2 for name, value in weights.items()}, other / "heads.safetensors")
    facts = json.loads((other / "bundle.json").read_text())
    facts["files"]["heads.safetensors"] = file_hash(other / "heads.safetensors")
    (other / "bundle.json").write_text(json.dumps(facts))
    assert main(["bundle", "average", str(one), str(other), "--out", str(tmp_path / "mean")]) == 0
    before, after = open_bundle(one).adapter_tensors(), open_bundle(tmp_path / "mean").adapter_tensors()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value + (name in weights), atol=2e-3, rtol=0)

    facts["template"] = "paper"
    (other / "bundle.json").write_text(json.dumps(facts))
    assert main(["bundle", "average", str(one), str(other), "--out", str(tmp_path / "mean")]) == 1
    assert "The bundles differ in template." in capsys.readouterr().err
