"""The evaluator of the published figures (Guo et al. 2022), read from its own files.

The networks have the names and sizes of `text_mot_match/model/finest.tar`; words come from the `glove` folder that belongs to it.
Nothing is unpickled: the checkpoint is read with weights only, and of the pickled list of words the strings alone.
"""

import pickletools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from ..protocol.errors import Code, MotionGPTError

_WORDS = 20  # of a sentence; then it is cut
_KINDS = [
    "VERB",
    "NOUN",
    "DET",
    "ADP",
    "NUM",
    "AUX",
    "PRON",
    "ADJ",
    "ADV",
    "Loc_VIP",
    "Body_VIP",
    "Obj_VIP",
    "Act_VIP",
    "Desc_VIP",
    "OTHER",
]
# Words that count as a kind of their own, whatever their part of speech.
_SPECIAL = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise wash stand kneel "
    "stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}


class MovementEncoder(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        # The dropouts of the original have no parameters, but count in the names of those that have.
        self.main = nn.Sequential(
            nn.Conv1d(features, 512, 4, 2, 1), nn.Identity(), nn.LeakyReLU(0.2),
            nn.Conv1d(512, 512, 4, 2, 1), nn.Identity(), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.out_net = nn.Linear(512, 512)

    def forward(self, features: Tensor) -> Tensor:
        return self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))


class SequenceEncoder(nn.Module):
    """A bidirectional GRU with a learned start; for texts each word's kind is added to its vector."""

    def __init__(self, width: int, hidden: int, kinds: int = 0) -> None:
        super().__init__()
        if kinds:
            self.pos_emb = nn.Linear(kinds, width)
        self.input_emb = nn.Linear(width, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 512))
        self.hidden = nn.Parameter(torch.zeros(2, 1, hidden))

    def forward(self, values: Tensor, lengths: list[int]) -> Tensor:
        packed = pack_padded_sequence(self.input_emb(values), torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        last = self.gru(packed, self.hidden.repeat(1, len(values), 1))[1]
        return self.output_net(torch.cat(list(last), dim=-1))


class OfficialEvaluator:
    """The published networks. `tokens` gives the words of captions with their parts of speech, as HumanML3D's texts do."""

    comparable = True

    def __init__(self, checkpoint: Path, glove: Path, statistics: Path, tokens: Mapping[str, str]) -> None:
        """Read the checkpoint, the folder of word vectors, and the folder with `mean.npy` and `std.npy` that the networks expect."""
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            features = state["movement_encoder"]["main.0.weight"].shape[1]
            self.movement, self.motion = MovementEncoder(features), SequenceEncoder(512, 1024)
            self.text = SequenceEncoder(300, 512, len(_KINDS))
            for part in ("movement", "motion", "text"):
                getattr(self, part).load_state_dict(state[f"{part}_encoder"])
                getattr(self, part).eval()
            self.mean, self.std = np.load(statistics / "mean.npy"), np.load(statistics / "std.npy")
            self.vectors = np.load(glove / "our_vab_data.npy").astype(np.float32)
            self.rows = {word: row for row, word in enumerate(_strings((glove / "our_vab_words.pkl").read_bytes()))}
        except (OSError, KeyError, RuntimeError) as error:
            raise MotionGPTError(
                Code.INVALID_PARAMS, f"The files of the official evaluator cannot be used: {error}.", "Give those published with HumanML3D."
            ) from error
        self.tokens = tokens

    @torch.inference_mode()
    def motions(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Points (N, 512) of clips of features (T, D), not normalised, T at least 4."""
        normalised = [torch.from_numpy(((f - self.mean) / self.std).astype(np.float32)) for f in features]
        moved = self.movement(pad_sequence(normalised, batch_first=True)[..., :-4])
        return self.motion(moved, [len(f) // 4 for f in features]).numpy()

    @torch.inference_mode()
    def texts(self, captions: Sequence[str]) -> np.ndarray:
        """Points (N, 512) of captions."""
        sentences = [self._words(caption) for caption in captions]
        words = pad_sequence([torch.from_numpy(np.stack([vector for vector, _ in s])) for s in sentences], batch_first=True)
        kinds = pad_sequence([torch.from_numpy(np.stack([kind for _, kind in s])) for s in sentences], batch_first=True)
        return self.text(words + self.text.pos_emb(kinds), [len(s) for s in sentences]).numpy()

    def _words(self, caption: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Vector (300) and kind (15) of every word, with marks of beginning and end."""
        tokens = self.tokens.get(caption) or " ".join(f"{word}/OTHER" for word in caption.lower().replace(".", "").replace(",", "").split())
        return [self._word(token) for token in ["sos/OTHER", *tokens.split()[:_WORDS], "eos/OTHER"]]

    def _word(self, token: str) -> tuple[np.ndarray, np.ndarray]:
        word, _, kind = token.rpartition("/")
        if word not in self.rows:
            word, kind = "unk", "OTHER"
        kind = next((special for special, words in _SPECIAL.items() if word in words.split()), kind if kind in _KINDS else "OTHER")
        return self.vectors[self.rows[word]], np.eye(len(_KINDS), dtype=np.float32)[_KINDS.index(kind)]


def read_tokens(folders: Sequence[Path]) -> dict[str, str]:
    """The tokens of every caption of HumanML3D's text files, `sentence#tokens#from#to` a line."""
    tokens = {}
    for path in (p for folder in folders for p in (folder / "texts").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            caption, _, rest = line.partition("#")
            tokens[caption.strip()] = rest.partition("#")[0].strip()
    return {caption: marked for caption, marked in tokens.items() if marked}


def _strings(pickled: bytes) -> list[str]:
    """The strings in a pickled list, in order; nothing is executed."""
    return [str(argument) for code, argument, _ in pickletools.genops(pickled) if "UNICODE" in code.name]
