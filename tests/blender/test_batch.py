"""Batches, from a table to actions, strips and assets. The model is played by a script, except where the test says otherwise."""
# pyright: reportInvalidTypeForm=false

import time
from collections.abc import Callable, Iterator

import bpy
import numpy as np
import pytest
from installed import PACKAGE, module
from rigs import SMPL, add_rig, posed_joints, read_pose, some_motion

jobs, run, bake_module, store_module = (module(f"motiongpt_blender.{name}") for name in ("jobs", "batch.run", "batch.bake", "batch.store"))
messages, errors = module("backend.protocol.messages"), module("backend.protocol.errors")
Code, MotionGPTError = errors.Code, errors.MotionGPTError
batch = run.batch

TABLE = "prompt,seconds,seed,tags\nwalk,1,1,locomotion; slow\nsit,0.5,2,\n"


class ScriptedSession:
    """Makes each clip in two pumps; `errors` says for which prompts it does not, and with which errors, one after another."""

    def __init__(self) -> None:
        self.model, self.reply, self.error, self.running, self.busy = None, None, None, True, False
        self.words, self.fraction = "Ready", 0.0
        self.errors: dict[str, list[MotionGPTError]] = {}
        self.requests: list[messages.Generate] = []
        self.on_request: Callable[[int], None] = lambda count: None

    @property
    def prompts(self) -> list[str]:
        return [request.segments[0].prompt for request in self.requests]

    def generate(self, settings: object, request: messages.Generate, on_reply: Callable, on_preview: object = None) -> None:
        assert not self.busy
        self.requests.append(request)
        self.busy, self.error, self._on_reply = True, None, on_reply
        self.on_request(len(self.requests))

    def pump(self) -> None:
        if not self.busy:
            return
        self.busy, request = False, self.requests[-1]
        if waiting := self.errors.get(request.segments[0].prompt):
            self.error = waiting.pop(0)
        if self.error:
            return
        local, root = some_motion(request.frames, request.seed)
        zeros = np.zeros((request.frames, 4), bool)
        clip = messages.MadeClip(local, root, SMPL.forward(local, root), zeros, 0.0, 0.0, 0.0, 0.0)
        for _ in self._on_reply(messages.GenerateReply((clip,), request.fps, 0, 0.0, 0.0)):
            pass

    def cancel(self) -> None:
        self.error = MotionGPTError(Code.CANCELLED, "The clip was cancelled.")

    def abandon(self, why: str) -> None:
        if self.busy:
            self.busy, self.error = False, MotionGPTError(Code.CANCELLED, why)

    def stop(self, wait: bool = True) -> None:
        self.busy = self.running = False


@pytest.fixture
def scripted(monkeypatch, tmp_path) -> ScriptedSession:
    """In place of the backend; batches are kept in a folder of the test's own."""
    session = ScriptedSession()
    monkeypatch.setattr(jobs, "session", session)
    monkeypatch.setattr(run, "backend_settings", lambda context: None)
    monkeypatch.setattr(bake_module, "user_folder", lambda name: tmp_path / name)
    return session


@pytest.fixture(autouse=True)
def no_batch():
    yield
    settings = bpy.context.scene.motiongpt_batch
    settings.rows.clear()
    settings.segments.clear()
    settings.property_unset("store")
    batch._steps, batch.outcome, batch.error, batch.unfinished, batch.store = None, None, None, 0, ""
    bpy.data.batch_remove(list(bpy.data.texts))


@pytest.fixture
def table(tmp_path) -> str:
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def bake(**options) -> set[str]:
    return bpy.ops.motiongpt.bake_batch(**{"wait": True} | options)


def add_character(name: str, x: float = 0.0) -> bpy.types.Object:
    rig = add_rig()
    rig.name, rig.location.x = name, x
    return rig


def add_two() -> tuple[bpy.types.Object, bpy.types.Object]:
    anna, ben = add_character("Anna"), add_character("Ben", 2.0)
    anna.select_set(True)
    return anna, ben


def strips(rig: bpy.types.Object) -> list[list[tuple[str, float, float]]]:
    """Name, first and last frame of the strips on each track."""
    return [[(s.name, s.frame_start, s.frame_end) for s in track.strips] for track in rig.animation_data.nla_tracks]


def wrong(message: str, code: Code = Code.INVALID_PARAMS) -> MotionGPTError:
    return MotionGPTError(code, message, "Do something else.")


def test_each_row_and_character_gets_an_action_and_a_strip(scripted, table):
    anna, ben = add_two()
    bpy.context.scene.frame_set(11)
    assert bake(filepath=table, rule="{character} {index:02} {prompt}") == {"FINISHED"}
    assert {a.name for a in bpy.data.actions} == {"Anna 01 walk", "Anna 02 sit", "Ben 01 walk", "Ben 02 sit"}
    assert strips(anna) == [[("Anna 01 walk", 11, 34), ("Anna 02 sit", 35, 46)]]
    assert strips(ben) == [[("Ben 01 walk", 11, 34), ("Ben 02 sit", 35, 46)]]
    for rig in (anna, ben):
        for strip in rig.animation_data.nla_tracks[0].strips:
            assert strip.action_slot.identifier == f"OB{rig.name}"
            assert strip.action.use_fake_user and strip.action.frame_range[0] == 1
    assert batch.outcome.summary == "4 made"
    assert batch.unfinished == 0


def test_one_clip_is_made_for_all_characters(scripted, table):
    add_two()
    bake(filepath=table)
    assert scripted.prompts == ["walk", "sit"]
    assert [request.seed for request in scripted.requests] == [1, 2]


def test_strips_play_what_the_clips_hold(scripted, table):
    anna, ben = add_two()
    bake(filepath=table, layout="SEQUENCE")
    played = {(rig.name, frame): posed_joints(rig, frame) for rig in (anna, ben) for frame in (1, 13, 24, 25, 36)}
    for rig in (anna, ben):
        for strip in rig.animation_data.nla_tracks[0].strips:
            start, action = int(strip.frame_start), strip.action
            alone = add_rig()
            alone.animation_data_create().action = action
            alone.animation_data.action_slot = action.slots[0]
            for frame in range(1, int(action.frame_range[1]) + 1):
                if (rig.name, start + frame - 1) in played:
                    assert posed_joints(alone, frame) == pytest.approx(played[rig.name, start + frame - 1], abs=1e-5)


def test_characters_keep_their_place(scripted, table):
    anna, ben = add_two()
    ben.pose.bones["root"].location = (0.5, 1.0, 0.0)
    places = [read_pose(rig)[1] for rig in (anna, ben)]
    bake(filepath=table)
    for rig, place in zip((anna, ben), places, strict=True):
        for frame in (1, 25):
            bpy.context.scene.frame_set(frame)
            assert read_pose(rig)[1][[0, 2]] == pytest.approx(place[[0, 2]], abs=1e-4)


def test_clips_travel_on_where_that_is_asked_for(scripted, table):
    anna = add_character("Anna")
    bake(filepath=table, travel_on=True)
    places = []
    for frame in (1, 24, 25):
        bpy.context.scene.frame_set(frame)
        places.append(read_pose(anna)[1][[0, 2]])
    assert np.linalg.norm(places[1] - places[0]) > 1
    assert places[2] == pytest.approx(places[1], abs=1e-4)


def test_a_track_each_plays_one_at_a_time(scripted, table):
    anna = add_character("Anna")
    bake(filepath=table, layout="TRACKS")
    assert strips(anna) == [[("walk", 1, 24)], [("sit", 1, 12)]]
    assert [track.mute for track in anna.animation_data.nla_tracks] == [False, True]
    assert [track.name for track in anna.animation_data.nla_tracks] == ["walk", "sit"]
    alone = posed_joints(anna, 5)
    anna.animation_data.nla_tracks[1].mute, anna.animation_data.nla_tracks[0].mute = False, True
    assert np.abs(posed_joints(anna, 5) - alone).max() > 0.01


def test_actions_alone_leave_the_nla_as_it_is(scripted, table):
    anna = add_character("Anna")
    old = anna.animation_data_create().action = bpy.data.actions.new("old")
    bake(filepath=table, layout="ACTIONS")
    assert anna.animation_data.action is old
    assert not anna.animation_data.nla_tracks
    assert {"walk", "sit"} < {a.name for a in bpy.data.actions}


def test_scene_lasts_as_long_as_the_strips_or_is_said_to_end_before(scripted, table):
    add_two()
    scene = bpy.context.scene
    scene.frame_end = 20
    bake(filepath=table, layout="ACTIONS")
    assert not batch.outcome.notes
    bake(filepath=table, skip_existing=False)
    assert scene.frame_end == 20
    assert batch.outcome.notes == ["The strips end at frame 36. The scene ends at 20."]
    assert batch.outcome.notes[0] in bpy.data.texts["MotionGPT Batch"].as_string()
    scene.motiongpt.extend_scene = True
    bake(filepath=table, layout="TRACKS", skip_existing=False)
    assert scene.frame_end == 24
    assert batch.outcome.notes == ["The strips end at frame 24. The scene now ends there."]


def test_strips_that_have_no_room_get_another_track(scripted, table):
    anna = add_character("Anna")
    bake(filepath=table)
    bpy.context.scene.frame_set(20)
    bake(filepath=table, skip_existing=False)
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)], [("walk.001", 20, 43), ("sit.001", 44, 55)]]
    bpy.context.scene.frame_set(60)
    bake(filepath=table, skip_existing=False)
    assert [len(track) for track in strips(anna)] == [4, 2]


@pytest.mark.parametrize("unfit", ["mute", "lock"])
def test_strips_do_not_go_where_they_are_not_played_or_must_not(scripted, table, unfit):
    anna = add_character("Anna")
    bake(filepath=table)
    setattr(anna.animation_data.nla_tracks[0], unfit, True)
    bpy.context.scene.frame_set(60)
    bake(filepath=table, skip_existing=False)
    assert [len(track) for track in strips(anna)] == [2, 2]


def test_strips_of_an_override_are_saved(scripted, table, tmp_path):
    """Whose library has a track of the same name, which is saved there alone."""
    open_new()
    collection = bpy.data.collections.new("Character")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(add_character("Anna"))
    bake(filepath=table)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "rig.blend"))
    open_new()
    with bpy.data.libraries.load(str(tmp_path / "rig.blend"), link=True) as (_, here):
        here.collections = ["Character"]
    root = bpy.data.collections["Character"].override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    bpy.context.view_layer.objects.active = anna = root.all_objects[0]
    anna.select_set(True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.context.scene.frame_set(60)
    bake(filepath=table, rule="shot {prompt}")
    laid = [[("walk", 1, 24), ("sit", 25, 36)], [("shot walk", 60, 83), ("shot sit", 84, 95)]]
    assert strips(anna) == laid
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert strips(next(obj for obj in bpy.data.objects if obj.override_library)) == laid
    open_new()  # with nothing of the library


def test_action_whose_strip_is_gone_is_not_finished(scripted, table, tmp_path):
    anna = add_character("Anna")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bake(filepath=table)
    track = anna.animation_data.nla_tracks[0]
    track.strips.remove(track.strips["walk"])
    bake_module.look_for_unfinished()
    assert batch.unfinished == 1
    bake(resume=True)
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]
    assert len(scripted.requests) == 2 and len(bpy.data.actions) == 2
    assert batch.outcome.summary == "1 made, 1 were there"


def test_action_that_was_played_is_stashed(scripted, table):
    anna = add_character("Anna")
    anna.keyframe_insert("location", frame=5)
    old = anna.animation_data.action
    bake(filepath=table)
    assert anna.animation_data.action is None
    stash = anna.animation_data.nla_tracks[0]
    assert stash.mute and stash.lock and stash.strips[0].action is old


@pytest.mark.parametrize("moved", ["", "root"])
def test_clips_start_where_the_character_stood_when_the_batch_was_begun(scripted, table, moved):
    """Where the stashed action had its object or root bone then."""
    anna = add_character("Anna")
    owner = anna.pose.bones[moved] if moved else anna
    for frame, far in ((1, 0.0), (100, 2.0)):
        owner.location.x = far
        owner.keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_set(1)
    stood = anna.matrix_world @ anna.pose.bones["pelvis"].head
    bake(filepath=table, wait=False)
    bpy.context.scene.frame_set(60)
    batch.wait()
    bpy.context.scene.frame_set(1)
    assert anna.animation_data.action is None
    assert tuple(anna.matrix_world @ anna.pose.bones["pelvis"].head)[:2] == pytest.approx(tuple(stood)[:2], abs=1e-4)


def test_assets_have_tags_text_and_a_picture(scripted, table):
    add_character("Anna")
    bake(filepath=table, assets=True, previews=True)
    walk, sit = bpy.data.actions["walk"], bpy.data.actions["sit"]
    assert [tag.name for tag in walk.asset_data.tags] == ["locomotion", "slow"]
    assert not sit.asset_data.tags and sit.asset_data.description == "sit"
    for action in (walk, sit):
        pixels = np.array(action.preview.image_pixels_float).reshape(*action.preview.image_size, 4)
        assert 0.01 < (pixels[..., 3] > 0.5).mean() < 0.5
    assert np.abs(np.array(walk.preview.image_pixels_float) - np.array(sit.preview.image_pixels_float)).max() > 0.5


def test_actions_are_no_assets_unless_asked(scripted, table):
    add_character("Anna")
    bake(filepath=table)
    assert not any(action.asset_data or action.preview for action in bpy.data.actions)


def test_looping_row_makes_a_cyclic_action(scripted, tmp_path):
    """Its strip goes on to where it would begin again, which is where the next one starts."""
    (tmp_path / "t.jsonl").write_text('{"prompt": "walk", "frames": 20, "loop": true}\n{"prompt": "sit", "frames": 9}\n', encoding="utf-8")
    anna = add_character("Anna")
    bake(filepath=str(tmp_path / "t.jsonl"))
    action = bpy.data.actions["walk"]
    assert action.use_cyclic and (action.frame_start, action.frame_end) == (1, 21)
    assert [request.loop for request in scripted.requests] == [True, False]
    assert strips(anna) == [[("walk", 1, 21), ("sit", 21, 29)]]


def test_row_can_name_its_character(scripted, tmp_path):
    anna, ben = add_two()
    (tmp_path / "t.csv").write_text("prompt,character,name\nwalk,Ben,Ben walks\n", encoding="utf-8")
    bake(filepath=str(tmp_path / "t.csv"))
    assert strips(ben) == [[("Ben walks", 1, 96)]]
    assert anna.animation_data is None


def test_rows_have_their_own_length_where_that_of_a_clip_is_said_by_key_poses(scripted, table):
    anna = add_character("Anna")
    bpy.context.scene.motiongpt.length = "POSES"
    bake(filepath=table)
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]


def test_meshes_stand_for_the_armatures_that_move_them(scripted, table):
    anna, ben = add_two()
    bpy.ops.object.select_all(action="DESELECT")
    for character in (anna, ben):
        character.children[0].select_set(True)
    anna.select_set(True)
    bpy.context.view_layer.objects.active = ben.children[0]
    bake(filepath=table, rule="{character} {prompt}")
    assert {a.name for a in bpy.data.actions} == {"Anna walk", "Anna sit", "Ben walk", "Ben sit"}


def test_characters_can_be_named_in_the_call(scripted, table):
    add_two()
    cleo = add_character("Cleo")
    bpy.ops.object.select_all(action="DESELECT")
    bake(filepath=table, characters="Anna; Ben")
    assert len(bpy.data.actions) == 4 and cleo.animation_data is None


def test_what_exists_is_skipped(scripted, table, tmp_path):
    """That is what a batch has made for the same character and in the same way; how many there are is said."""
    add_character("Anna")
    bpy.data.actions.new("walk")  # one that was tried before
    bake(filepath=table)
    assert scripted.prompts == ["walk", "sit"]
    with pytest.raises(RuntimeError, match="All its actions are there already"):
        bake(filepath=table)
    assert scripted.prompts == ["walk", "sit"]
    (tmp_path / "table.csv").write_text(TABLE.replace("walk,1,1", "walk,1,7"), encoding="utf-8")
    bake(filepath=table)
    assert [(request.segments[0].prompt, request.seed) for request in scripted.requests[2:]] == [("walk", 7)]
    assert batch.outcome.summary == "1 made, 1 skipped"


def test_what_exists_for_one_character_is_made_for_another(scripted, table):
    anna, ben = add_two()
    ben.select_set(False)
    bake(filepath=table)
    anna.select_set(False)
    ben.select_set(True)
    bake(filepath=table)
    assert batch.outcome.summary == "2 made" and strips(ben) == [[("walk.001", 1, 24), ("sit.001", 25, 36)]]
    anna.select_set(True)
    with pytest.raises(RuntimeError, match="All its actions are there already"):
        bake(filepath=table)


def test_batch_is_taken_back_in_one_step(scripted, table):
    add_two()
    bpy.ops.ed.undo_push(message="before")
    bake(filepath=table, assets=True)
    assert len(bpy.data.actions) == 4
    bpy.ops.ed.undo()
    assert not bpy.data.actions and not bpy.data.texts
    assert all(obj.animation_data is None or not obj.animation_data.nla_tracks for obj in bpy.data.objects)


FIVE = [("a", 1, 12), ("b", 13, 24), ("c", 25, 36), ("d", 37, 48), ("e", 49, 60)]


def bake_five(tmp_path) -> None:
    """Begin a batch of five clips, after three undo steps that know nothing of it."""
    path = tmp_path / "five.csv"
    path.write_text("prompt,seconds\n" + "".join(f"{name},0.5\n" for name, *_ in FIVE), encoding="utf-8")
    add_character("Anna")
    for _ in range(3):
        bpy.ops.ed.undo_push(message="before")
    bake(filepath=str(path), travel_on=True, wait=False)


def pump_until(count: int) -> None:
    """Pump until the batch has written so many actions."""
    while sum(run.KEY in action for action in bpy.data.actions) < count:
        assert batch.running
        jobs.session.pump()
        batch.pump()


def undo_when(count: int) -> None:
    """Undo while the batch writes, as soon as so many of its actions are in the file."""
    pump_until(count)
    bpy.ops.ed.undo()
    assert batch.running and not bpy.data.actions


def test_what_an_undo_takes_away_meanwhile_is_written_again(scripted, tmp_path):
    bake_five(tmp_path)
    undo_when(3)
    batch.wait()
    assert {a.name for a in bpy.data.actions} == {name for name, *_ in FIVE}
    assert strips(bpy.data.objects["Anna"]) == [FIVE]
    assert batch.outcome.summary == "5 made" and batch.unfinished == 0
    places = []
    for frame in (12, 13, 36, 37):
        bpy.context.scene.frame_set(frame)
        places.append(read_pose(bpy.data.objects["Anna"])[1][[0, 2]])
    assert places[1] == pytest.approx(places[0], abs=1e-4) and places[3] == pytest.approx(places[2], abs=1e-4)


def test_what_is_undone_again_and_again_is_left_to_resume(scripted, tmp_path):
    bake_five(tmp_path)
    undo_when(3)
    undo_when(4)
    batch.wait()
    assert strips(bpy.data.objects["Anna"]) == [FIVE[2:]]
    assert batch.outcome.summary == "3 made, 2 not made" and batch.unfinished == 2
    bake(resume=True)
    assert batch.outcome.summary == "2 made, 3 were there" and batch.unfinished == 0
    assert strips(bpy.data.objects["Anna"]) == [FIVE]


def test_file_that_is_saved_half_way_gets_all_strips_when_resumed(scripted, tmp_path):
    path = str(tmp_path / "half.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bake_five(tmp_path)
    pump_until(3)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=path)
    assert len(bpy.data.actions) == 3 and batch.unfinished == 5
    bake(resume=True)
    assert len(scripted.requests) == 5 and len(bpy.data.actions) == 5
    assert strips(bpy.data.objects["Anna"]) == [FIVE]
    assert batch.outcome.summary == "5 made" and batch.unfinished == 0


def test_each_clip_of_a_batch_can_be_taken_by_its_own_track_after_a_failure(scripted, table):
    anna = add_character("Anna")
    scripted.errors["walk"] = [wrong("It is too long.")]
    bake(filepath=table, layout="TRACKS")
    bake(resume=True)
    assert {track.name: track.mute for track in anna.animation_data.nla_tracks} == {"walk": False, "sit": True}


def test_what_fails_is_reported_and_the_rest_is_made(scripted, table):
    add_character("Anna")
    scripted.errors["walk"] = [wrong("It is too long.")]
    assert bake(filepath=table) == {"FINISHED"}
    assert [a.name for a in bpy.data.actions] == ["sit"]
    assert batch.outcome.failed == {"walk": "It is too long. Do something else."}
    report = bpy.data.texts["MotionGPT Batch"].as_string()
    assert "1 made, 1 failed" in report and "walk: It is too long. Do something else." in report
    assert batch.unfinished == 1


def test_resuming_makes_only_what_failed(scripted, table):
    anna = add_character("Anna")
    scripted.errors["walk"] = [wrong("It is too long.")]
    bake(filepath=table)
    assert strips(anna) == [[("sit", 25, 36)]]
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit", "walk"]
    assert batch.outcome.summary == "1 made, 1 were there"
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]
    assert batch.unfinished == 0


def test_backend_that_ends_is_tried_once_more(scripted, table):
    add_character("Anna")
    scripted.errors["walk"] = [wrong("The backend has ended.", Code.BACKEND_ENDED)]
    scripted.errors["sit"] = [wrong("The backend has ended.", Code.BACKEND_ENDED)] * 2
    bake(filepath=table)
    assert scripted.prompts == ["walk", "walk", "sit", "sit"]
    assert batch.outcome.made == ["walk"]
    assert "sit" in batch.outcome.failed


def test_what_no_clip_could_be_made_without_ends_the_batch_and_keeps_what_is_made(scripted, table):
    add_character("Anna")
    scripted.errors["sit"] = [wrong("The bundle is gone.", Code.BUNDLE_MISSING)]
    with pytest.raises(RuntimeError, match="The bundle is gone"):
        bake(filepath=table)
    assert [a.name for a in bpy.data.actions] == ["walk"]
    assert "The bundle is gone" in bpy.data.texts["MotionGPT Batch"].as_string()
    assert batch.unfinished == 1


def test_cancelling_keeps_what_is_made_and_resuming_makes_the_rest(scripted, table):
    add_character("Anna")
    scripted.on_request = lambda count: scripted.cancel() if count == 2 else None
    with pytest.raises(RuntimeError, match="cancelled"):
        bake(filepath=table)
    assert [a.name for a in bpy.data.actions] == ["walk"]
    assert batch.outcome.summary == "1 made, 1 not made"
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit", "sit"]
    assert {a.name for a in bpy.data.actions} == {"walk", "sit"}


def test_nothing_is_made_twice_after_a_crash(scripted, table, tmp_path):
    """Blender ends during the second clip, and the file that is opened afterwards knows nothing of the batch."""
    path = tmp_path / "Täglich.blend"
    add_two()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bake(filepath=table, assets=True, wait=False)
    while scripted.prompts != ["walk", "sit"]:
        scripted.pump()
        batch.pump()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert not batch.running and not bpy.data.actions
    assert batch.unfinished == 4
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit", "sit"]
    assert batch.outcome.summary == "4 made"
    assert all(action.asset_data for action in bpy.data.actions)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert batch.unfinished == 0


def bake_half(table: str, scripted: ScriptedSession) -> None:
    """Bake, and cancel during the second clip of two."""
    add_character("Anna")
    scripted.on_request = lambda count: scripted.cancel() if count == 2 else None
    with pytest.raises(RuntimeError, match="cancelled"):
        bake(filepath=table)
    assert batch.unfinished == 1


def open_new() -> None:
    """What File > New does."""
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not bpy.data.filepath


@pytest.mark.parametrize("opened", [False, True])
def test_batch_goes_with_a_file_that_is_saved_under_another_name(scripted, table, tmp_path, opened):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot_v001.blend"))
    bake_half(table, scripted)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot_v002.blend"))
    if opened:
        open_new()
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot_v002.blend"))
    assert batch.unfinished == 1
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit", "sit"]
    assert batch.outcome.summary == "1 made, 1 were there" and batch.unfinished == 0


def test_batch_of_a_file_without_a_name_is_of_no_other(scripted, table, tmp_path):
    open_new()
    bake_half(table, scripted)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "named.blend"))
    open_new()
    assert batch.unfinished == 0
    with pytest.raises(RuntimeError, match="no batch of this file"):
        bake(resume=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "named.blend"))
    assert batch.unfinished == 1
    bake(resume=True)
    assert batch.outcome.summary == "1 made, 1 were there"


@pytest.mark.parametrize("name", ["", "shot_v001.blend"])
def test_batch_that_is_undone_can_be_resumed(scripted, table, tmp_path, name):
    """The undo takes away what the scene knew of it, and brings back what it knew of the batch before."""
    open_new()
    if name:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name))
    add_character("Anna")
    for _ in range(2):  # the first step in a new file cannot be undone
        bpy.ops.ed.undo_push(message="before")
    bake(filepath=table)
    first = batch.store
    bake(filepath=table, rule="again {prompt}")
    assert bpy.context.scene.motiongpt_batch.store == batch.store != first
    bpy.ops.ed.undo()
    assert bpy.context.scene.motiongpt_batch.store == first
    bake(resume=True)
    assert {"again walk", "again sit"} <= {a.name for a in bpy.data.actions}
    assert bpy.context.scene.motiongpt_batch.store == batch.store != first


def test_batch_after_the_last_saving_is_the_one_that_is_resumed_after_a_crash(scripted, table, tmp_path):
    path = str(tmp_path / "shot.blend")
    open_new()
    add_character("Anna")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bake(filepath=table)
    bpy.ops.wm.save_mainfile()
    bake(filepath=table, rule="again {prompt}")
    bpy.ops.wm.open_mainfile(filepath=path)
    assert batch.unfinished == 2
    bake(resume=True)
    assert {a.name for a in bpy.data.actions} == {"walk", "sit", "again walk", "again sit"}


def test_last_batch_is_the_one_that_began_last_also_when_a_second_has_just_begun(monkeypatch, tmp_path):
    second = time.time_ns() // 10**9 * 10**9
    plan = store_module.Plan("shot.blend", (), "ACTIONS", 1, False, False, False)
    for now in (second - 1, second + 1):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        last = store_module.Store.create(tmp_path, plan)
    assert store_module.Store.latest(tmp_path, "shot.blend").folder == last.folder


def test_character_that_is_gone_is_reported_and_the_others_get_theirs(scripted, table):
    add_two()
    bake(filepath=table, wait=False)
    bpy.data.objects.remove(bpy.data.objects["Anna"])
    batch.wait()
    assert len(batch.outcome.made) == 2
    assert all("Anna is no longer in the scene" in why for why in batch.outcome.failed.values())


def test_what_is_no_armature_is_no_character(scripted, table):
    """Another object has the character's name when its batch is resumed."""
    anna = add_character("Anna")
    scripted.errors["walk"] = [wrong("It is too long.")]
    bake(filepath=table)
    bpy.data.objects.remove(anna)
    bpy.context.collection.objects.link(bpy.data.objects.new("Anna", bpy.data.meshes.new("Anna")))
    bake(resume=True)
    assert not batch.running
    gone = "Anna is no longer in the scene. Resume the batch when it is."
    assert batch.outcome.failed == {"walk": gone, "sit": gone}  # the strip of the one that was made went with her


@pytest.fixture
def other_scene() -> Iterator[bpy.types.Scene]:
    """Another scene, to be shown instead."""
    window, scene, other = bpy.context.window_manager.windows[0], bpy.context.scene, bpy.data.scenes.new("Other")
    yield other
    window.scene = scene
    bpy.data.scenes.remove(other)


def test_characters_get_theirs_under_other_names_and_while_another_scene_is_shown(scripted, table, other_scene):
    anna, ben = add_two()
    scripted.errors["sit"] = [wrong("It is too long.")]
    bake(filepath=table, wait=False)
    bpy.context.window_manager.windows[0].scene = other_scene
    anna.name = "Cleo"
    ben.name = "Anna"
    batch.wait()
    assert batch.outcome.summary == "2 made, 2 failed"
    assert strips(anna) == [[("walk", 1, 24)]] and strips(ben) == [[("walk.001", 1, 24)]]
    bake(resume=True)
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]
    assert strips(ben) == [[("walk.001", 1, 24), ("sit.001", 25, 36)]]


@pytest.mark.parametrize("broken", ["_place", "_lay_out"])
def test_batch_ends_and_can_be_resumed_when_something_unexpected_happens(scripted, table, monkeypatch, broken):
    def fail(*_: object) -> None:
        raise AttributeError("It is broken")

    anna = add_character("Anna")
    with monkeypatch.context() as patch:
        patch.setattr(run, broken, fail)
        with pytest.raises(RuntimeError, match="AttributeError: It is broken Please report it"):
            bake(filepath=table)
    assert not batch.running and batch.unfinished == 2
    assert "AttributeError: It is broken" in bpy.data.texts["MotionGPT Batch"].as_string()
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit"]
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]
    assert batch.unfinished == 0


def test_disabling_the_extension_ends_a_batch(scripted, table):
    add_character("Anna")
    bake(filepath=table, wait=False)
    while scripted.prompts != ["walk", "sit"]:
        scripted.pump()
        batch.pump()
    bpy.ops.preferences.addon_disable(module=PACKAGE)
    try:
        assert not batch.running and not bpy.app.timers.is_registered(run._tick)
    finally:
        bpy.ops.preferences.addon_enable(module=PACKAGE)
    assert batch.unfinished == 2
    bake(resume=True)
    assert scripted.prompts == ["walk", "sit", "sit"]
    assert batch.outcome.summary == "2 made"


def test_window_stays_free_while_a_batch_is_made(scripted, table):
    """The operator asks for nothing, and each step of the timer asks for one clip or writes at most one action."""
    add_two()
    bake(filepath=table, wait=False)
    assert batch.running and not scripted.requests and not bpy.data.actions
    most = 0
    while batch.running:
        scripted.pump()
        before = len(bpy.data.actions), len(scripted.requests)
        batch.pump()
        most = max(most, len(bpy.data.actions) - before[0], len(scripted.requests) - before[1])
    assert most == 1
    assert len(bpy.data.actions) == 4


def test_only_one_thing_is_made_at_a_time(scripted, table):
    add_character("Anna")
    bake(filepath=table, wait=False)
    with pytest.raises(RuntimeError, match="A batch is being made"):
        bake(filepath=table)
    batch.wait()


def test_words_say_which_clip_is_being_made(scripted, table):
    add_character("Anna")
    said = []
    bake(filepath=table, wait=False)
    batch.wait(said.append)
    assert any(words.startswith("Clip 1 of 2: ") for words in said)
    assert any(words.startswith("Clip 2 of 2: ") for words in said)
    assert said[-1] == "2 made"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("prompt,character\nwalk,Cleo\n", {}, r"There is no character Cleo in the scene\. Name"),
        ("prompt\nwalk\n", {"rule": "{name}"}, r"No names can be made by the rule"),
        ("prompt,seconds\nwalk,soon\n", {}, r"table\.csv, line 2: seconds must be a number"),
        ("prompt\nwalk\n", {"characters": "Anna; Cleo"}, r"There is no character Cleo in the scene\. Name armatures of the scene\."),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is(scripted, tmp_path, text, options, said):
    add_character("Anna")
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RuntimeError, match=said):
        bake(filepath=str(tmp_path / "table.csv"), **options)
    assert not bpy.data.actions and not scripted.requests and not (tmp_path / "batches").exists()


def test_batch_without_characters_or_rows_is_refused(scripted, table):
    with pytest.raises(RuntimeError, match=r"Row 1, 'walk', has no character\. Select"):
        bake(filepath=table)
    with pytest.raises(RuntimeError, match="The batch has no rows"):
        bake()


def test_armature_that_is_no_person_is_refused(scripted, table):
    bpy.ops.object.armature_add()
    with pytest.raises(RuntimeError, match="bones"):
        bake(filepath=table)
    assert not scripted.requests


def test_list_in_the_panel_is_baked(scripted):
    add_character("Anna")
    settings = bpy.context.scene.motiongpt_batch
    for prompt in ("walk", "sit"):
        bpy.ops.motiongpt.list_add(list_name="ROWS")
        row = settings.rows[settings.active_row]
        row.prompt, row.seconds, row.tags = prompt, 0.5, "a; b"
    settings.rows[1].name, settings.assets = "my sit", True
    try:
        bake()
    finally:
        settings.property_unset("assets")
    assert {a.name for a in bpy.data.actions} == {"walk", "my sit"}
    assert [tag.name for tag in bpy.data.actions["walk"].asset_data.tags] == ["a", "b"]
    assert scripted.requests[0].frames == 12


def test_lists_are_edited():
    settings = bpy.context.scene.motiongpt_batch
    for prompt in "abc":
        bpy.ops.motiongpt.list_add(list_name="SEGMENTS")
        settings.segments[settings.active_segment].name = prompt
    settings.segments[2].seconds = 7
    bpy.ops.motiongpt.list_move(list_name="SEGMENTS", up=True)
    assert [part.name for part in settings.segments] == ["a", "c", "b"] and settings.active_segment == 1
    bpy.ops.motiongpt.list_add(list_name="SEGMENTS")
    assert [(part.name, part.seconds) for part in settings.segments] == [("a", 3), ("c", 7), ("", 7), ("b", 3)]
    bpy.ops.motiongpt.list_remove(list_name="SEGMENTS")
    bpy.ops.motiongpt.list_remove(list_name="SEGMENTS")
    assert [part.name for part in settings.segments] == ["a", "c"] and settings.active_segment == 1
    assert bpy.ops.motiongpt.list_move(list_name="SEGMENTS", up=False) == {"CANCELLED"}


def test_table_fills_the_list(tmp_path):
    settings = bpy.context.scene.motiongpt_batch
    settings.rows.add().prompt = "old"
    (tmp_path / "t.jsonl").write_text('{"prompt": "walk", "frames": 48, "tags": ["a", "b"], "loop": true}\n{"prompt": "sit", "seed": 5}\n')
    bpy.ops.motiongpt.load_table(filepath=str(tmp_path / "t.jsonl"))
    assert [(r.prompt, r.seconds, r.seed, r.tags, r.loop) for r in settings.rows] == [
        ("walk", 2, 0, "a; b", True),
        ("sit", 4, 5, "", False),
    ]
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.motiongpt.load_table(filepath=str(tmp_path / "nothing.csv"))
    assert len(settings.rows) == 2


def test_list_that_a_table_fills_says_the_same_as_the_table(scripted, tmp_path):
    """What the table leaves open is what the panel has."""
    add_character("Anna")
    clip = bpy.context.scene.motiongpt
    clip.seed, clip.seconds, clip.loop = 7, 2.0, True
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "walk"}\n{"prompt": "sit", "frames": 12, "seed": 0, "loop": false}\n', encoding="utf-8")
    bpy.ops.motiongpt.load_table(filepath=str(path))
    bake()
    bake(filepath=str(path), skip_existing=False)
    said = [(request.frames, request.seed, request.loop) for request in scripted.requests]
    assert said == [(48, 7, True), (12, 0, False)] * 2


def test_table_with_a_seed_that_blender_cannot_keep_leaves_the_list_as_it_is(tmp_path):
    settings = bpy.context.scene.motiongpt_batch
    settings.rows.add().prompt = "old"
    (tmp_path / "t.csv").write_text("prompt,seed\nwalk,2147483648\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"t\.csv, line 2: seed must be a whole number from 0 to 2147483647"):
        bpy.ops.motiongpt.load_table(filepath=str(tmp_path / "t.csv"))
    assert [row.prompt for row in settings.rows] == ["old"]


def test_real_backend_bakes_a_batch(session, table, monkeypatch, tmp_path):
    monkeypatch.setattr(bake_module, "user_folder", lambda name: tmp_path / name)
    anna, _ = add_two()
    bake(filepath=table, characters="Anna")
    assert strips(anna) == [[("walk", 1, 24), ("sit", 25, 36)]]
    assert np.abs(posed_joints(anna, 24) - posed_joints(anna, 1)).max() > 0.05
    assert bpy.data.actions["walk"]["motiongpt"]["bundle"] == session.model.bundle
