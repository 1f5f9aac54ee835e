"""What a batch keeps on disk, without Blender."""

from dataclasses import replace

import numpy as np
import pytest
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.backend.protocol.messages import Generate, MadeClip, Segment
from motiongpt.motiongpt_blender.batch.store import Plan, Store, Task


def task(name: str, prompt: str = "walk", seed: int = 0, character: str = "Anna") -> Task:
    return Task(name, character, ("slow", "Tänzer"), Generate((Segment(prompt, 24),), 24.0, seed))


def plan(*tasks: Task, blend: str = "/some/Tänze.blend") -> Plan:
    return Plan(blend, tasks, "TRACKS", 1, False, True, False)


def clip(frames: int = 24) -> MadeClip:
    random = np.random.default_rng(0)
    return MadeClip(
        random.normal(size=(frames, 22, 4)).astype(np.float32),
        random.normal(size=(frames, 3)),
        random.normal(size=(frames, 22, 3)),
        random.random((frames, 4)) > 0.5,
        1.0,
        2.0,
        3.0,
        4.0,
    )


def test_plan_and_clips_come_back_as_they_were(tmp_path):
    wanted = plan(task("walk"), task("sit", "sit"))
    Store.create(tmp_path / "batches", wanted).save(wanted.tasks[0], clip())
    store = Store.latest(tmp_path / "batches", wanted.blend)
    assert store and store.plan == wanted
    found = store.load(wanted.tasks[0])
    for name, value in vars(clip()).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert found.rotations.dtype == np.float32 and found.contacts.dtype == bool


def test_what_is_made_is_not_missing(tmp_path):
    tasks = task("walk"), task("sit", "sit"), task("run", "run")
    store = Store.create(tmp_path, plan(*tasks))
    store.save(tasks[1], clip())
    assert store.missing() == [tasks[0], tasks[2]]


def test_one_clip_serves_all_tasks_that_ask_for_the_same(tmp_path):
    tasks = task("walk"), task("walk of Ben", character="Ben"), task("another walk", seed=1)
    store = Store.create(tmp_path, plan(*tasks))
    assert store.missing() == [tasks[0], tasks[2]]
    store.save(tasks[0], clip())
    assert store.has(tasks[1])


def test_each_file_has_its_own_batch_and_only_the_last(tmp_path):
    first = Store.create(tmp_path, plan(task("walk")))
    other = Store.create(tmp_path, plan(task("walk"), blend=""))
    second = Store.create(tmp_path, plan(task("sit", "sit")))
    found = Store.latest(tmp_path, first.plan.blend)
    assert found and found.folder == second.folder
    assert not first.folder.exists() and other.folder.exists()
    assert Store.latest(tmp_path, "/another.blend") is None
    assert Store.latest(tmp_path / "nothing", "") is None


def test_folder_that_was_damaged_is_passed_over(tmp_path):
    store = Store.create(tmp_path, plan(task("walk")))
    (store.folder / "plan.json").write_text('{"blend": "/some', encoding="utf-8")
    assert Store.latest(tmp_path, store.plan.blend) is None


def test_clip_that_was_damaged_is_made_again(tmp_path):
    store = Store.create(tmp_path, plan(task("walk")))
    store.save(store.plan.tasks[0], clip())
    path = next(store.folder.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MotionGPTError, match="cannot be read"):
        store.load(store.plan.tasks[0])
    assert store.missing() == [*store.plan.tasks]


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "batches").write_text("a file", encoding="utf-8")
    with pytest.raises(MotionGPTError, match="batches"):
        Store.create(tmp_path / "batches", plan(task("walk")))


def test_key_follows_the_request_alone():
    walk = task("walk")
    assert walk.key == replace(walk, name="x", character="Ben", tags=()).key
    assert len({walk.key, task("walk", seed=1).key, task("walk", "run").key}) == 3
