"""Causal language models of Hugging Face's `transformers`, from a local folder.

Nothing is downloaded. Shapes: B rows of a batch, T tokens of a row, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.envs.places import summary
from tolman.launchers.probe.batches import MAX_BATCH_TOKENS, Batch, in_batches
from tolman.launchers.probe.fast_tokenizer import FastTokenizer
from tolman.launchers.probe.haiku_functions import NUM_FIRST_TOKENS
from tolman.launchers.probe.model import (
    Sampling,
    Scores,
    TextTooLongError,
    WhiteBoxModel,
    check_sampling,
)
from tolman.launchers.probe.prefixes import SharedBatch, groups_of, in_shared_batches
from tolman.launchers.probe.tokenizer import brief, encode_pair, pairs_of
from tolman.launchers.probe.transformers_writing import Row, Writing, write

EXTRA = "pip install 'tolman[llm]'"


class TransformersModel(WhiteBoxModel):
    """A causal model of `transformers`; the methods are those of `ProbedModel`."""

    def __init__(self, model: Any, tokenizer: FastTokenizer, max_length: int) -> None:
        """Takes a model that is on its device, in evaluation mode, with eager attention."""
        super().__init__()
        self._model, self._tokenizer, self._max_length = model, tokenizer, max_length

    def num_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text).tokens)

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        import torch

        pairs = [
            encode_pair(self._tokenizer, self._tokenizer.as_turn(prompt), continuation)
            for prompt, continuation in pairs_of(prompts, continuations)
        ]
        texts, begins = [tokens for tokens, _ in pairs], [begin for _, begin in pairs]
        self._check(texts)
        total = np.zeros(len(pairs))
        # Where a prefix cannot be kept, all texts are read whole.
        limits = [begin - 1 if self._keeps_prefixes else 0 for begin in begins]
        groups = groups_of(texts, limits)
        alone = [index for group in groups if not group.size for index in group.indices]
        with torch.inference_mode():
            for of_alone, tokens, mask in self._batches([texts[index] for index in alone]):
                batch = [alone[index] for index in of_alone.indices]
                final = self._base(input_ids=tokens, attention_mask=mask)[0]
                own = [begins[index] for index in batch]
                ends = [len(texts[index]) for index in batch]
                total[batch] = self._log_probability(final, tokens, own, ends)
                self.tally.add(sum(ends), sum(ends), tokens.numel())
            shared = [group for group in groups if group.size]
            for behind in in_shared_batches(
                shared, [len(text) for text in texts], MAX_BATCH_TOKENS, self._max_length
            ):
                total[behind.indices] = self._score_shared(texts, begins, behind)
        for index in np.flatnonzero(~np.isfinite(total)):
            raise ValueError(
                f"the log-probability of {brief(continuations[index])} after "
                f"{brief(prompts[index])} is {total[index]}: must be finite. The model's "
                "parameters or its dtype are at fault."
            )
        num_tokens = [len(tokens) - begin for tokens, begin in pairs]
        return Scores(total, np.array(num_tokens, np.int64))

    def _score_shared(
        self, texts: Sequence[Sequence[int]], begins: Sequence[int], batch: SharedBatch
    ) -> np.ndarray:
        """Log-probabilities of texts whose prefixes are read once."""
        import torch

        heads, rests = batch.split(texts)
        prefixes, prefix_mask = self._padded(heads)
        tokens, mask = self._padded(rests)
        read = self._base(input_ids=prefixes, attention_mask=prefix_mask, use_cache=True)
        which = torch.tensor(batch.which, device=tokens.device)
        kept = read.past_key_values
        kept.batch_select_indices(which)
        sizes = torch.tensor(batch.sizes, device=tokens.device)
        final = self._base(
            input_ids=tokens,
            attention_mask=torch.cat([prefix_mask[which], mask], 1),
            position_ids=sizes[:, None] + torch.arange(tokens.shape[1]).to(tokens.device),
            past_key_values=kept,
        )[0]
        num_asked = sum(len(texts[index]) for index in batch.indices)
        num_read = sum(map(len, heads)) + sum(map(len, rests))
        self.tally.add(num_asked, num_read, prefixes.numel() + tokens.numel())
        own = [begins[i] - size for i, size in zip(batch.indices, batch.sizes, strict=True)]
        return self._log_probability(final, tokens, own, [len(rest) for rest in rests])

    def _log_probability(
        self, final: Any, tokens: Any, begins: Sequence[int], ends: Sequence[int]
    ) -> np.ndarray:
        """`[B]` float64, summed over the tokens from `begins` to `ends` of each row."""
        import torch

        counts = [end - begin for begin, end in zip(begins, ends, strict=True)]
        row = torch.tensor(np.repeat(np.arange(len(counts)), counts), device=tokens.device)
        spans = [np.arange(*span) for span in zip(begins, ends, strict=True)]
        place = torch.tensor(np.concatenate(spans), device=tokens.device)
        log_p = torch.log_softmax(self._logits(final[row, place - 1]).float(), -1)
        own = log_p.gather(-1, tokens[row, place, None])[:, 0].double()
        total = own.new_zeros(len(counts)).index_add(0, row, own)
        return np.asarray(total.cpu().numpy())

    @functools.cached_property
    def _keeps_prefixes(self) -> bool:
        """Whether all keys and values of a prefix are kept, and positions can be said."""
        import torch
        from transformers import cache_utils

        if not self._keeps_keys:
            return False
        with torch.inference_mode():
            one = torch.zeros((1, 1), dtype=torch.long, device=self._model.device)
            read = self._base(input_ids=one, use_cache=True)
        kept: Any = getattr(read, "past_key_values", None)
        if type(kept) is not cache_utils.DynamicCache:
            return False
        # A sliding window drops the oldest places, whatever they hold.
        return all(type(layer) is cache_utils.DynamicLayer for layer in kept.layers)

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        import torch

        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={max_new_tokens}: must be at least 1.")
        if sampling is not None:
            check_sampling(prompts, sampling)
        texts = self._encoded(prompts)
        seeds = sampling.seeds if sampling else [None] * len(texts)
        writing = Writing(
            self._base,
            self._logits,
            has_padding=self._keeps_prefixes,
            keeps=self._keeps_keys,
            max_new_tokens=max_new_tokens,
            max_length=self._max_length,
            stops=self._tokenizer.stops,
            temperature=sampling.temperature if sampling else 0.0,
        )
        lengths = [min(len(text) + max_new_tokens, self._max_length) for text in texts]
        at_once = MAX_BATCH_TOKENS if writing.has_padding else 1
        found = [""] * len(texts)
        for batch in in_batches(lengths, at_once, self._max_length):
            rows = [
                Row(texts[i], None if seeds[i] is None else np.random.default_rng(seeds[i]))
                for i in batch.indices
            ]
            with torch.inference_mode():
                write(writing, rows, *self._padded([row.text for row in rows]))
            for index, row in zip(batch.indices, rows, strict=True):
                found[index] = self._tokenizer.decode(row.new, is_start=not prompts[index])
        return found

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        import torch

        texts = self._encoded(prompts)
        found: list[dict[str, float]] = [{} for _ in texts]
        for batch, tokens, mask in self._batches(texts):
            with torch.inference_mode():
                final = self._base(input_ids=tokens, attention_mask=mask)[0]
                for row, index in enumerate(batch.indices):
                    logits = self._logits(final[row, len(texts[index]) - 1]).float()
                    log_p = torch.log_softmax(logits, -1)
                    best = log_p.topk(min(NUM_FIRST_TOKENS, len(log_p)))
                    told = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                    for token, value in told:
                        text = self._tokenizer.decode([token], is_start=False)
                        before = found[index].get(text, -np.inf)
                        found[index][text] = float(np.logaddexp(before, value))
        return found

    def hidden_states(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return [
            np.stack([state[0].float().cpu().numpy() for state in read.hidden_states])
            for read in self._read(prompts, output_hidden_states=True)
        ]

    def attention(self, prompts: Sequence[str]) -> list[np.ndarray]:
        return [
            np.stack([weights[0].float().cpu().numpy() for weights in read.attentions])
            for read in self._read(prompts, output_attentions=True)
        ]

    def jacobian(self, prompts: Sequence[str]) -> list[np.ndarray]:
        import torch

        found = []
        for text in self._encoded(prompts):
            tokens = torch.tensor([text], device=self._model.device)
            embedded = self._model.get_input_embeddings()(tokens).detach()
            embedded.requires_grad_(True)
            final = self._base(inputs_embeds=embedded)[0][0, -1].float()
            rows = [
                torch.autograd.grad(final[i], embedded, retain_graph=True)[0][0].float()
                for i in range(len(final))
            ]
            found.append(torch.stack(rows, 1).cpu().numpy())
        return found

    @functools.cached_property
    def _keeps_keys(self) -> bool:
        """Whether keys and values can be kept; models with positions have them."""
        asked = inspect.signature(self._base.forward).parameters
        return {"position_ids", "use_cache"} <= set(asked)

    @property
    def _base(self) -> Any:
        """The model without what makes logits."""
        decoder = self._model.get_decoder()
        # Some, such as GPT-2, name the whole model as its decoder.
        is_whole = decoder is None or decoder is self._model
        return self._model.base_model if is_whole else decoder

    def _logits(self, final: Any) -> Any:
        return self._model.get_output_embeddings()(final)

    def _read(self, prompts: Sequence[str], **asked: bool) -> Iterator[Any]:
        import torch

        # One by one: padding may change the last bits.
        for text in self._encoded(prompts):
            tokens = torch.tensor([text], device=self._model.device)
            with torch.inference_mode():
                yield self._base(input_ids=tokens, **asked)

    def _encoded(self, prompts: Sequence[str]) -> list[list[int]]:
        turns = [self._tokenizer.as_turn(prompt) for prompt in prompts]
        texts = [self._tokenizer.encode(turn).tokens for turn in turns]
        self._check(texts)
        return texts

    def _check(self, texts: Sequence[Sequence[int]]) -> None:
        for text in texts:
            if not text:
                raise ValueError("an empty prompt has no token: must have one. Give text.")
            if len(text) > self._max_length:
                start = brief(self._tokenizer.decode(text, is_start=True))
                raise TextTooLongError(
                    f"{start} has {len(text)} tokens: must have at most "
                    f"{self._max_length}, the model's context. Shorten it."
                )

    def _batches(self, texts: Sequence[Sequence[int]]) -> Iterator[tuple[Batch, Any, Any]]:
        """Batches of like lengths, with tokens and mask `[B, T]`, padded on the right."""
        self._check(texts)
        lengths = [len(text) for text in texts]
        for batch in in_batches(lengths, MAX_BATCH_TOKENS, self._max_length):
            # Nothing is compiled here: rows are as long as the longest.
            yield batch, *self._padded([texts[index] for index in batch.indices])

    def _padded(self, texts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Tokens and mask `[B, T]`, padded on the right; T is the longest text's."""
        import torch

        rows = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(rows)
        for row, text in enumerate(texts):
            rows[row, : len(text)] = text
            mask[row, : len(text)] = 1
        device = self._model.device
        return torch.tensor(rows).to(device), torch.tensor(mask).to(device)


def load_transformers(
    folder: Path, dtype: str, device: str, has_chat_template: bool
) -> TransformersModel:
    """A causal model and its tokenizer, from a folder that `save_pretrained` has written.

    Raises:
      ValueError: if the folder or the device is not there, the folder holds none, or a
        package is missing.
    """
    try:
        import torch
        import transformers
    except ImportError:
        raise ValueError(
            f"hf:{folder}: needs transformers and torch. Install them: {EXTRA}."
        ) from None
    if not folder.is_dir():
        raise ValueError(f"hf:{folder}: no such folder. Give one with a config.json.")
    try:
        torch.empty(1, device=device)
    except Exception as error:  # Of many kinds, by how it is misspelt or not there.
        reason = summary(error)
        raise ValueError(
            f"device={device!r}: PyTorch cannot use it ({reason}). Give cpu, or another "
            "that this machine has."
        ) from None
    transformers.logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    with _in_our_words(folder, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    if not tokenizer.is_fast:
        raise ValueError(
            f"hf:{folder}: its tokenizer tells no character offsets, which a boundary is "
            "checked by. Save it with a tokenizer.json."
        )
    if has_chat_template and not tokenizer.chat_template:
        raise ValueError(f"hf:{folder}: has no chat template. Leave --chat-template out.")
    with _in_our_words(folder, "model"):
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            dtype=getattr(torch, dtype),
            attn_implementation="eager",
            output_loading_info=True,
        )
        model = model.to(device).eval()
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(
            f"hf:{folder}: {len(missing)} weights are missing, such as {missing[0]}. Copy "
            "the folder anew."
        )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        limit = tokenizer.model_max_length
    return TransformersModel(
        model, FastTokenizer(tokenizer, has_chat_template), int(min(limit, 2**31))
    )


@contextlib.contextmanager
def _in_our_words(folder: Path, noun: str) -> Iterator[None]:
    """What `transformers` raises, in one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"hf:{folder}: its {noun} cannot be loaded ({reason}). Copy the folder anew, "
            "or give another."
        ) from None
