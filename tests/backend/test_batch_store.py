"""What a batch keeps on disk, without Blender."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import os
from dataclasses import replace

import numpy as np
import pytest
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.backend.protocol.messages import Generate, MadeClip, Segment
from motiongpt.motiongpt_blender.batch.naming import fitting
from motiongpt.motiongpt_blender.batch.plan import Defaults, Outcome, plan_tasks
from motiongpt.motiongpt_blender.batch.store import Plan, Store, Task
from motiongpt.motiongpt_blender.batch.table import Row
from motiongpt.motiongpt_blender.orders import Delivery, Order


def task(name: str, prompt: str = "walk", seed: int = 0, character: str = "Anna") -> Task:
    return Task(name, character, ("slow", "Tänzer"), Order(Generate((Segment(prompt, 24),), 24.0, seed), 1))


def plan_rows(*rows: Row, characters: tuple[str, ...] = ("Anna", "Ben"), rule: str = "{prompt}") -> list[Task]:
    defaults = Defaults(2.0, 7, False, rule, 24.0, str.upper)
    return plan_tasks(
        rows, characters, ("Anna", "Ben"), defaults, lambda _, segments, seed, loop: Order(Generate(segments, 24.0, seed, loop=loop), 1)
    )


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


def test_each_file_has_its_own_last_batch(tmp_path):
    first = Store.create(tmp_path, plan(task("walk")))
    Store.create(tmp_path, plan(task("walk"), blend=""))
    second = Store.create(tmp_path, plan(task("sit", "sit")))
    found = Store.latest(tmp_path, first.plan.blend)
    assert found and found.folder == second.folder
    assert Store.latest(tmp_path, "/another.blend") is None
    assert Store.latest(tmp_path / "nothing", "") is None


def test_batch_of_a_file_without_a_name_is_found_by_its_own(tmp_path):
    stores = [Store.create(tmp_path, plan(task("walk"), blend=blend)) for blend in ("", "", "/some/named.blend")]
    names = [store.folder.name for store in stores]
    assert Store.latest(tmp_path, "") is None
    assert Store.latest(tmp_path, "", ("", "../nothing")) is None
    for blend, known, wanted in (("", names[:1], 0), ("", names[:2], 1), ("/some/named.blend", names[:2], 2), ("/other.blend", names, 2)):
        found = Store.latest(tmp_path, blend, known)
        assert found and found.folder == stores[wanted].folder


def test_batches_of_long_ago_are_removed(tmp_path):
    old, new = (Store.create(tmp_path, plan(task("walk"))) for _ in range(2))
    os.utime(old.folder / "plan.json", (0, 0))
    Store.create(tmp_path, plan(task("sit")))
    assert new.folder.exists() and not old.folder.exists()


def test_tasks_of_a_character_follow_each_other():
    wanted = plan(task("walk"), task("walk of Ben", character="Ben"), task("sit"))
    assert [wanted.span(t) for t in wanted.tasks] == [range(1, 25), range(1, 25), range(25, 49)]


def test_folder_that_was_damaged_is_passed_over(tmp_path):
    store = Store.create(tmp_path, plan(task("walk")))
    (store.folder / "plan.json").write_text('{"blend": "/some', encoding="utf-8")
    assert Store.latest(tmp_path, store.plan.blend) is None


def test_clip_that_was_damaged_is_made_again(tmp_path):
    store = Store.create(tmp_path, plan(task("walk")))
    store.save(store.plan.tasks[0], clip())
    path = next(store.folder.glob("*.clip"))
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


def test_recipe_follows_all_that_an_action_says_but_no_number_behind_its_name():
    walk = task("walk")
    same = [replace(walk, name="walk.002", tags=()), replace(walk, order=replace(walk.order, delivery=Delivery(extend_scene=True)))]
    assert {other.recipe for other in same} == {walk.recipe}
    others = [task("Walk"), task("walk", character="Ben"), task("walk", seed=1), task("walk", "run")]
    others.append(replace(walk, order=replace(walk.order, delivery=Delivery(in_place=True))))
    assert len({other.recipe for other in [walk, *others]}) == 6


def test_each_row_is_a_task_for_each_character_or_for_its_own():
    tasks = plan_rows(Row("walk"), Row("sit", 1.5, seed=3, character="Ben", name="my sit", tags=("a",), loop=True), Row("run", frames=10))
    assert [(t.name, t.character, t.order.request.frames, t.order.request.seed, t.order.request.loop) for t in tasks] == [
        ("WALK", "Anna", 48, 7, False),
        ("WALK.001", "Ben", 48, 7, False),
        ("my sit", "Ben", 36, 3, True),
        ("RUN", "Anna", 10, 7, False),
        ("RUN.001", "Ben", 10, 7, False),
    ]
    assert tasks[2].tags == ("a",) and tasks[0].key == tasks[1].key


def test_names_by_rule_are_those_of_rows():
    tasks = plan_rows(Row("walk"), Row("sit"), rule="{character}_{index:02}_{seed}")
    assert [t.name for t in tasks] == ["Anna_01_7", "Ben_01_7", "Anna_02_7", "Ben_02_7"]


def test_name_is_cut_where_blender_would_cut_it_within_a_letter():
    assert fitting("ä" * 150) == "ä" * 100


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ((Row("walk", character="Cleo"), Row("sit", character="Dan")), {}, r"no character Cleo, Dan"),
        ((Row("walk"),), {"characters": ()}, r"Row 1, 'walk', has no character"),
        ((Row("walk"), Row("")), {}, r"Row 2 has no prompt"),
        ((Row("walk"),), {"rule": "{name}"}, r"No names can be made"),
    ],
)
def test_what_cannot_be_planned_is_said(rows, options, said):
    with pytest.raises(MotionGPTError, match=said) as raised:
        plan_rows(*rows, **options)
    assert raised.value.remedy


def test_report_says_what_became_of_each():
    outcome = Outcome(5, made=["walk"], there=["sit"], failed={"run": "It is too long."}, end="The disk is full.")
    assert outcome.summary == "1 made, 1 were there, 1 failed, 2 not made"
    assert replace(outcome, skipped=3).summary == "1 made, 1 were there, 1 failed, 2 not made, 3 skipped"
    for line in ("The disk is full.", "  run: It is too long.", "  walk", "  sit"):
        assert line in outcome.report.splitlines()
