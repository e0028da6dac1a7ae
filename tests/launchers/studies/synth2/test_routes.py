"""Two routes to a captioner's update: what is compiled, and what is told of it."""

from pathlib import Path

import jax
import numpy as np
import pytest

from tolman.agents.synth2.captioner import CaptionerConfig
from tolman.agents.synth2.generator import GeneratorConfig
from tolman.agents.synth2.pairs import MadePairs, make_pairs
from tolman.agents.synth2.tokenizer import TokenizerConfig
from tolman.launchers.studies.study import Study
from tolman.launchers.studies.synth2 import routes

SIZES = routes.Sizes(
    TokenizerConfig(image_size=4, patch_size=2, num_codes=6, code_size=5, hidden_size=7),
    GeneratorConfig(hidden_size=8, num_heads=1, num_layers=1, num_rounds=2),
    CaptionerConfig(hidden_size=8, num_heads=1, num_layers=1, num_latents=2),
)


@pytest.fixture(scope="module")
def models():
    return routes.make_models(SIZES, 3)


@pytest.fixture(scope="module")
def both(models):
    return {
        name: routes.make_route(models, 3, with_pixels=name == "pixels")
        for name in ("embeddings", "pixels")
    }


def test_only_the_pixel_route_holds_the_decoder(models, both, tmp_path):
    # Of the decoder's layers 5-7-7-12 these shapes are nobody else's; 7 is the encoder's.
    assert routes.decoder_shapes(models) == {(5, 7), (7, 7), (7, 12), (12,)}
    study = Study("synth2/routes", "toy", "-", True, 0, Path(tmp_path))
    routes.check_programs(study, models, both)
    assert [check.measured for check in study.checks] == [0.0, 1.0]
    assert all(check.passed for check in study.checks)
    swapped = {"embeddings": both["pixels"], "pixels": both["embeddings"]}
    routes.check_programs(study, models, swapped)
    assert not any(check.passed for check in study.checks[2:])


def test_arguments_of_a_program_are_counted():
    program = """HloModule x
%fused { %p = f32[5,7]{1,0} parameter(0) }
ENTRY %main (a: f32[7,7]) -> f32[12] {
  %a = f32[7,7]{1,0} parameter(0), sharding={replicated}
  %b = s32[12]{0} parameter(1)
  %c = f32[7,12]{1,0} add(%a, %b)
"""
    assert routes.share_held(program, {(7, 7)}) == 1.0
    assert routes.share_held(program, {(7, 7), (5, 7), (12,), (7, 12)}) == 0.25


def test_the_pixel_route_reads_what_the_codec_makes_of_the_images(models):
    codec, codec_params, generator, params, _, captions = models
    human = make_pairs(np.zeros((1, 4), int), captions[:1])
    key = jax.random.PRNGKey(1)
    tokens = {}
    for name, one in (("embeddings", None), ("pixels", codec)):
        source = MadePairs(
            human, captions, generator, params, key, 0.5, codec=one,
            codec_params=codec_params,
        )  # fmt: skip
        batch = jax.jit(source.sample, static_argnums=2)(source.load("train"), key, 16)
        tokens[name] = np.asarray(batch.tokens)
    np.testing.assert_array_equal(tokens["embeddings"][:8], tokens["pixels"][:8])
    images = codec.decode(codec_params, tokens["embeddings"][8:])
    wanted = codec.encode(codec_params, images)
    np.testing.assert_array_equal(tokens["pixels"][8:], wanted)
    assert (tokens["embeddings"] != tokens["pixels"]).any()


def test_memory_counts_arguments_results_and_what_lies_between():
    program = jax.jit(lambda x: (x @ x).sum() * np.ones(50, np.float32))
    compiled = program.lower(np.ones((30, 30), np.float32)).compile()
    assert routes.peak_bytes(compiled) >= 4 * (900 + 50 + 900)


def test_shares_and_ratios_are_of_the_times(both, tmp_path):
    study = Study("synth2/routes", "toy", "-", True, 0, Path(tmp_path))
    seconds = {"embeddings": 0.4, "pixels": 0.5, "generator": 0.3, "codec": 0.1,
               "captioner": 0.08, "generator's passes": 0.2,
               "captioner's passes": 0.1}  # fmt: skip
    routes.report(study, both, seconds, 16, 30)
    routes.check_overheads(study, seconds)
    rows, ratios = (table["rows"] for table in study.tables)
    assert [row[1:3] for row in rows] == [["400.00", "40"], ["500.00", "32"]]
    assert [row[4:] for row in rows] == [["0.75", "0.00", "0.20"], ["0.60", "0.20", "0.16"]]
    assert [row[1] for row in ratios[:3]] == ["1.250", "20.0%", "25.0%"]
    assert float(rows[1][3]) >= float(rows[0][3]) > 0
    measured = [check.measured for check in study.checks]
    np.testing.assert_allclose(measured, [1.5, 0.8])
    assert [check.passed for check in study.checks] == [False, True]


def test_bare_passes_are_as_many_as_drawing_takes(models):
    generator, params = models.generator, models.generator_params

    def passes(function, *arguments):
        text = str(jax.make_jaxpr(function)(params, *arguments))
        return text.count("dot_general"), f"length={SIZES.generator.num_rounds}" in text

    captions, keys = models.captions[:2], jax.random.split(jax.random.PRNGKey(0), 2)
    drawn = passes(generator.generate, captions, keys)
    bare = passes(lambda p, c: routes.bare_passes(generator, p, c), captions)
    assert drawn == bare and bare[1]


def test_a_step_learns(both):
    for route in both.values():
        state, loss = route.step(route.state, route.data, jax.random.PRNGKey(0))
        assert np.isfinite(loss)
        moved = jax.tree.map(lambda a, b: abs(a - b).max(), state.params.network,
                             route.state.params.network)  # fmt: skip
        assert max(jax.tree.leaves(moved)) > 0
        np.testing.assert_array_equal(state.params.codebook, route.state.params.codebook)
