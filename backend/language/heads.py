"""What a language model needs besides its backbone to speak in motion: embeddings and output rows of the codes.

Motion codes have two small matrices of their own, their embeddings and their output rows; the base's own vocabulary is neither
resized nor computed. What the backbone is (transformers' for training, this project's engine for use) is left open here.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .course import CourseRows, course_of
from .decoding import Sampling
from .finer import FinerCodes
from .odometry import Odometry
from .prompts import Instruction
from .vocabulary import CodeDigits, CodeItems, TextTokenizer, Vocabulary

LORA = "base_model."  # what peft puts before the names of the adapter's tensors


@dataclass(frozen=True)
class AdapterConfig:
    """LoRA (Hu et al. 2021) and the form of the vocabulary: `items` or `digits`. The paper: rank 64, alpha 16, q and v, digits."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0  # of the adapter; drawing it takes a fifth of a step on a CPU, and corrupted codes do as much
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    vocabulary: str = "items"
    finer_width: int = 320  # inside the read-outs of finer codes, where the tokenizer has several levels
    course: bool = True  # whether every position is told how much is to come and which pose is next; not with digits
    odometry: bool = True  # whether every position is told what the answer has turned so far; only with a course


class MotionHeads(nn.Module):
    """Embeddings and output rows. `hidden` are (B, L, width), ids (B, L, levels).

    `motion` are the embeddings of the codes and of the answer's end, `head` their output rows; both are None where codes are
    spelled in the base's own tokens. `finer` reads out the codes of the levels past the first and is None where there are none.
    `course` and `odometry` embed what every position is told besides, in further columns of the ids, and are None where it is
    told nothing.
    """

    vocabulary: Vocabulary
    motion: nn.Parameter | None
    head: nn.Parameter | None
    finer: FinerCodes | None
    course: CourseRows | None
    odometry: Odometry | None

    def __init__(
        self, text: nn.Embedding, tokenizer: TextTokenizer, config: AdapterConfig, codes: int, levels: int = 1, spread: float = 0.02
    ) -> None:
        super().__init__()
        self.config, self.text, self.text_size = config, text, text.num_embeddings
        if config.vocabulary == "items":
            self.vocabulary = CodeItems(tokenizer, codes, levels, self.text_size)
            width = text.embedding_dim
            self.motion = nn.Parameter(torch.randn(codes + 1, width) * spread)
            self.head = nn.Parameter(torch.zeros(codes + 1, width))
            self.finer = FinerCodes(levels - 1, codes, width, config.finer_width) if levels > 1 else None
            self.course = CourseRows(width) if config.course else None
            self.odometry = Odometry(levels, codes, width) if config.course and config.odometry else None
        elif config.vocabulary == "digits":
            if levels > 1:
                raise ValueError("Codes of several levels cannot be written in digits.")
            self.vocabulary = CodeDigits(tokenizer, codes)
            self.motion = self.head = self.finer = self.course = self.odometry = None
        else:
            raise ValueError(f"The vocabulary must be items or digits, not {config.vocabulary!r}.")

    def start_rows_from(self, codebooks: Sequence[Tensor]) -> None:
        """Begin training with embeddings that lie to each other as the codebooks' entries (codes, dim) do, a codebook a level."""
        if self.motion is None:
            return
        first, *finer = (codebook - codebook.mean(0) for codebook in codebooks)
        projection = torch.randn(first.shape[1], self.motion.shape[1], device=first.device)
        scale = (self.text.weight.float().pow(2).mean() / (first @ projection).pow(2).mean()).sqrt()
        self.motion.data[:-1] = first @ projection * scale
        if self.finer is not None:
            self.finer.embeddings.data.copy_(torch.stack(finer) @ projection * scale)

    @torch.no_grad()
    def carry_over(self, shares: Tensor) -> None:
        """Go over to other codes of the first level: each takes the mean of the rows of the old ones that stood in its places.

        `shares (codes, codes)` are those of the old codes for each new one.
        """
        for rows in (self.motion, self.head):
            if rows is not None:
                rows[:-1] = shares.to(rows) @ rows[:-1]

    def course_for(self, instruction: Instruction, length: int, seconds_per_position: float) -> Tensor | None:
        """The course of an answer of `length` positions to an instruction; None if this model is told none."""
        return course_of(instruction, length, seconds_per_position, self.vocabulary.levels) if self.course is not None else None

    def sums(self, codes: Tensor) -> Tensor | None:
        """What answers of codes (..., n, levels) have turned, before and after each (..., n + 1, columns); None if not told."""
        return self.odometry.sums(codes) if self.odometry is not None else None

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, width), float32, of text and motion ids (B, L, levels), or with what is told beside them."""
        levels = self.vocabulary.levels
        ids, course, sums = ids.tensor_split((levels, 2 * levels + 2), dim=-1)
        first = ids[..., 0]
        if self.motion is None:
            return self.text(first).float()
        motion = self._embed_codes((first - self.text_size).clamp(min=0), ids[..., 1:])
        text = self.text(first.clamp(max=self.text_size - 1))
        embedded = torch.where((first >= self.text_size)[..., None], motion.float(), text.float())
        if self.course is None or not course.shape[-1]:
            return embedded
        due = course[course[..., 1] >= 0]
        poses = self._embed_codes(due[:, 2], due[:, 3:])
        embedded = embedded + self.course(course, poses).float()
        return embedded if self.odometry is None else embedded + self.odometry(sums).float()

    def _embed_codes(self, rows: Tensor, finer: Tensor) -> Tensor:
        """Embeddings (..., width) of rows (...) and the finer codes (..., levels - 1) that go with them."""
        assert self.motion is not None
        motion = self.motion[rows]
        return motion if self.finer is None else motion + self.finer.embed(finer)

    def rows(self) -> Tensor:
        """The output rows (R, width) that `vocabulary.rows` names."""
        return self.head if self.head is not None else self.base_rows()

    @abstractmethod
    def base_rows(self) -> Tensor:
        """The rows of the base's own output matrix that `vocabulary.rows` names."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (..., R) of the output rows, float32."""
        return (hidden @ self.rows().to(hidden.dtype).T).float()

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Scores (..., codes), float32, of the next finer code after the row and the finer codes `chosen (..., n)`."""
        assert self.motion is not None and self.finer is not None
        so_far = self.motion[chosen[..., 0]]
        for table, code in zip(self.finer.embeddings, chosen[..., 1:].unbind(-1), strict=False):
            so_far = so_far + table[code]
        return self.finer.logits(chosen.shape[-1] - 1, hidden.float(), so_far.float())

    def choose_finer(self, hidden: Tensor, rows: Tensor, sampling: Sampling, guided: bool, dice: Tensor) -> Tensor | None:
        """A position's codes in one go, as decoding asks for them: here there is none."""
        return None

    def head_tensors(self) -> dict[str, Tensor]:
        """The tensors of the motion rows, as an adapter's file names them."""
        tensors: dict[str, Tensor] = {}
        if self.motion is not None and self.head is not None:
            tensors |= {"motion.embeddings": self.motion.data, "motion.rows": self.head.data}
        if self.finer is not None:
            tensors |= {f"finer.{name}": value for name, value in self.finer.state_dict().items()}
        if self.course is not None:
            tensors |= {f"course.{name}": value for name, value in self.course.state_dict().items()}
        if self.odometry is not None:
            tensors |= {f"odometry.{name}": value for name, value in self.odometry.state_dict().items()}
        return tensors

    def load_heads(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors as `head_tensors` gives them, out of `tensors`; KeyError if one is missing."""
        if self.motion is not None and self.head is not None:
            self.motion.data.copy_(tensors.pop("motion.embeddings"))
            self.head.data.copy_(tensors.pop("motion.rows"))
        if self.finer is not None:
            self.finer.load_state_dict({name: tensors.pop(f"finer.{name}") for name in self.finer.state_dict()})
        if self.course is not None:
            self.course.load_state_dict({name: tensors.pop(f"course.{name}") for name in self.course.state_dict()})
        if self.odometry is not None:
            self.odometry.load_state_dict({name: tensors.pop(f"odometry.{name}") for name in self.odometry.state_dict()})
