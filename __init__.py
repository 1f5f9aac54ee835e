"""MotionGPT for Blender: text and poses become keyframes. All that Blender registers is named in `motiongpt_blender.registration`."""


def register() -> None:
    from .motiongpt_blender import registration

    registration.register()


def unregister() -> None:
    from .motiongpt_blender import registration

    registration.unregister()
