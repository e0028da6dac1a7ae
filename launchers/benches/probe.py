"""Scoring by `tolman probe` beside bare `transformers` on the same batches.

Models have random parameters and are made here: speed does not depend on what they know.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tolman.agents.llm_probe.content_effects.few_shot import with_examples
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.probe.batches import MAX_BATCH_TOKENS, in_batches
from tolman.launchers.probe.transformers_model import EXTRA, load_transformers

CONTEXT = 2048  # Tokens.
HIDDEN_SIZE, NUM_LAYERS, NUM_HEADS = 256, 4, 4
NUM_TEXTS = 32
NUM_ROUNDS = 5
Pairs = Sequence[tuple[str, str]]


def run() -> list[dict[str, Any]]:
    """One row a kind of model and of texts: seconds of CPU time, and their ratio to bare.

    Bare is what one writes by hand: all texts are made tokens at once, put into the same
    batches of like lengths, and read whole, with logits of every token. Texts of random
    words share no beginning; questions behind solved examples do, and are read once.

    Raises:
      ValueError: without transformers and torch.
    """
    try:
        import torch
        import transformers
    except ImportError:
        raise ValueError(
            f"bench probe: needs transformers and torch. Install them: {EXTRA}."
        ) from None
    transformers.logging.set_verbosity_error()
    texts = {"random words": random_pairs(), "behind two examples": few_shot_pairs()}
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [
                measure(kind, Path(folder) / kind, name, pairs)
                for kind in ("gpt2", "llama")
                for name, pairs in texts.items()
            ]
    finally:
        torch.set_num_threads(num_threads)


def measure(kind: str, folder: Path, name: str, pairs: Pairs) -> dict[str, Any]:
    """One row, of one model and one set of texts.

    Raises:
      ValueError: if both do not give the same scores.
    """
    if not folder.exists():
        save_random(kind, folder)
    model, bare = load_transformers(folder, "float32", "cpu", False), Bare(folder)
    prompts, continuations = zip(*pairs, strict=True)
    found = {
        "ours": model.score(prompts, continuations).log_probability,
        "bare": bare.score(pairs),
    }
    apart = float(np.abs(found["ours"] - found["bare"]).max())
    if apart > 1e-3:
        raise ValueError(f"bench probe: scores of {kind} are {apart} nats apart.")
    read = replace(model.tally)  # Of one time; later ones count on.
    places = read.num_read + read.num_padding
    parts: dict[str, Callable[[int], None]] = {
        "ours": partial(_repeat, lambda: model.score(prompts, continuations)),
        "bare": partial(_repeat, lambda: bare.score(pairs)),
    }
    seconds = take_turns(parts, least=1, clock=time.process_time, num_rounds=NUM_ROUNDS)
    return {
        "model": kind,
        "texts": name,
        "tokens": read.num_asked,
        "tokens saved": read.num_asked - read.num_read,
        "padding": round(read.num_padding / places, 3),
        "seconds": round(seconds["ours"], 3),
        "bare seconds": round(seconds["bare"], 3),
        "ratio": round(seconds["ours"] / seconds["bare"], 3),
    }


def _repeat(score: Callable[[], Any], count: int) -> None:
    for _ in range(count):
        score()


class Bare:
    """A model and its tokenizer as `transformers` loads them by itself."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def score(self, pairs: Pairs) -> np.ndarray:
        """Log-probability of each continuation, `[N]` nats."""
        import torch

        whole = self._tokenizer([prompt + rest for prompt, rest in pairs])["input_ids"]
        prompts = self._tokenizer([prompt for prompt, _ in pairs])["input_ids"]
        begins, ends = list(map(len, prompts)), list(map(len, whole))
        total = np.zeros(len(pairs))
        for batch in in_batches(ends, MAX_BATCH_TOKENS, CONTEXT):
            size = max(ends[index] for index in batch.indices)
            tokens = torch.tensor(
                [whole[i] + [0] * (size - ends[i]) for i in batch.indices]
            )
            mask = torch.arange(size) < torch.tensor([[ends[i]] for i in batch.indices])
            with torch.inference_mode():
                logits = self._model(tokens, attention_mask=mask.long()).logits
                for row, index in enumerate(batch.indices):
                    own = slice(begins[index] - 1, ends[index] - 1)
                    log_p = torch.log_softmax(logits[row, own], -1)
                    wanted = tokens[row, begins[index] : ends[index], None]
                    total[index] = log_p.gather(1, wanted).sum()
        return total


def random_pairs() -> Pairs:
    """Texts of 40 to 400 characters that begin unlike, and eight to be scored."""
    rng = np.random.default_rng(0)

    def draw(size: int) -> str:
        return "".join(rng.choice(list("abcdefghij"), size).tolist())

    return [(draw(int(rng.integers(40, 400))), draw(8)) for _ in range(NUM_TEXTS)]


def few_shot_pairs() -> Pairs:
    """Syllogisms behind two solved ones, each with both answers."""
    items = with_examples(syllogism_items(), 2)[: NUM_TEXTS // 2]
    return [(item.prompt, option) for item in items for option in item.options]


def save_random(kind: str, folder: Path) -> None:
    """Writes a model with random parameters, and a tokenizer of one token a byte."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({one: i for i, one in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "gpt2":
        config: Any = transformers.GPT2Config(
            vocab_size=8192, n_positions=CONTEXT, n_embd=HIDDEN_SIZE, n_layer=NUM_LAYERS,
            n_head=NUM_HEADS,
        )  # fmt: skip
    else:
        config = transformers.LlamaConfig(
            vocab_size=8192, max_position_embeddings=CONTEXT, hidden_size=HIDDEN_SIZE,
            num_hidden_layers=NUM_LAYERS, num_attention_heads=NUM_HEADS,
            intermediate_size=4 * HIDDEN_SIZE,
        )  # fmt: skip
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
