"""How motion codes are written as tokens: as items of their own, or as the paper's decimal digits.

A vocabulary names the output rows that decoding may choose from and says, after every choice, which are legal next.
Decoding therefore yields codes and nothing else, and as many as were asked for.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .prompts import Piece


class TextTokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    eos_token_id: int

    def encode(self, text: str, add_special_tokens: bool = ...) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...


class Vocabulary(Protocol):
    """One form of writing codes. Ids from `text_size` on are motion rows; `rows` are the ids of the output rows, in order."""

    rows: list[int]

    def prompt(self, pieces: Sequence[Piece]) -> list[int]:
        """Token ids of a prompt."""
        ...

    def answer(self, codes: Sequence[int]) -> list[int]:
        """Output rows that spell `codes` and the end."""
        ...

    def legal(self, chosen: Sequence[int], length: int) -> Tensor | None:
        """Which rows (R,) may follow those chosen so far in an answer of `length` codes; None when it is complete."""
        ...

    def codes(self, chosen: Sequence[int]) -> list[int]:
        """The codes that a (possibly unfinished) answer spells so far."""
        ...


class CodeItems:
    """Each code is one vocabulary item: 49 codes are 49 tokens. The last row is the end of the answer."""

    def __init__(self, tokenizer: TextTokenizer, codes: int, text_size: int) -> None:
        self.tokenizer, self.count, self.text_size = tokenizer, codes, text_size
        self.rows = list(range(text_size, text_size + codes + 1))
        self._codes_only = torch.arange(codes + 1) < codes

    def prompt(self, pieces: Sequence[Piece]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            ids += [self.text_size + piece] if isinstance(piece, int) else self.tokenizer.encode(piece, add_special_tokens=False)
        return ids

    def answer(self, codes: Sequence[int]) -> list[int]:
        return [*codes, self.count]

    def legal(self, chosen: Sequence[int], length: int) -> Tensor | None:
        return self._codes_only if len(chosen) < length else None

    def codes(self, chosen: Sequence[int]) -> list[int]:
        return list(chosen)


class CodeDigits:
    """Codes as decimal numbers with commas between, in the tokens that the base model has: the paper's form."""

    _COMMA, _END = 10, 11

    def __init__(self, tokenizer: TextTokenizer, codes: int) -> None:
        self.tokenizer, self.count = tokenizer, codes
        self.rows = [*tokenizer.convert_tokens_to_ids([*"0123456789,"]), tokenizer.eos_token_id]

    def prompt(self, pieces: Sequence[Piece]) -> list[int]:
        return self.tokenizer.encode("".join(map(str, pieces)))

    def answer(self, codes: Sequence[int]) -> list[int]:
        text = ",".join(map(str, codes))
        return [*(self._COMMA if c == "," else int(c) for c in text), self._END]

    def legal(self, chosen: Sequence[int], length: int) -> Tensor | None:
        done, digits = self._state(chosen)
        mask = torch.zeros(len(self.rows), dtype=torch.bool)
        if not digits:
            mask[: min(10, self.count)] = True
            return mask
        value = int("".join(map(str, digits)))
        if done + 1 == length:
            if self._longer(value, mask).any():
                mask[self._END] = True
                return mask if chosen[-1] != self._END else None
            return None
        self._longer(value, mask)
        mask[self._COMMA] = True
        return mask

    def _longer(self, value: int, mask: Tensor) -> Tensor:
        """Mark the digits that may still follow a number: no leading zero, and below the number of codes."""
        if value:
            mask[[digit for digit in range(10) if value * 10 + digit < self.count]] = True
        return mask

    def _state(self, chosen: Sequence[int]) -> tuple[int, list[int]]:
        """How many numbers are complete, and the digits of the one that is begun."""
        numbers = self._numbers(chosen)
        return len(numbers) - 1, numbers[-1]

    def _numbers(self, chosen: Sequence[int]) -> list[list[int]]:
        numbers: list[list[int]] = [[]]
        for row in chosen:
            if row == self._COMMA:
                numbers.append([])
            elif row != self._END:
                numbers[-1].append(row)
        return numbers

    def codes(self, chosen: Sequence[int]) -> list[int]:
        return [int("".join(map(str, number))) for number in self._numbers(chosen) if number]
