"""How motion codes are written as tokens: as items of their own, or as the paper's decimal digits.

A vocabulary names the output rows that decoding may choose from and says, after every choice, which are legal next.
Decoding therefore yields codes and nothing else, and as many as were asked for.

Where a tokenizer writes a position in several levels of codes, one token stands for the position: its id is that of the first
level's code, and the codes of the finer levels are written beside it. Ids are therefore (L, levels), with -1 where a token has
no finer codes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .prompts import Piece

NONE = -1  # in place of a finer code where there is none

Position = tuple[int, ...]  # what was chosen for a token: an output row, and the finer codes that go with it


class TextTokenizer(Protocol):
    """What is used of a text tokenizer."""

    eos_token_id: int

    def encode(self, text: str, add_special_tokens: bool = ...) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...


class Vocabulary(Protocol):
    """One form of writing codes. Ids from `text_size` on are motion rows; `rows` are the ids of the output rows, in order."""

    rows: list[int]
    levels: int

    def prompt(self, pieces: Sequence[Piece]) -> Tensor:
        """Token ids (L, levels) of a prompt."""
        ...

    def answer(self, codes: Sequence[Position]) -> list[Position]:
        """What must be chosen, token by token, to spell `codes` and the end."""
        ...

    def begin(self, codes: Sequence[Position]) -> list[Position]:
        """What must be chosen to spell `codes` at the beginning of an answer that goes on."""
        ...

    def longest_answer(self, length: int) -> int:
        """How many tokens an answer of `length` positions has at most."""
        ...

    def legal(self, chosen: Sequence[Position], length: int) -> Tensor | None:
        """Which rows (R,) may follow those chosen so far in an answer of `length` positions; None when it is complete."""
        ...

    def codes(self, chosen: Sequence[Position]) -> list[Position]:
        """The codes that a (possibly unfinished) answer spells so far."""
        ...

    def complete(self, chosen: Sequence[Position]) -> int:
        """How many of these codes nothing can be added to any more."""
        ...


def ids_of(vocabulary: Vocabulary, chosen: Sequence[Position]) -> Tensor:
    """Token ids (L, levels) of what was chosen."""
    return torch.tensor([(vocabulary.rows[row], *finer) for row, *finer in chosen], dtype=torch.long).reshape(-1, vocabulary.levels)


class CodeItems:
    """Each position is one vocabulary item: 49 positions are 49 tokens. The last row is the end of the answer."""

    def __init__(self, tokenizer: TextTokenizer, codes: int, levels: int, text_size: int) -> None:
        self.tokenizer, self.count, self.levels, self.text_size = tokenizer, codes, levels, text_size
        self.rows = list(range(text_size, text_size + codes + 1))
        self._codes_only = torch.arange(codes + 1) < codes
        self._no_finer = (NONE,) * (levels - 1)

    def prompt(self, pieces: Sequence[Piece]) -> Tensor:
        ids: list[Position] = []
        for piece in pieces:
            if isinstance(piece, str):
                ids += [(id, *self._no_finer) for id in self.tokenizer.encode(piece, add_special_tokens=False)]
            else:
                ids.append((self.text_size + piece[0], *piece[1:]))
        return torch.tensor(ids).reshape(-1, self.levels)

    def answer(self, codes: Sequence[Position]) -> list[Position]:
        return [*codes, (self.count, *self._no_finer)]

    def begin(self, codes: Sequence[Position]) -> list[Position]:
        return list(codes)

    def longest_answer(self, length: int) -> int:
        return length + 1

    def legal(self, chosen: Sequence[Position], length: int) -> Tensor | None:
        return self._codes_only if len(chosen) < length else None

    def codes(self, chosen: Sequence[Position]) -> list[Position]:
        return list(chosen)

    def complete(self, chosen: Sequence[Position]) -> int:
        return len(chosen)


class CodeDigits:
    """Codes as decimal numbers with commas between, in the tokens that the base model has: the paper's form, of one level."""

    levels = 1
    _COMMA, _END = 10, 11

    def __init__(self, tokenizer: TextTokenizer, codes: int) -> None:
        self.tokenizer, self.count = tokenizer, codes
        self.rows = [*tokenizer.convert_tokens_to_ids([*"0123456789,"]), tokenizer.eos_token_id]

    def prompt(self, pieces: Sequence[Piece]) -> Tensor:
        text = "".join(piece if isinstance(piece, str) else str(piece[0]) for piece in pieces)
        return torch.tensor(self.tokenizer.encode(text))[:, None]

    def answer(self, codes: Sequence[Position]) -> list[Position]:
        text = ",".join(str(code) for (code,) in codes)
        return [*((self._COMMA,) if c == "," else (int(c),) for c in text), (self._END,)]

    def begin(self, codes: Sequence[Position]) -> list[Position]:
        return [*self.answer(codes)[:-1], (self._COMMA,)] if codes else []

    def longest_answer(self, length: int) -> int:
        return length * (len(str(self.count - 1)) + 1)

    def legal(self, chosen: Sequence[Position], length: int) -> Tensor | None:
        done, digits = self.complete(chosen), self._numbers(chosen)[-1]
        mask = torch.zeros(len(self.rows), dtype=torch.bool)
        if not digits:
            mask[: min(10, self.count)] = True
            return mask
        value = int("".join(map(str, digits)))
        if done + 1 == length:
            if self._longer(value, mask).any():
                mask[self._END] = True
                return mask if chosen[-1] != (self._END,) else None
            return None
        self._longer(value, mask)
        mask[self._COMMA] = True
        return mask

    def _longer(self, value: int, mask: Tensor) -> Tensor:
        """Mark the digits that may still follow a number: no leading zero, and below the number of codes."""
        if value:
            mask[[digit for digit in range(10) if value * 10 + digit < self.count]] = True
        return mask

    def _numbers(self, chosen: Sequence[Position]) -> list[list[int]]:
        numbers: list[list[int]] = [[]]
        for (row,) in chosen:
            if row == self._COMMA:
                numbers.append([])
            elif row != self._END:
                numbers[-1].append(row)
        return numbers

    def codes(self, chosen: Sequence[Position]) -> list[Position]:
        return [(int("".join(map(str, number))),) for number in self._numbers(chosen) if number]

    def complete(self, chosen: Sequence[Position]) -> int:
        return len(self._numbers(chosen)) - 1
