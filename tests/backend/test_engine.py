"""The engine against transformers: the same model, run in two ways."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest
import torch
from llvmlite import binding
from numba.core.caching import FunctionCache
from safetensors.torch import save_file

from backend.language import cpu
from backend.language.cpu import CpuEngine, Team
from backend.language.decoding import Sampling, sample_codes
from backend.language.engine import Checkpoint, Engine, TorchEngine
from backend.language.heads import AdapterConfig
from backend.language.model import MotionLanguageModel, load_causal
from backend.language.runtime import EngineModel, TextTokenizer
from backend.protocol.errors import MotionGPTError

sys.path.insert(0, str(Path(__file__).parent))
from tiny import write_base

ROOT = Path(__file__).parents[2]
CODES = 64
# How far the distribution of the next code may be from that of float32 in transformers: the share of it that lies elsewhere.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.05}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module", params=[("items", 1), ("items", 3), ("digits", 1)], ids=lambda form: "-".join(map(str, form)))
def plain(request, base):
    vocabulary, levels = request.param
    causal, tokenizer = load_causal(base, torch.float32)
    torch.manual_seed(0)
    model = MotionLanguageModel(causal, tokenizer, AdapterConfig(rank=4, vocabulary=vocabulary), CODES, levels)
    for parameter in model.parameters():
        if parameter.requires_grad:  # an untrained adapter is zero and would hide mistakes
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def engine_of(plain: MotionLanguageModel, base: Path, precision: str) -> EngineModel:
    return EngineModel(base, plain.adapter_tensors(), plain.config, CODES, plain.vocabulary.levels, "cpu", precision)


def prompt(model, caption: str) -> torch.Tensor:
    return model.vocabulary.prompt([caption, (3, 2, 1)[: model.vocabulary.levels], " motion:"])


def next_codes(model, prompts: list[torch.Tensor], rows: torch.Tensor, times: int) -> torch.Tensor:
    """Distributions (steps, B, R) of what follows, while all sequences, so many of each prompt, are fed the rows (steps,)."""
    with torch.inference_mode():
        sequences = model.begin(prompts, len(rows))
        sequences.repeat(times)
        found = []
        for row in rows:
            found.append(model.logits(sequences.last).softmax(-1))
            ids = torch.full((times * len(prompts), 1, model.vocabulary.levels), 1)
            ids[..., 0] = model.vocabulary.rows[row]
            sequences.feed(ids)
        return torch.stack(found)


@pytest.mark.parametrize("times", [1, 5], ids=["few", "many"])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_next_code_is_as_likely_as_in_transformers(plain, base, precision, times):
    """Two prompts of different lengths, side by side, once and several times."""
    prompts = [prompt(plain, "a man waves with the left hand"), prompt(plain, "so")]
    rows = torch.arange(8) % len(plain.vocabulary.rows)
    expected, found = (next_codes(model, prompts, rows, times) for model in (plain, engine_of(plain, base, precision)))
    assert (expected - found).abs().sum(-1).max() / 2 < TOLERANCE[precision]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_likeliest_codes_are_those_of_transformers(plain, base, guidance):
    fast = engine_of(plain, base, "float32")
    asked, unasked = prompt(plain, "a man waves with the left hand"), prompt(plain, "so")
    for samples in (1, 3):
        expected, found = (
            sample_codes(model, asked, 12, Sampling(0, guidance=guidance), samples, without=unasked) for model in (plain, fast)
        )
        assert torch.equal(expected, found)


def test_samples_are_those_of_transformers(plain, base):
    """The same noise and the same scores give the same codes; that the scores are the same at any precision is tested above."""
    asked = prompt(plain, "a man waves")
    expected, found = (sample_codes(model, asked, 12, Sampling(seed=4), 5) for model in (plain, engine_of(plain, base, "float32")))
    assert torch.equal(expected, found)


def test_the_first_of_several_is_the_one_made_alone(plain, base):
    fast = engine_of(plain, base, "float32")
    alone, several, many, again = (sample_codes(fast, prompt(plain, "a man waves"), 12, Sampling(seed=4), n) for n in (1, 5, 9, 1))
    assert torch.equal(alone[0], several[0])
    assert torch.equal(alone[0], many[0])
    assert not torch.equal(several[0], several[1])
    assert torch.equal(alone, again)  # whatever was made in between


@pytest.mark.parametrize("precision", TOLERANCE)
def test_threads_side_by_side_compute_what_one_does(plain, base, precision):
    fast = engine_of(plain, base, precision)
    assert isinstance(fast.engine, CpuEngine)
    prompts = [prompt(plain, "a man waves with the left hand"), prompt(plain, "so")]
    rows = torch.arange(8) % len(plain.vocabulary.rows)
    found = []
    for threads in (1, 2, 3):
        fast.engine.team = Team(threads)
        found.append(next_codes(fast, prompts, rows, times=3))
    for several in found[1:]:
        torch.testing.assert_close(several, found[0], rtol=1e-4, atol=1e-6)  # a hair decides which whole number is nearer


def test_an_answer_goes_on_from_what_it_is_given(plain, base):
    fast = engine_of(plain, base, "float32")
    asked = prompt(plain, "a man waves")
    whole = sample_codes(fast, asked, 9, Sampling(temperature=0))
    given = [[tuple(position) for position in whole[0, :4].tolist()]] * 2
    rest = sample_codes(fast, asked, 9, Sampling(temperature=0), samples=2, given=given)
    assert rest.tolist() == whole.tolist() * 2


def test_answers_go_on_from_what_each_is_given(plain, base):
    """In digits as many codes need not be as many tokens."""
    fast = engine_of(plain, base, "float32")
    asked, levels = prompt(plain, "a man waves"), plain.vocabulary.levels
    given = [[(1,) * levels, (2,) * levels], [(61,) * levels, (62,) * levels]]
    together = sample_codes(fast, asked, 5, Sampling(temperature=0), samples=2, given=given)
    for answer, begun in zip(together, given, strict=True):
        assert answer[:2].tolist() == [list(position) for position in begun]
        assert torch.equal(answer, sample_codes(fast, asked, 5, Sampling(temperature=0), given=[begun])[0])


def test_torchs_engine_computes_the_same(plain, base):
    fast = engine_of(plain, base, "float32")
    checkpoint = Checkpoint(base)
    lora = {name: value for name, value in plain.adapter_tensors().items() if "lora" in name}
    layers = checkpoint.layers(lora, plain.config.alpha / plain.config.rank)
    other: Engine = TorchEngine(checkpoint.shape, layers, checkpoint.last_norm, "cpu", torch.float32)
    asked, unasked = prompt(plain, "a man waves with the left hand"), prompt(plain, "so")
    expected = sample_codes(fast, asked, 12, Sampling(seed=2, guidance=2.0), 3, without=unasked)
    fast.engine = other
    assert torch.equal(sample_codes(fast, asked, 12, Sampling(seed=2, guidance=2.0), 3, without=unasked), expected)


def test_an_adapter_of_another_model_is_refused(plain, base):
    tensors = plain.adapter_tensors()
    first = next(name for name in tensors if "lora" in name)
    with pytest.raises(ValueError, match="does not fit"):
        EngineModel(
            base,
            tensors | {first.replace("layers.0", "layers.7"): tensors[first]},
            plain.config,
            CODES,
            plain.vocabulary.levels,
            "cpu",
            "float32",
        )


def test_a_model_that_is_not_like_llama_is_refused(base, tmp_path):
    facts = (base / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(facts.replace('"hidden_act": "silu"', '"hidden_act": "gelu"'), encoding="utf-8")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not built like LLaMA"):
        Checkpoint(tmp_path)


def test_a_model_with_more_than_llama_has_is_refused(base, tmp_path):
    """Such as the norms of queries and keys in Qwen 3, which would be left out in silence."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    save_file({"model.layers.1.self_attn.q_norm.weight": torch.ones(16)}, tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match=r"layers\.1\.self_attn\.q_norm\.weight"):
        list(Checkpoint(tmp_path).layers({}, 1.0))


def test_the_text_tokenizer_is_transformers(base):
    _, theirs = load_causal(base, torch.float32)
    ours = TextTokenizer(base)
    for text in ("a person walks forward.\n4.0 s, first ", "Wörter, 2 × 3", ""):
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == theirs.encode(text)
    assert ours.eos_token_id == theirs.eos_token_id
    assert ours.convert_tokens_to_ids([*"0123456789,"]) == theirs.convert_tokens_to_ids([*"0123456789,"])


def test_kernels_are_compiled_once(plain, base):
    """Another process finds what this one compiled."""
    sample_codes(engine_of(plain, base, "float32"), prompt(plain, "a man waves"), 2, Sampling())
    script = "\n".join(
        [
            "import torch; from pathlib import Path",
            "from backend.language.cpu import CpuEngine, load_kernels; from backend.language.engine import Checkpoint",
            f"checkpoint = Checkpoint(Path({str(base)!r}))",
            "engine = CpuEngine(checkpoint.shape, checkpoint.layers({}, 1.0), checkpoint.last_norm, 'float32')",
            "engine.start(torch.ones(1, dtype=torch.long), 3)",
            "engine.run(torch.zeros(1, 1, checkpoint.shape.width), torch.zeros(1, 1, dtype=torch.long))",
            "stats = load_kernels().forward.stats",
            "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))",
        ]
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "0"]


@pytest.mark.parametrize("spoilt", ["*.nbi", "*.nbc"])
def test_what_was_compiled_and_is_damaged_is_compiled_anew(spoilt, tmp_path, monkeypatch):
    load = kernels_of(tmp_path, monkeypatch)
    assert load().double(2.0) == 4.0
    for path in tmp_path.rglob(spoilt):
        path.write_bytes(b"")
    assert load().double(2.0) == 4.0
    again = load()
    assert again.double(2.0) == 4.0
    assert sum(again.double.stats.cache_hits.values()) == 1


def test_kernels_that_cannot_be_kept_are_compiled_all_the_same(tmp_path, monkeypatch):
    def fill_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    load = kernels_of(tmp_path, monkeypatch)
    monkeypatch.setattr(FunctionCache, "_save_overload", fill_disk)
    assert load().double(2.0) == 4.0


def test_kernels_that_arrived_by_half_are_put_there_again(tmp_path, monkeypatch):
    load = kernels_of(tmp_path, monkeypatch)
    load()
    (path,) = (tmp_path / "cache").rglob("kernels.py")
    path.write_bytes(b"")
    assert load().double(2.0) == 4.0


def test_place_where_no_kernels_can_be_put_is_named(tmp_path, monkeypatch):
    load = kernels_of(tmp_path, monkeypatch)
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(MotionGPTError, match=r"cache.* cannot be made") as caught:
        load()
    assert caught.value.remedy


def kernels_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """What loads a small kernel through a cache of its own."""
    monkeypatch.setenv("MOTIONGPT_CACHE", str(folder / "cache"))
    monkeypatch.setattr(cpu, "__file__", str(folder / "cpu.py"))
    monkeypatch.setitem(sys.modules, "motiongpt_kernels", ModuleType("motiongpt_kernels"))
    source = "from numba import njit\n\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    (folder / "kernels.py").write_text(source, encoding="utf-8")
    return cpu.load_kernels.__wrapped__


@pytest.mark.parametrize("features", [(), ("avxvnni",), ("avx512bw",), ("avx512bw", "avx512vnni")], ids="-".join)
def test_int8_is_multiplied_right_on_every_kind_of_processor(features, tmp_path, monkeypatch):
    """In the form that is compiled for processors which have these features and no others of those that forms differ by."""
    cpu.load_kernels()  # and with them what numba asks about the processor that this is
    host = binding.get_host_cpu_features()
    if lacking := [feature for feature in features if not host.get(feature)]:
        pytest.skip(f"This processor lacks {' and '.join(lacking)}.")
    kernels = ModuleType("kernels_of_another_processor")
    monkeypatch.setitem(sys.modules, kernels.__name__, kernels)  # compiled code refers to the classes in it by name
    kernels.__file__ = str(tmp_path / "kernels.py")
    source = Path(cpu.__file__).with_name("kernels.py").read_text(encoding="utf-8").replace(", cache=True", "")
    with monkeypatch.context() as while_it_is_written:
        while_it_is_written.setattr(binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
        exec(compile(source, kernels.__file__, "exec"), kernels.__dict__)
    monkeypatch.setattr(cpu, "load_kernels", lambda: kernels)

    @numba.njit
    def product(x, matrix, out):
        given = kernels._given(x, np.empty(0, np.float32), 0.0, matrix.weights)
        kernels._multiply(given, matrix, 0, out, 0, out.shape[1], 0)

    random = np.random.default_rng(0)
    weights, x = random.standard_normal((64, 96), np.float32), random.standard_normal((15, 96), np.float32)  # tiles of 8, 4, 2 and 1 rows
    matrix = cpu._room_for(1, 64, 96, "int8")
    cpu._store(torch.from_numpy(weights), matrix, 0, "int8")
    out = np.zeros((15, 64), np.float32)
    product(x, matrix, out)
    exact = x @ weights.T
    assert np.abs(out - exact).max() < 0.02 * np.abs(exact).max()
