"""Measuring: checks on clips whose answer is known, figures on points whose answer is known, and the command as a whole."""

import json
import pickle
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from backend.cli import main
from backend.evaluation import distribution, report, tasks
from backend.evaluation.checks import CHECKS, Signals, passes
from backend.evaluation.official import MovementEncoder, OfficialEvaluator, SequenceEncoder, read_tokens
from backend.evaluation.statistics import interval, ratio_interval
from backend.evaluation.strips import strip, write_png
from backend.motion import rotations
from backend.motion.clip import Clip
from backend.motion.skeleton import SMPL
from backend.protocol.errors import MotionGPTError

UP, ACROSS, AHEAD = np.eye(3)[[1, 0, 2]]


def standing(frames: int = 80) -> Clip:
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    for side, sign in (("left", -1), ("right", 1)):
        local[:, SMPL.index(f"{side}_shoulder")] = rotations.about(AHEAD, np.array(np.radians(75.0) * sign))
    root = np.tile([0.0, SMPL.rest_height, 0.0], (frames, 1))
    return Clip(local, root, np.ones((frames, 4), dtype=bool), 20.0, SMPL)


def going(way: np.ndarray, turn: float = 0.0) -> Clip:
    """Four seconds at a metre a second along `way (3,)`, turning by `turn` degrees in all."""
    clip = standing()
    local = clip.local.copy()
    local[:, 0] = rotations.about(UP, np.radians(np.linspace(0.0, turn, len(clip))))
    return replace(clip, local=local, root=clip.root + np.arange(len(clip))[:, None] / 20.0 * way)


def bent(joint: str, axis: np.ndarray, degrees: float | np.ndarray) -> Clip:
    clip = standing()
    local = clip.local.copy()
    turn = rotations.about(axis, np.broadcast_to(np.radians(degrees), len(clip)))
    local[:, SMPL.index(joint)] = rotations.multiply(turn, local[:, SMPL.index(joint)])
    return replace(clip, local=local)


def jumping() -> Clip:
    clip = standing()
    height = 0.3 * np.maximum(np.sin(np.linspace(0.0, 4.0 * np.pi, len(clip))), 0.0)
    return replace(clip, root=clip.root + height[:, None] * UP)


SHOWN = [
    (going(AHEAD), "forward", {"least": 3.0}),
    (going(-AHEAD), "backward", {"least": 3.0}),
    (going(ACROSS), "sideways", {"least": 3.0, "side": "left"}),
    (going(-ACROSS), "sideways", {"least": 3.0, "side": "right"}),
    (going(0 * UP, 90.0), "turns", {"side": "left", "least": 75.0, "most": 95.0}),
    (going(0 * UP, -90.0), "turns", {"side": "right", "least": 75.0, "most": 95.0}),
    (going(AHEAD), "paces", {"least": 0.9, "most": 1.1}),
    (jumping(), "jumps", {"times": 2}),
    (bent("right_shoulder", AHEAD, -140.0), "raises", {"side": "right"}),
    (bent("left_shoulder", AHEAD, 140.0), "raises", {"side": "left"}),
    (bent("left_shoulder", AHEAD, 75.0), "stands", {}),
    (bent("spine1", ACROSS, 70.0), "bends", {}),
    (bent("left_hip", ACROSS, -80.0), "on_one_leg", {}),
    (standing(), "stands", {}),
    (standing(), "calm", {"most": 0.1}),
    (bent("pelvis", ACROSS, 180.0), "upside_down", {}),
]


@pytest.mark.parametrize(("clip", "check", "thresholds"), SHOWN, ids=[f"{check}-{i}" for i, (_, check, _) in enumerate(SHOWN)])
def test_a_check_passes_what_it_names(clip, check, thresholds):
    assert CHECKS[check](Signals(clip), **thresholds)


@pytest.mark.parametrize("check", ["forward", "backward", "sideways"])
def test_who_stands_goes_nowhere(check):
    assert not CHECKS[check](Signals(standing()), least=0.2)


def test_checks_tell_sides_and_kinds_apart():
    right = Signals(bent("right_shoulder", AHEAD, -140.0))
    assert not CHECKS["raises"](right, side="left") and not CHECKS["raises"](right, side="both") and CHECKS["raises"](right, side="either")
    assert not CHECKS["turns"](Signals(going(AHEAD, 90.0)), side="right", least=10.0)
    for check in ("jumps", "bends", "sits", "crouches", "kicks", "punches", "waves", "climbs", "upside_down", "on_one_leg", "spreads_arms"):
        assert not CHECKS[check](Signals(standing())), check
        assert not CHECKS[check](Signals(going(AHEAD))), check


def test_a_hand_that_goes_to_and_fro_waves():
    raised = bent("right_shoulder", AHEAD, -80.0)
    local = raised.local.copy()
    swing = np.radians(-60.0 + 35.0 * np.sin(np.arange(len(raised)) * 0.8))
    local[:, SMPL.index("right_elbow")] = rotations.about(AHEAD, swing)
    waving = Signals(replace(raised, local=local))
    assert CHECKS["waves"](waving)
    assert not CHECKS["waves"](Signals(raised))


def test_all_checks_of_a_prompt_must_pass():
    both = [{"check": "jumps"}, {"check": "calm", "most": 5.0}]
    assert passes(jumping(), both) and not passes(standing(), both)


def test_the_suite_is_whole():
    suite = tasks.load_prompts()
    assert len(suite) >= 40
    assert len({p["prompt"] for p in suite}) == len(suite)
    assert sum(bool(p.get("paraphrase")) for p in suite) >= 10
    signals = Signals(going(AHEAD))
    for prompt in suite:
        passes(signals, prompt["checks"])  # no check or threshold that does not exist
        assert 2.0 <= prompt["seconds"] <= 9.8


def test_intervals_hold_the_mean():
    values = np.random.default_rng(0).normal(5.0, 1.0, 100)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 10, rel=0.25)
    assert ratio_interval(values, 2.0 * values) == pytest.approx([0.5, 0.5])


def test_distances_of_distributions():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 5))
    assert distribution.fid(points, points) == pytest.approx(0.0, abs=1e-6)
    assert distribution.fid(points, points + 2.0) == pytest.approx(20.0, rel=1e-6)
    assert distribution.fid(points, 3.0 * points) == pytest.approx(5 * 4.0, rel=0.1)
    assert distribution.diversity(points) == pytest.approx(np.sqrt(2 * 5), rel=0.1)
    assert distribution.multimodality(np.repeat(points[:10, None], 4, axis=1)) == pytest.approx(0.0)
    assert distribution.precision(points[:64], points[:64]) == [1.0, 1.0, 1.0]
    assert distribution.precision(points[:64], points[64:128])[0] < 0.2
    assert distribution.matching(points, points + 1.0) == pytest.approx(np.sqrt(5.0))


def test_the_official_evaluator_is_read_without_running_what_is_pickled(tmp_path):
    parts = {"movement": MovementEncoder(259), "motion": SequenceEncoder(512, 1024), "text": SequenceEncoder(300, 512, 15)}
    torch.save({f"{name}_encoder": part.state_dict() for name, part in parts.items()} | {"epoch": 3}, tmp_path / "finest.tar")
    words = ["unk", "sos", "eos", "walk", "a"]
    (tmp_path / "our_vab_words.pkl").write_bytes(pickle.dumps(words))
    np.save(tmp_path / "our_vab_data.npy", np.random.default_rng(0).normal(size=(len(words), 300)))
    for name in ("mean", "std"):
        np.save(tmp_path / f"{name}.npy", np.ones(263))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "000000.txt").write_text("a man walks.#a/DET man/NOUN walk/VERB#0.0#0.0\n", encoding="utf-8")
    tokens = read_tokens([tmp_path])
    assert tokens == {"a man walks.": "a/DET man/NOUN walk/VERB"}
    evaluator = OfficialEvaluator(tmp_path / "finest.tar", tmp_path, tmp_path, tokens)
    assert evaluator.rows == {word: i for i, word in enumerate(words)}
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(length, 263)) for length in (40, 64)]
    together = evaluator.motions(clips)
    assert together.shape == (2, 512)
    assert np.corrcoef(together[0], evaluator.motions(clips[:1])[0])[0, 1] > 0.95  # padding reaches the last code's edge only
    texts = evaluator.texts(["a man walks.", "a walk"])
    assert texts.shape == (2, 512) and np.isfinite(texts).all()
    assert not np.allclose(*texts)


def test_other_files_than_the_official_ones_are_refused(tmp_path):
    torch.save({"net": {}}, tmp_path / "finest.tar")
    with pytest.raises(MotionGPTError, match="official evaluator"):
        OfficialEvaluator(tmp_path / "finest.tar", tmp_path, tmp_path, {})


def test_a_strip_shows_the_character_in_every_field(tmp_path):
    picture = strip(going(AHEAD), figures=4)
    assert picture.shape == (170, 480, 3)
    for field in np.split(picture, 4, axis=1):
        red = (field == (214, 81, 60)).all(axis=-1)
        assert 50 < red.sum() < 2000
    write_png(tmp_path / "strip.png", picture)
    data = (tmp_path / "strip.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (480, 170)
    start = data.index(b"IDAT") + 4
    pixels = zlib.decompress(data[start : start + struct.unpack(">I", data[start - 8 : start - 4])[0]])
    assert len(pixels) == 170 * (1 + 3 * 480)


def test_a_whole_report_of_a_tiny_bundle(trained, tmp_path, monkeypatch, capsys):
    small = tasks.Effort(clips=1, samples=1, prompt_samples=1, prompt_stride=25)
    monkeypatch.setattr(tasks, "QUICK", small)
    evaluator = tmp_path / "evaluator"
    settings = [part for value in ("steps=2", "batch=2", "warmup=1") for part in ("--set", value)]
    assert main(["train", "evaluator", "--data", str(trained / "data"), "--out", str(evaluator), "--device", "cpu", *settings]) == 0
    command = ["evaluate", "--bundle", str(trained / "bundle"), "--data", str(trained / "source"), "--quick", "--device", "cpu"]
    assert main([*command, "--evaluator", str(evaluator), "--json", str(tmp_path / "report.json")]) == 0
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {"mpjpe_mm", "mpjpe_aligned_mm", "codebook_use", "rotation_deg"} <= found["tokenizer"].keys()
    for place in ("first", "last", "both", "keys"):
        assert found["control"][place]["error_ratio"] > 0
        assert found["constraint"][place]["mm"] < 1.0 and found["constraint"][place]["deg"] < 0.1
    assert {"slide_mm_per_frame", "below_floor_mm"} <= found["feet"].keys()
    assert {"pass_rate", "shuffled_pass_rate"} <= found["prompts"].keys() and found["prompts"]["count"] == 3
    assert found["loop"]["mm"] < 1.0 and found["loop"]["deg"] < 0.1
    assert found["duration"]["exact_share"] == 1.0
    assert {"drift from the control pose", "text mismatch", "low diversity"} == found["failures"].keys()
    printed = capsys.readouterr().out
    assert "control first" in printed and "a person walks forward." in printed
    assert report.rows(found)


def test_there_must_be_something_to_measure(capsys):
    assert main(["evaluate"]) == 1
    assert "--data" in capsys.readouterr().err


def test_the_suite_agrees_with_captured_clips(tmp_path):
    """Captured clips whose captions say that a check should pass do pass, far more often than others."""
    source = Path(__file__).parents[3] / "shared" / "data" / "cmu"
    if not source.is_dir():
        pytest.skip(f"the captured clips are not at {source}")
    from backend.data.dataset import Dataset, build

    folder = tmp_path / "cmu"
    folder.mkdir()
    for name in ("data.npz", "clips.jsonl", "texts"):
        (folder / name).symlink_to(source / name)
    (folder / "test.txt").write_text((source / "test.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "train.txt").write_text((source / "val.txt").read_text(encoding="utf-8"), encoding="utf-8")
    dataset: Dataset = build([folder], tmp_path / "data")
    figures = tasks.real_prompts(tasks.load_prompts(), dataset)
    assert figures["pass_rate"] > 0.65
    assert figures["pass_rate"] > 4.0 * figures["other_pass_rate"]


def test_pace_is_how_fast_poses_are_passed_where_the_captured_clip_walks():
    def case(captured: float, made: float) -> tasks.Case:
        """Of clips that go ahead so many metres a second."""
        real, draft = going(captured * AHEAD), going(made * AHEAD)
        real.local[:] = rotations.IDENTITY
        return tasks.Case(cast(Any, None), "", real, len(real) // 4, {place: [draft] for place in ("", *tasks.PLACES)})

    found = tasks.control([case(1.0, 0.5), case(0.2, 3.0)])  # the second stands
    for place in tasks.PLACES:
        assert found[place]["pace"] == pytest.approx(0.5)
    assert tasks.control([case(0.2, 3.0)])["keys"]["pace"] is None
