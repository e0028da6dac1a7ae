"""A captioner of photographs: people's captions, read from a folder, learned by heart.

The photographs become codes, of a tokenizer that is trained on them or of an open
text-to-image model in a local folder; that one draws images of the captions too, or of
captions that a language model invents. What is checked is that the captioner reads its
images: shown another one, it writes captions that do not fit. Nothing is said of
photographs that it has not seen.

Shapes: P pairs, I photographs, N tokens of an image, T places of a caption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.agents.synth2.captioner import Captioner, CaptionerConfig
from tolman.agents.synth2.metrics import CiderD, bleu, rouge_l, split_caption
from tolman.agents.synth2.pairs import MixedPairs, Pairs, make_pairs
from tolman.agents.synth2.tokenizer import Tokenizer, TokenizerConfig
from tolman.agents.synth2.words import Words
from tolman.launchers.probe.opening import content_of
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2.asking import ask_model
from tolman.launchers.studies.synth2.parts import in_chunks, one_of
from tolman.launchers.synth2.amused import load_amused
from tolman.launchers.synth2.blip import load_blip
from tolman.launchers.synth2.clip import Clip, load_clip
from tolman.launchers.synth2.drawing import draw_codes
from tolman.launchers.synth2.emu3 import load_emu3
from tolman.launchers.synth2.janus import load_janus
from tolman.launchers.synth2.loader import Loader
from tolman.launchers.synth2.open_parts import ImageToText, TextToCodes, check_folder
from tolman.launchers.synth2.photographs import Photograph, open_photographs
from tolman.launchers.synth2.smolvlm import CLASSES, load_smolvlm

TITLE = "Synth2: photographs, and an open model's images of their captions"
PAPER = "Sharifzadeh et al. 2024"
LOADERS: dict[str, Callable[[Path], TextToCodes]] = {
    "amused": load_amused,
    "janus": load_janus,
    "emu3": load_emu3,
}
CAPTIONERS: dict[str, Callable[[Path], ImageToText]] = {
    "BlipForConditionalGeneration": load_blip,
    **dict.fromkeys(CLASSES, load_smolvlm),
}
AT_ONCE = 32  # Photographs that are read and encoded at once.
__all__ = ["PAPER", "TITLE", "Options", "run"]


@dataclass(frozen=True)
class Options:
    """Flags of this study.

    Attributes:
      data: Karpathy's JSON, COCO's captions_*.json, a folder with one of them, or a
        WebDataset tar.
      images: folder of a JSON file's images; None for `images` beside it.
      model: folder of an open text-to-image model, whose codes are read; None trains a
        tokenizer on the photographs.
      model_kind: of which class it is.
      num_drawn: captions that the model draws as synthetic pairs; 0 for human pairs alone.
      writer: a language model that invents these captions, as `tolman probe` names it;
        None draws people's.
      concepts: a file of names, one a line, of which the writer is to write; None for
        captions of anything.
      clip: folder of a CLIP, which scores what is drawn; None for no score.
      captioner: folder of a BLIP or a SmolVLM, whose captions of the photographs are
        scored beside those of the captioner trained here; None for none.
    """

    data: str = ""
    images: str | None = None
    model: str | None = None
    model_kind: Literal["amused", "janus", "emu3"] = "amused"
    num_drawn: Annotated[int, Ge(0)] = 0
    writer: str | None = None
    concepts: str | None = None
    clip: str | None = None
    captioner: str | None = None


@dataclass(frozen=True)
class Setting:
    """Attributes:
    tokenizer, captioner: configs.
    tokenizer_updates, captioner_updates: of each.
    max_words: longer captions are cut.
    """

    tokenizer: TokenizerConfig
    captioner: CaptionerConfig
    tokenizer_updates: int
    captioner_updates: int
    max_words: int = 20


QUICK = Setting(
    TokenizerConfig(image_size=64, patch_size=8, batch_size=32),
    CaptionerConfig(num_latents=16),
    tokenizer_updates=400,
    captioner_updates=800,
)
FULL = replace(
    QUICK,
    tokenizer=TokenizerConfig(image_size=128, patch_size=8, num_codes=2048),
    captioner=CaptionerConfig(
        hidden_size=256, num_latents=32, num_resampler_layers=2, num_layers=4,
        batch_size=64, learning_rate=5e-4,
    ),
    tokenizer_updates=10_000, captioner_updates=20_000,
)  # fmt: skip


class Coded(NamedTuple):
    """Photographs as the captioner reads them.

    Attributes:
      tokens: `[I, N]`.
      captions: I lists.
      codebook: `[K, C]`.
      waiting: share of the time that what encodes has waited for the loader.
    """

    tokens: np.ndarray
    captions: list[list[str]]
    codebook: np.ndarray
    waiting: float


def run(study: Study, options: Options) -> None:
    """Codes, pairs, a captioner, and what it writes."""
    run_setting(study, options, QUICK if study.quick else FULL)


def run_setting(study: Study, options: Options, setting: Setting) -> None:
    """`run` with a setting of one's own."""
    _check(options)
    study.settings = {**asdict(setting), **asdict(options)}
    model = clip = other = None
    identity = ""
    if options.captioner:
        other = load_captioner(Path(options.captioner))
    if options.model:
        model = LOADERS[options.model_kind](Path(options.model))
        identity = f"{options.model} {content_of(Path(options.model))}"
    if options.clip:
        clip = load_clip(Path(options.clip))
    invented: list[str] = []
    if options.writer:
        asked = ask_model(study, options.writer, options.concepts, options.num_drawn)
        invented = [cut(one, setting.max_words) for one in asked]
    coded = encode(study, options, setting, model)
    captions = [cut(one, setting.max_words) for row in coded.captions for one in row]
    words = Words(
        tuple(sorted({word for one in captions + invented for word in split_caption(one)})),
        setting.max_words,
    )
    rows = np.repeat(np.arange(len(coded.tokens)), [len(row) for row in coded.captions])
    human = make_pairs(coded.tokens[rows], words.encode(captions))
    drawn = None
    if model is not None and options.num_drawn:
        chosen = invented or captions[: options.num_drawn]
        if len(chosen) < options.num_drawn:
            study.note(
                f"Drawn: {len(chosen)} of --num-drawn {options.num_drawn}, as there are no "
                "more captions."
            )
        tokens = draw_codes(model, identity, chosen, study.folder / "drawn")
        drawn = make_pairs(tokens, words.encode(chosen))
        if clip is not None:
            check_drawn(study, clip, model.decode(tokens), chosen)
    writer = train(study, setting, coded, words, human, drawn)
    written = with_control(writer, coded.tokens)
    if other is not None:
        written["its own, by the open captioner"] = captions_of(options, other)
    report(study, coded, len(captions), written)


def _check(options: Options) -> None:
    """Refuses flags that ask for nothing without others."""
    if not options.data:
        raise ValueError(
            "--data: none. Give a folder, a JSON file or a tar of photographs."
        )
    if options.num_drawn and not options.model:
        raise ValueError(
            f"--num-drawn {options.num_drawn}: needs a model that draws. Give --model."
        )
    if options.clip and not options.num_drawn:
        raise ValueError(
            f"--clip {options.clip}: scores what a model draws. Give --model and "
            "--num-drawn."
        )
    if options.writer and not options.num_drawn:
        raise ValueError(
            f"--writer {options.writer}: writes what a model draws. Give --model and "
            "--num-drawn."
        )
    if options.concepts and not options.writer:
        raise ValueError(
            f"--concepts {options.concepts}: of captions that are asked for. Give --writer."
        )


def encode(
    study: Study, options: Options, setting: Setting, model: TextToCodes | None
) -> Coded:
    """All photographs in codes; no more than a few of them are in memory at once."""
    photographs = _photographs(options)
    if model is not None:
        loader = Loader(photographs, model.image_size, AT_ONCE)
        return _read(loader, model.encode, model.codebook)
    config = setting.tokenizer
    tokenizer = Tokenizer(config)
    learned = Loader(photographs, config.image_size, config.batch_size, shuffle=256)
    fit = study.fit("tokenizer", tokenizer, learned, setting.tokenizer_updates, 1)
    params, to_codes = one_of(fit.params), jax.jit(tokenizer.encode)
    loader = Loader(photographs, config.image_size, AT_ONCE)
    study.note(f"Training the tokenizer waited {learned.waiting.share:.1%} for the loader.")
    return _read(loader, lambda rows: to_codes(params, rows), params.codebook)


def _photographs(options: Options) -> Iterable[Photograph]:
    images = None if options.images is None else Path(options.images)
    return open_photographs(Path(options.data), images)


def _read(loader: Loader, to_codes: Callable[[np.ndarray], Any], codebook: Any) -> Coded:
    tokens: list[np.ndarray] = []
    captions: list[list[str]] = []
    for batch in loader.once():
        tokens.append(in_chunks(to_codes, batch.images, AT_ONCE))
        captions += [list(own) for own in batch.captions]
    return Coded(
        np.concatenate(tokens), captions, np.asarray(codebook), loader.waiting.share
    )


def with_control(
    writer: Callable[[np.ndarray], list[str]], tokens: np.ndarray
) -> dict[str, list[str]]:
    """Captions of each photograph, and of another in its place."""
    return {
        "its own": writer(tokens),
        "that of another": writer(np.roll(tokens, 1, axis=0)),
    }


def load_captioner(folder: Path) -> ImageToText:
    """An open captioner, of the class that its folder names.

    Raises:
      ValueError: if the folder holds none, or it cannot be loaded.
    """
    return CAPTIONERS[check_folder(folder, *CAPTIONERS)](folder)


def captions_of(options: Options, captioner: ImageToText) -> list[str]:
    """What an open captioner writes of every photograph, in the order of `encode`."""
    loader = Loader(_photographs(options), captioner.image_size, AT_ONCE)
    return [one for batch in loader.once() for one in captioner.caption(batch.images)]


def check_drawn(study: Study, clip: Clip, images: np.ndarray, captions: list[str]) -> None:
    """How well what was drawn fits its captions, and the captions of others."""
    own = clip.scores(images, captions)
    other = clip.scores(images, captions[1:] + captions[:1])
    study.table(
        f"CLIP's cosine of {len(images)} drawn images with captions",
        ("caption", "mean", "least", "largest"),
        [(name, *(f"{value:.3f}" for value in (one.mean(), one.min(), one.max())))
         for name, one in (("its own", own), ("that of another", other))],
    )  # fmt: skip
    study.check("CLIP's cosine with its own caption over another's, difference",
                own.mean() - other.mean(), "-", above=0.0)  # fmt: skip


def train(
    study: Study,
    setting: Setting,
    coded: Coded,
    words: Words,
    human: Pairs,
    drawn: Pairs | None,
) -> Callable[[np.ndarray], list[str]]:
    """A captioner of the pairs; returns what writes captions of tokens `[I, N]`."""
    num_tokens = coded.tokens.shape[1]
    codebook = jnp.asarray(coded.codebook)
    agent = Captioner(setting.captioner, codebook, num_tokens, words.size)
    source = MixedPairs(human, drawn)
    fit = study.fit("captioner", agent, source, setting.captioner_updates, 1)
    params = one_of(fit.params)

    @jax.jit
    def write(params: Any, tokens: Any) -> Any:
        has_image = jnp.ones(len(tokens), bool)
        return agent.write(params, tokens, has_image, words.length)

    def captions(tokens: np.ndarray) -> list[str]:
        rows = in_chunks(partial(write, params), tokens.astype(np.int32), AT_ONCE)
        return words.decode(rows)

    return captions


def report(
    study: Study, coded: Coded, num_captions: int, captions: dict[str, list[str]]
) -> None:
    """Scores what was written, by the image that it was written of."""
    references = [[split_caption(one) for one in row] for row in coded.captions]
    cider = CiderD(references)
    table, means = [], {}
    for name, texts in captions.items():
        written = [split_caption(one) for one in texts]
        means[name] = float(cider.scores(written).mean())
        table.append((
            name, f"{means[name]:.3f}", f"{bleu(written, references):.3f}",
            f"{np.mean(rouge_l(written, references)):.3f}",
        ))  # fmt: skip
    study.table(
        f"Captions of {len(coded.tokens)} photographs that were learned from, "
        f"{num_captions} captions (tokens of `split_caption`, not PTB's)",
        ("image", "CIDEr-D", "BLEU-4", "ROUGE-L"),
        table,
    )
    study.check("CIDEr-D of photographs over that of others in their place",
                means["its own"] / max(means["that of another"], 1e-9), "-",
                above=1.5)  # fmt: skip
    study.note(
        f"Encoding waited {coded.waiting:.1%} for the loader. The photographs were learned "
        "from: this shows that the captioner reads them, and nothing of new ones."
    )


def cut(caption: str, max_words: int) -> str:
    """Its first words."""
    return " ".join(split_caption(caption)[:max_words])
