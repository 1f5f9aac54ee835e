"""What a model is told at every position of an answer: how much is still to come, and which given pose is next and how far away.

A prompt names lengths and times in words, which a model has to count for itself while it answers. Here every step is told them
once more as numbers, so that an answer ends where it should and arrives at a given pose when it is due.
"""

import torch
from torch import Tensor, nn

from .prompts import Instruction, PoseCode
from .vocabulary import NONE

_SLACK = 1e-6  # positions: times that are no whole numbers in binary belong to the position that they begin
_FARTHEST = 63  # positions; farther ones are told as this


def course_of(instruction: Instruction, length: int, seconds_per_position: float, levels: int) -> Tensor:
    """The course (length + 1, 2 + levels) of an answer to an instruction; the last row belongs to the answer's end.

    A row holds how many positions are to come, how many until the next given pose, and the codes of that pose; -1 in place of
    what is not known: the length where the instruction leaves it open, and poses where none is left.
    """
    rows = torch.full((length + 1, 2 + levels), NONE)
    if instruction.seconds is not None:
        rows[:, 0] = length - torch.arange(length + 1)

    def due(pose: PoseCode) -> int:
        if pose.place == "last":
            return length - 1
        return 0 if pose.place == "first" else min(int(pose.seconds / seconds_per_position + _SLACK), length - 1)

    after = 0
    for at, codes in sorted(((due(pose), pose.codes) for pose in instruction.poses), key=lambda pose: pose[0]):
        if at < after:
            continue  # two poses in one position: the first counts
        rows[after : at + 1, 1] = at - torch.arange(after, at + 1)
        rows[after : at + 1, 2:] = torch.tensor(codes)
        after = at + 1
    return rows


def on_course(ids: Tensor, *told: Tensor | None) -> Tensor:
    """Ids (..., L, levels) with what is `told` (..., n, columns) beside the last n of them, a course's rows first; n is at most L."""
    for rows in told:
        if rows is not None:
            beside = torch.nn.functional.pad(rows, (0, 0, ids.shape[-2] - rows.shape[-2], 0), value=NONE)
            ids = torch.cat([ids, beside.to(ids.device)], dim=-1)
    return ids


class CourseRows(nn.Module):
    """Embeddings of a course's rows. They begin at nothing, so that an untrained model is the one without them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.zeros(_FARTHEST + 1, width))
        self.until = nn.Parameter(torch.zeros(_FARTHEST + 1, width))
        self.pose = nn.Parameter(torch.zeros(width, width))

    def forward(self, rows: Tensor, poses: Tensor) -> Tensor:
        """What to add (..., width) for a course's rows (..., 2 + levels); `poses (n, width)` embed those of the rows that have one."""
        left, until = rows[..., 0], rows[..., 1]
        told, due = self.left[left.clamp(0, _FARTHEST)] * (left >= 0)[..., None], until >= 0
        of_poses = self.until[until[due].clamp(max=_FARTHEST)] + poses @ self.pose
        return told.index_put((due,), of_poses.to(told.dtype), accumulate=True)
