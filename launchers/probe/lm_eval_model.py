"""Any model of lm-evaluation-harness: vLLM, llama.cpp, endpoints, and more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tolman.launchers.probe.model import Ability, BlackBoxModel, Sampling, Scores
from tolman.launchers.probe.tokenizer import brief, pairs_of

EXTRA = "pip install 'tolman[lm-eval]'"


class LmEvalModel(BlackBoxModel):
    """A model of the harness; the methods are those of `ProbedModel`.

    The harness cuts prompt from continuation by the number of the prompt's own tokens; see
    `encode_pair` for what Tolman's own do where a token reaches across.
    """

    questions_at_once = 256
    abilities: frozenset[Ability] = frozenset({"score", "generate"})

    def __init__(self, model: Any, words: str) -> None:
        """Takes a model of the harness, and the words that it was made by."""
        self._model, self._words = model, words

    def num_tokens(self, text: str) -> int | None:
        encode = getattr(self._model, "tok_encode", None)
        return None if encode is None else len(encode(text))

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        pairs = pairs_of(prompts, continuations)
        for prompt, continuation in pairs:
            if not prompt or not continuation:
                raise ValueError(
                    f"the prompt {brief(prompt)} and its continuation "
                    f"{brief(continuation)}: both must be text."
                )
        with self._in_our_words():
            found = self._model.loglikelihood(_instances("loglikelihood", pairs), True)
            counts = [self._num_tokens(*pair) for pair in pairs]
        total = np.array([value for value, _ in found], float)
        for index in np.flatnonzero(~np.isfinite(total)):
            prompt, continuation = pairs[index]
            raise ValueError(
                f"the log-probability of {brief(continuation)} after {brief(prompt)} is "
                f"{total[index]}: must be finite. The model is at fault."
            )
        return Scores(total, np.array(counts, np.int64))

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        if sampling is not None:
            raise ValueError(
                f"lm-eval:{self._words}: draws no tokens by a seed. Give hf:FOLDER or an "
                "endpoint."
            )
        settings = {"until": [], "max_gen_toks": max_new_tokens, "do_sample": False}
        asked = [(prompt, dict(settings)) for prompt in prompts]
        with self._in_our_words():
            found = self._model.generate_until(_instances("generate_until", asked), True)
        return [str(text) for text in found]

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        raise self._lacks("first token")

    def _num_tokens(self, prompt: str, continuation: str) -> int:
        """Of the continuation, as the harness cuts it; 0 where it does not tell."""
        encode = getattr(self._model, "_encode_pair", None)
        return 0 if encode is None else len(encode(prompt, continuation)[1])

    def _lacks(self, ability: Ability) -> ValueError:
        return ValueError(f"lm-eval:{self._words}: has no {ability}, but score, generate.")

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise _told(self._words, error) from error


def load_lm_eval(words: str) -> LmEvalModel:
    """A model by the harness's own words: its type, then its arguments.

    Args:
      words: such as "hf,pretrained=FOLDER" or "local-completions,base_url=...,model=...".

    Raises:
      ValueError: if the harness is not installed, or cannot make the model.
    """
    try:
        from lm_eval.api.registry import get_model
    except ImportError:
        raise ValueError(
            f"lm-eval:{words}: needs lm-evaluation-harness. Install it: {EXTRA}."
        ) from None
    import lm_eval.models  # noqa: F401  It registers the types.

    kind, _, arguments = words.partition(",")
    try:
        return LmEvalModel(get_model(kind).create_from_arg_string(arguments), words)
    except (Exception, SystemExit) as error:
        raise _told(words, error) from error


def _instances(kind: str, arguments: Sequence[tuple]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type=kind, doc={}, arguments=one, idx=index)
        for index, one in enumerate(arguments)
    ]


def _told(words: str, error: BaseException) -> ValueError:
    """What the harness raised, in one line."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, ImportError):
        return ValueError(f"lm-eval:{words}: {reason}. Install it, or: {EXTRA}.")
    return ValueError(
        f"lm-eval:{words}: {reason}. Mend the words after lm-eval:, TYPE,KEY=VALUE,..."
    )
