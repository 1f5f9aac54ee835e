"""Set up, start, stop and look after the backend."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import installation, jobs, preferences
from ..translation import say
from .at_once import AtOnce
from .outcome import fail


def _poll_free(cls: type[bpy.types.Operator]) -> bool:
    """Whether nothing is being done with the backend."""
    if jobs.session.busy:
        cls.poll_message_set(say("The backend is busy"))
    elif installation.job.busy:
        cls.poll_message_set(say("The backend is being set up or removed"))
    return not (jobs.session.busy or installation.job.busy)


class MOTIONGPT_OT_backend_setup(bpy.types.Operator):
    bl_idname = "motiongpt.backend_setup"
    bl_label = "Set Up Backend"
    bl_description = "Make the backend's Python environment in the extension's own folder, or update or mend it"

    wait: BoolProperty(name="Wait", description="Return when the backend is set up", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if preferences.get(context).backend_folder:
            cls.poll_message_set(say("The preferences name a backend of your own. Clear that field to have one set up"))
            return False
        return _poll_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            installation.set_up(context)
            if self.wait:
                installation.job.wait()
        except MotionGPTError as error:
            return fail(self, error, installation.job)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_setup_cancel(bpy.types.Operator):
    bl_idname = "motiongpt.backend_setup_cancel"
    bl_label = "Cancel"
    bl_description = "Break the set-up off; setting up again goes on from there"
    bl_options = {"INTERNAL"}

    wait: BoolProperty(name="Wait", description="Return when it has ended", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not installation.job.busy:
            cls.poll_message_set(say("Nothing is being set up"))
        return installation.job.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        installation.cancel(self.wait)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_remove(bpy.types.Operator):
    bl_idname = "motiongpt.backend_remove"
    bl_label = "Remove Backend"
    bl_description = "Delete the backend that was set up here, with everything that was downloaded for it"

    wait: BoolProperty(name="Wait", description="Return when it is gone", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not installation.state.there:
            cls.poll_message_set(say("No backend was set up here"))
            return False
        return _poll_free(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        told = say(installation.state.removal)
        return context.window_manager.invoke_confirm(
            self, event, title="Remove Backend", message=told, confirm_text="Remove", icon="QUESTION"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            installation.remove()
            if self.wait:
                installation.job.wait()
        except MotionGPTError as error:
            return fail(self, error, installation.job)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_start(bpy.types.Operator):
    bl_idname = "motiongpt.backend_start"
    bl_label = "Start Backend"
    bl_description = "Start the backend and load the model"

    wait: BoolProperty(name="Wait", description="Return when the model is loaded", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _poll_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.start_backend(context)
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_unload(bpy.types.Operator):
    bl_idname = "motiongpt.backend_unload"
    bl_label = "Unload Model"
    bl_description = "Give the model's memory back; the next clip loads it again"

    wait: BoolProperty(name="Wait", description="Return when it is unloaded", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.session.model:
            cls.poll_message_set(say("No model is loaded"))
            return False
        return _poll_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.session.unload()
        try:
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_stop(bpy.types.Operator):
    bl_idname = "motiongpt.backend_stop"
    bl_label = "Stop Backend"
    bl_description = "End the backend and free its memory"

    wait: BoolProperty(name="Wait", description="Return when it has ended", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.session.running:
            cls.poll_message_set(say("The backend is not running"))
        return jobs.session.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.stop_backend(self.wait)
        return {"FINISHED"}


class MOTIONGPT_OT_open_log(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.open_log"
    bl_label = "Open Log"
    bl_description = "Open what the backend, or the last set-up if that failed, has written"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not installation.log().is_file():
            cls.poll_message_set(say("There is no log yet"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        return bpy.ops.wm.path_open(filepath=str(installation.log()))


class MOTIONGPT_OT_open_preferences(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.open_preferences"
    bl_label = "Preferences"
    bl_description = "Open the preferences of MotionGPT"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        return bpy.ops.preferences.addon_show(module=preferences.PACKAGE)


class MOTIONGPT_OT_bundle_folder_add(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.bundle_folder_add"
    bl_label = "Add Bundle Folder"
    bl_description = "Add a folder in which motion models are looked for"
    bl_options = {"INTERNAL"}

    directory: StringProperty(name="Folder", description="A bundle, or a folder of bundles", subtype="DIR_PATH")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences.add_bundle_folder(context, self.directory)
        return {"FINISHED"}


class MOTIONGPT_OT_bundle_folder_remove(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.bundle_folder_remove"
    bl_label = "Remove Bundle Folder"
    bl_description = "Take the selected folder off the list; nothing is deleted"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not preferences.get(context).bundle_folders:
            cls.poll_message_set(say("The list is empty"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences.remove_bundle_folder(context)
        return {"FINISHED"}


class MOTIONGPT_OT_bundle_choose(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.bundle_choose"
    bl_label = "Choose Bundle"
    bl_description = "Use this motion model from now on"
    bl_options = {"INTERNAL"}

    folder: StringProperty(name="Folder", description="The bundle's folder. Empty: the one that comes with the extension")

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences.choose_bundle(context, self.folder)
        return {"FINISHED"}
