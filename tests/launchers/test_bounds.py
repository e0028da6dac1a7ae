import math
import types
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MinLen, MultipleOf, Predicate

from tolman.agents.agent import DataSpec
from tolman.agents.alphazero import GumbelAlphaZeroConfig
from tolman.agents.dqn import DQNConfig
from tolman.agents.ewc import ElasticConfig
from tolman.agents.llm_probe.glasses.tasks import Sequences
from tolman.agents.memo import config as memo
from tolman.agents.memo.baselines import config as baselines
from tolman.envs.atari import AtariSettings
from tolman.envs.board.chess import Chess
from tolman.envs.board.go import Go
from tolman.envs.board.shogi import Shogi
from tolman.envs.gymnasium_settings import GymnasiumSettings
from tolman.envs.memory import AssociativeRecall
from tolman.envs.meta_rl import Harlow, TwoStep
from tolman.envs.reasoning.associative_inference import AssociativeInference
from tolman.envs.reasoning.babi import Babi
from tolman.envs.reasoning.babi_style import BabiStyle
from tolman.envs.reasoning.shortest_path import ShortestPath
from tolman.envs.reasoning.stories import StoryTask
from tolman.launchers.arena.engines.limits import Limits
from tolman.launchers.arena.tournament import TournamentConfig
from tolman.launchers.catalog import names
from tolman.launchers.catalog.names import find
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.bounds import check_settings, find_problem
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.studies.alphazero import large_games
from tolman.launchers.studies.cores import recall
from tolman.networks.cores import GTrXLConfig, MemoConfig

OTHERS = [
    AssociativeInference(),
    AtariSettings(),
    Babi(),
    BabiStyle(),
    DataSpec(1, 1, min_size=1),
    ElasticConfig(),
    GymnasiumSettings(),
    Limits(),
    ShortestPath(),
    StoryTask(BabiStyle()),
    TournamentConfig("chess", ("random", "greedy")),
    TrainConfig("meta_rl", "two_step"),
    baselines.DNCReaderConfig(),
    baselines.MemoryNetworkConfig(),
    baselines.UniversalTransformerConfig(),
    large_games.Options(),
    memo.MemoConfig(),
    memo.TrainingConfig(),
    recall.Options(),
]
# Fields whose every finite number has a meaning.
FREE = {
    *("continue_bias", "final_entropy_cost", "gate_bias", "halting_bias", "komi"),
    *("update_bias", "forget_bias", "input_bias", "learning_rate_drops", "tasks", "sprt"),
}


def registered_settings():
    for kind in (names.AGENT, names.CORE, names.ENV, names.GAME, names.SOURCE):
        for name in names.registered(kind):
            yield f"{kind.noun}:{name}", find(kind, name).default_settings()


ALL = {
    **dict(registered_settings()),
    **{f"{type(one).__module__}.{type(one).__name__}": one for one in OTHERS},
}


def arms(annotation):
    """Every type that stands in an annotation, with the bounds that belong to it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [
            single
            for bound in arguments[1:]
            for single in (bound if isinstance(bound, Interval | Len) else [bound])
        ]
        if get_origin(arguments[0]) is tuple:
            yield from arms(arguments[0])
        yield arguments[0], bounds
    elif origin in (Union, types.UnionType, tuple):
        for one in arguments:
            yield from arms(one)
    else:
        yield annotation, []


def typed_fields(settings):
    """Of each field, the type and bounds of the last class that bounds it."""
    for item in fields(settings):
        for base in type(settings).__mro__:
            hints = get_type_hints(base, include_extras=True)
            found = [arm for arm in arms(hints.get(item.name, Any)) if arm[1]]
            if found:
                break
        else:
            hints = get_type_hints(type(settings), include_extras=True)
            found = list(arms(hints[item.name]))
        for kind, bounds in found:
            yield item.name, kind, bounds


def as_field(settings, name, value):
    """`value` as the field has it: alone, or as an item of a tuple."""
    is_tuple = isinstance(getattr(settings, name), tuple) or name == "sprt"
    return (value, value) if is_tuple and not isinstance(value, tuple) else value


def refusal(settings, name, value):
    with pytest.raises(ValueError) as caught:
        check_settings(replace(settings, **{name: value}), "x.")
    message, flag = str(caught.value), f"Set --x.{name.replace('_', '-')}."
    assert "\n" not in message and flag in message, message
    assert message.startswith(f"{name}={value!r}"[:40]), message
    return message


def fits(settings, name, value):
    hints = get_type_hints(type(settings), include_extras=True)
    return find_problem(value, hints[name]) is None


@pytest.mark.parametrize("name", ALL)
def test_just_beyond_a_bound_is_refused_and_the_edge_is_not(name):
    settings, num_bounds = ALL[name], 0
    check_settings(settings)
    for key, kind, bounds in typed_fields(settings):
        step = 1 if kind is int else 1e-9
        for bound in bounds:
            match bound:
                case Ge(limit):
                    outside, edge = limit - step, limit
                case Gt(limit):
                    outside, edge = limit, limit + step
                case Le(limit):
                    outside, edge = limit * (1 + 1e-9) + step, limit
                case Lt(limit):
                    outside, edge = limit, limit - step
                case MultipleOf(limit):
                    outside, edge = 10 * limit + 1, 10 * limit
                case MinLen(limit):
                    edge = tuple(getattr(settings, key))[:limit]
                    outside = edge[:-1]
                case _:  # What `tyro` reads.
                    continue
            if kind is int:
                outside = math.ceil(outside)
                for one in bounds:
                    if isinstance(one, MultipleOf):
                        edge = math.ceil(edge / one.multiple_of) * one.multiple_of
            num_bounds += 1
            refusal(settings, key, as_field(settings, key, outside))
            assert fits(settings, key, as_field(settings, key, edge)), (key, edge)
    has_numbers = any(kind in (int, float) for _, kind, _ in typed_fields(settings))
    assert num_bounds or not has_numbers or set(vars(settings)) <= FREE


@pytest.mark.parametrize("name", ALL)
def test_every_number_is_bounded_finite_and_no_bool(name):
    settings = ALL[name]
    for key, kind, bounds in typed_fields(settings):
        if kind not in (int, float):
            continue
        assert bounds or key in FREE, key
        for wrong in (True, "1", *((1.5,) if kind is int else ())):
            refusal(settings, key, as_field(settings, key, wrong))
        for wrong in (math.inf, -math.inf, math.nan, 10**400):
            message = refusal(settings, key, as_field(settings, key, wrong))
            assert "a finite number" in message


@pytest.mark.parametrize("name", ALL)
def test_a_word_that_is_no_choice_is_refused_with_the_closest(name):
    for key, kind, _ in typed_fields(ALL[name]):
        if get_origin(kind) is Literal:
            choice = get_args(kind)[0]
            wrong = as_field(ALL[name], key, f"{choice}e")
            message = refusal(ALL[name], key, wrong)
            assert f"must be one of {choice}, " in message
            assert f"(did you mean '{choice}'?)" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            DQNConfig(unroll_length=4, burn_in=2),
            "unroll_length=4: must be at least burn_in + n_step = 5. "
            "Set --x.unroll-length.",
        ),
        (
            DataSpec(1, 1, replay="uniform", capacity=9, min_size=10),
            "capacity=9: must be at least min_size = 10. Set --x.capacity.",
        ),
        (
            MemoConfig(capacity=1),
            "capacity=1: must be at least items_per_fact = 2. Set --x.capacity.",
        ),
        (
            GTrXLConfig(hidden_size=10, num_heads=4),
            "hidden_size=10: must be a multiple of num_heads = 4. Set --x.hidden-size.",
        ),
        (
            GTrXLConfig(hidden_size=9, num_heads=3),
            "hidden_size=9: must be at least 1 and a multiple of 2. Set --x.hidden-size.",
        ),
        (
            Go(size=5, komi=26.0),
            "komi=26.0: must be in [-25, 25], the points of the board. Set --x.komi.",
        ),
        (
            AssociativeRecall(num_pairs=3, num_keys=2),
            "num_keys=2: must be at least num_pairs = 3. Set --x.num-keys.",
        ),
        (
            AtariSettings(frame_skip=1),
            "frame_skip=1: must be at least 2 with max_pool, which takes two frames",
        ),
        (
            AssociativeInference(min_sequences=17),
            "min_sequences=17: must be at most num_sequences = 16. Set --x.min-sequences.",
        ),
        (
            AssociativeInference(num_classes=47),
            "num_classes=47: must be at least chain_length * num_sequences = 48. "
            "Set --x.num-classes.",
        ),
        (
            ShortestPath(num_nodes=3),
            "num_nodes=3: must be at least out_degree + 2 = 4. Set --x.num-nodes.",
        ),
        (Babi(tasks=(0,)), "tasks=(0,): must be numbers from 1 to 20, each once. "),
        (Babi(tasks=(1, 1)), "tasks=(1, 1): must be numbers from 1 to 20, each once. "),
        (BabiStyle(tasks=(4,)), "tasks=(4,): must be some of 1, 2, 3, 15, 16, 19, each"),
        (BabiStyle(tasks=(1, 1)), "tasks=(1, 1): must be some of 1, 2, 3, 15, 16, 19,"),
        (
            StoryTask(BabiStyle(num_test_questions=0)),
            "num_test_questions=0: must be at least 1. Set --x.source.num-test-questions.",
        ),
        (
            TournamentConfig("go", ("random", "random")),
            "players=('random', 'random'): must be all different: tell equal engines ",
        ),
        (
            TournamentConfig("go", ("a", "b"), sprt=(5.0, 5.0)),
            "sprt=(5.0, 5.0): must be two differences, the first below the second. ",
        ),
        (
            TournamentConfig("go", ("a", "b", "c"), sprt=(0.0, 5.0)),
            "sprt=(0.0, 5.0): must be left out where there are not two players. ",
        ),
        (
            TrainConfig("a", "e", learner_gpus=2),
            "learner_gpus=2: must be in [0, 1]. Set --x.learner-gpus.",
        ),
        # A subclass that gives another default keeps the bounds of its base.
        (
            GumbelAlphaZeroConfig(num_filters=0),
            "num_filters=0: must be at least 1. Set --x.num-filters.",
        ),
        (GymnasiumSettings(keywords="[1]"), "keywords='[1]': must be a JSON object, "),
        (GymnasiumSettings(reset_options="low"), "reset_options='low': must be a JSON ob"),
    ],
)
def test_relations_and_wordings(settings, message):
    with pytest.raises(ValueError) as caught:
        check_settings(settings, "x.")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_absent_pictures_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="source='omniglot': its folder"):
        check_settings(Harlow(source="omniglot"))


@dataclass(frozen=True)
class Inner:
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    limit: float = math.inf
    count: int = None
    pair: tuple[int, str] = (1, "a")
    many: Annotated[tuple[float, ...], Len(1, 2)] = (1.0,)
    anything: Any = 1
    either: Annotated[int, Le(3)] | str | None = None
    maybe: Annotated[int | None, Ge(1)] = 1
    derived: int = field(init=False, default=-1)
    is_on: bool = True
    level: Literal[1, 2] = 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": Inner(1)}, "share=1: must be in (0, 1). Set --env.inner.share."),
        ({"limit": -math.inf}, "limit=-inf: must be a finite number. Set --env.limit."),
        ({"count": "3"}, "count='3': must be a whole number, not of type str. Set"),
        ({"pair": (1, 2)}, "pair=(1, 2): must be text, not of type int in every item."),
        ({"pair": (1,)}, "pair=(1,): must be 2 items. Set --env.pair."),
        ({"pair": [1, "a"]}, "pair=[1, 'a']: must be a tuple, not of type list. Set"),
        ({"many": ()}, "many=(): must be 1 items or more and 2 items at most. Set"),
        ({"many": (1.0,) * 3}, "many=(1.0, 1.0, 1.0): must be 1 items or more and 2"),
        ({"anything": math.nan}, "anything=nan: must be a finite number. Set"),
        ({"either": 4}, "either=4: must be at most 3 or text, not of type int. Set"),
        ({"maybe": 0}, "maybe=0: must be at least 1. Set --env.maybe."),
        ({"level": True}, "level=True: must be one of 1, 2. Set --env.level."),
        ({"is_on": 1}, "is_on=1: must be True or False, not of type int. Set"),
    ],
)
def test_a_users_own_settings(changes, message):
    with pytest.raises(ValueError) as caught:
        check_settings(replace(Outer(), **changes), "env.")
    assert str(caught.value).startswith(message)


def test_what_a_users_own_settings_may_hold():
    check_settings(Outer())  # Defaults that are not of their own type are the user's.
    derived = Outer()
    object.__setattr__(derived, "derived", "no flag sets it")
    check_settings(derived)
    for changes in (
        {"limit": 3},
        {"either": "x"},
        {"either": None, "count": 4},
        {"maybe": None},
        {"anything": object()},
    ):
        check_settings(replace(Outer(), **changes))


def test_long_values_are_cut_and_strange_bounds_named():
    with pytest.raises(ValueError) as caught:
        check_settings(Outer(many=(1.0,) * 1000))
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match=r"Predicate.* is none that Tolman checks\. Use"):
        find_problem(3, Annotated[int, Predicate(bool)])

    @dataclass
    class Hidden:
        image: "NotImported" = None  # noqa: F821

    with pytest.raises(ValueError, match="Hidden: the type of a field is not known"):
        check_settings(Hidden())


@pytest.mark.parametrize("game", [Chess, Shogi, Go])
def test_no_game_outlasts_the_numbers_that_count_its_moves(game):
    check_settings(game(max_num_moves=2**15 - 1))
    with pytest.raises(ValueError, match=r"^max_num_moves=32768: must be in .*32767\]"):
        check_settings(game(max_num_moves=2**15))


def test_a_count_has_the_digits_that_its_answer_has():
    check_settings(Sequences(max_digits=999))
    with pytest.raises(ValueError, match=r"^max_digits=1000: must be in \[1, 1000\)"):
        check_settings(Sequences(max_digits=1000))


def test_the_data_that_an_agent_wants_is_checked_where_it_is_built():
    words = "dqn --env two_step --agent.capacity 9 --agent.min-size 10".split()
    with pytest.raises(ValueError, match=r"^capacity=9: must be at least min_size = 10"):
        resolve(parse_train(words)).make_agent(TwoStep())


def test_a_run_is_checked_where_it_is_resolved():
    for words, message in (
        ("--seed=-1", r"^seed=-1: must be in \[0, 4294967296\)\. Set --seed\.$"),
        ("--env.num-trials 0", r"^num_trials=0: must be at least 1\. Set --env\.num-"),
        ("--core.hidden-size -3", r"^hidden_size=-3: .*\. Set --core\.hidden-size\.$"),
        ("--agent.learning-rate inf", r"^learning_rate=inf: .*--agent\.learning-rate\.$"),
        ("--env-timeout inf", r"^env_timeout=inf: must be a finite number\."),
    ):
        with pytest.raises(ValueError, match=message):
            resolve(parse_train(["meta_rl", "--env", "two_step", *words.split()]))
    with pytest.raises(ValueError, match="env 'two_step' takes TwoStep, got dict"):
        resolve(TrainConfig("meta_rl", "two_step", env_config={"num_trials": 3}))
