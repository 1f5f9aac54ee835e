"""For how many positions of an answer guidance is of use: how much a caption says at each, and how many prompts are followed.

    python benchmarks/guidance.py [--positions 3 5 8 10 49] [--samples 10]

The prompts are those of the evaluation. Printed are, for every position of answers that are guided all through, by how many nats the
caption moves the distribution of the first code (Kullback and Leibler's divergence from the one without it, mean over prompts and
samples); then, with guidance that ends after so many positions, the share of samples that pass the checks of their prompt, each the
best of eight attempts, before feet are held still, and how long that took.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from backend.evaluation import tasks  # noqa: E402
from backend.generation import Generator  # noqa: E402
from backend.language.decoding import Sampling, answer_ids, begin_answer, sample_codes  # noqa: E402
from backend.language.prompts import Instruction  # noqa: E402
from backend.protocol.messages import GUIDANCE, Load  # noqa: E402


@torch.inference_mode()
def nats(generator: Generator, prompt: dict, samples: int) -> torch.Tensor:
    """By how much (length,) the caption of a prompt moves every position, mean over samples."""
    model, bundle = generator.model, generator.bundle
    length = round(prompt["seconds"] / bundle.seconds_per_position)
    asked, unasked = (Instruction(words, [], length * bundle.seconds_per_position) for words in (prompt["prompt"], ""))
    prompts, course = [generator.prompt(i) for i in (asked, unasked)], generator.course(asked, length)
    sampling = Sampling(guidance=GUIDANCE, guided=length)
    made = sample_codes(model, prompts[0], length, sampling, samples, prompts[1], course)
    sequences = model.begin([begin_answer(model, ids, course) for ids in prompts], length)
    sequences.repeat(samples)
    courses, moved = [] if course is None else [course] * samples, []
    for position in range(length):
        with_, without = model.logits(sequences.last).cpu().log_softmax(-1).chunk(2)
        moved.append((with_.exp() * (with_ - without)).sum(-1).mean())
        sequences.feed(answer_ids(model, made[:, : position + 1], 1, courses))
    return torch.stack(moved)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, nargs="+", default=[3, 5, 8, 10, 49], help="after which guidance ends")
    parser.add_argument("--samples", type=int, default=10)
    args = parser.parse_args()
    generator, suite = Generator.load(Load(device="cpu")), tasks.load_prompts()
    moved = [nats(generator, prompt, args.samples) for prompt in suite]
    for position in range(max(map(len, moved))):
        there = [m[position] for m in moved if len(m) > position]
        print(f"position {position + 1:3}: {torch.stack(there).mean():.3f} nats, {len(there)} prompts")
    for guided in args.positions:
        began = time.perf_counter()
        made = tasks.make_prompted(generator, suite, replace(tasks.Effort(), prompt_samples=args.samples, guided=guided))
        share, taken = tasks.pass_rate(suite, made), time.perf_counter() - began
        print(f"guided for {guided:3} positions: {share:.1%} pass, {taken:.0f} s", flush=True)


if __name__ == "__main__":
    main()
