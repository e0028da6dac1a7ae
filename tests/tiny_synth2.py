"""The Synth2 studies with so little to do that each ends in seconds.

`tolman study tiny_synth2:augmentation` runs one where this folder is on the path.
"""

from types import SimpleNamespace

from tolman.agents.synth2.captioner import CaptionerConfig
from tolman.agents.synth2.generator import GeneratorConfig
from tolman.agents.synth2.tokenizer import TokenizerConfig
from tolman.launchers.runs import loop
from tolman.launchers.studies.synth2 import augmentation as whole
from tolman.launchers.studies.synth2.setting import Options, Setting

TINY = Setting(
    cell_pixels=12, num_images=200, num_texts=2_000, num_human=40, num_asked=400,
    num_synthetic=20, num_tested=96, num_references=2, num_members=2,
    tokenizer=TokenizerConfig(24, 6, num_codes=32, hidden_size=8, batch_size=8),
    generator=GeneratorConfig(8, 1, 1, 1, num_rounds=2, batch_size=4),
    captioner=CaptionerConfig(8, 1, 1, 1, 1, batch_size=4),
    tokenizer_updates=20, writer_updates=300, generator_updates=20, captioner_updates=20,
    gate=-1.0,
)  # fmt: skip


def run(study, options):
    """`synth2/augmentation`, with a checkpoint at every row of metrics."""
    loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    whole.run_setting(study, options, TINY)


augmentation = SimpleNamespace(TITLE="tiny", PAPER="-", Options=Options, run=run)
