"""`motiongpt train`: a tokenizer, the adapter of a language model, a bundle's ranker, an evaluator. All resume where they stopped."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..models.bundle import Bundle


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    actions = subparsers.add_parser("train", help="train a bundle's parts").add_subparsers(dest="action", required=True)
    tokenizer = actions.add_parser("tokenizer", help="train the motion VQ-VAE")
    language = actions.add_parser("language", help="train the adapter of the language model")
    language.add_argument("--tokenizer", type=Path, required=True, help="the folder of a trained tokenizer, or of a bundle")
    ranker = actions.add_parser("ranker", help="train what chooses among several attempts, and put it into a bundle")
    ranker.add_argument("--bundle", type=Path, required=True, help="the folder of the bundle")
    evaluator = actions.add_parser("evaluator", help="train the networks that `motiongpt evaluate` compares motion and text with")
    for parser in (tokenizer, language, ranker, evaluator):
        parser.add_argument("--data", type=Path, required=True, help="a folder made by `motiongpt data build`")
        parser.add_argument("--out", type=Path, required=True, help="the folder of this training; an unfinished one is gone on with")
        parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
        parser.add_argument("--minutes", type=float, help="stop after so many; the same command goes on")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, for example steps=2000 or network.width=256"
        )
    for parser in (tokenizer, language):
        parser.add_argument("--begin", type=Path, metavar="BUNDLE", help="the folder of a bundle whose weights a new training starts from")


def run(args: argparse.Namespace) -> int:
    return {"tokenizer": _tokenizer, "language": _language, "ranker": _ranker, "evaluator": _evaluator}[args.action](args)


def _tokenizer(args: argparse.Namespace) -> int:
    from ..data.dataset import Dataset
    from ..models.devices import choose
    from ..training import tokenizer

    dataset = Dataset(args.data)
    config = _with(tokenizer.TokenizerTraining(network=tokenizer.VQVAEConfig(features=dataset.layout.size)), args.set)
    tokenizer.run(dataset, args.out, config, choose(args.device), _begin(args), args.minutes)
    return 0


def _language(args: argparse.Namespace) -> int:
    from ..data.dataset import Dataset
    from ..models.devices import choose
    from ..training import language

    begin = _begin(args)
    plain = language.LanguageTraining(base=begin.base, adapter=begin.adapter) if begin else language.LanguageTraining()
    language.run(Dataset(args.data), args.tokenizer, args.out, _with(plain, args.set), choose(args.device), begin, args.minutes)
    return 0


def _ranker(args: argparse.Namespace) -> int:
    from ..models.devices import choose
    from ..training import ranker

    ranker.run(args.data, args.bundle, args.out, _with(ranker.RankerTraining(), args.set), choose(args.device), args.minutes)
    return 0


def _evaluator(args: argparse.Namespace) -> int:
    from ..data.dataset import Dataset
    from ..models.devices import choose
    from ..training import evaluator

    evaluator.run(Dataset(args.data), args.out, _with(evaluator.EvaluatorTraining(), args.set), choose(args.device), args.minutes)
    return 0


def _begin(args: argparse.Namespace) -> "Bundle | None":
    from ..models.bundle import open_bundle

    return open_bundle(args.begin) if args.begin else None


def _with(config: Any, settings: list[str]) -> Any:
    """The configuration with `NAME=VALUE` settings; SystemExit names a setting that does not exist, or cannot be that."""
    for setting in settings:
        name, _, value = setting.partition("=")
        config = _replace(config, name.split("."), value)
    return config


def _replace(config: Any, path: list[str], value: str) -> Any:
    known = list(getattr(config, "__dataclass_fields__", ()))
    if path[0] not in known:
        raise SystemExit(f"There is no setting {path[0]!r}; known: {', '.join(known)}.")
    before = getattr(config, path[0])
    if len(path) > 1:
        return dataclasses.replace(config, **{path[0]: _replace(before, path[1:], value)})
    if dataclasses.is_dataclass(before):
        raise SystemExit(f"{path[0]!r} holds settings; known: {', '.join(f'{path[0]}.{f.name}' for f in dataclasses.fields(before))}.")
    try:
        after = value if isinstance(before, str) else type(before)(json.loads(value))
    except (ValueError, TypeError):
        raise SystemExit(f"The setting {path[0]!r} cannot be {value!r}; by itself it is {json.dumps(before)}.") from None
    return dataclasses.replace(config, **{path[0]: after})
