"""Mistakes that are told in one line, before anything is written or started."""

import signal
import socket
from pathlib import Path

import pytest

from tolman.launchers.cluster import connection, runner
from tolman.launchers.cluster.connection import Roles, stage
from tolman.launchers.runs.job import resolve
from tolman.launchers.runs.stopping import stop_request
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig

# Its specs are known without Ray: what can be refused is refused before Ray starts.
COMMAND = "train actor_critic --env two_step --core feedforward --launcher"


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--agent.off-policy-correction", "none"],
            "agent 'actor_critic' learns from its own latest policy only, as it is set: "
            "actors in processes of their own are behind it. Set "
            "--agent.off-policy-correction vtrace, or --launcher local.",
        ),
        (
            ["--actors", "2", "--replay-shards", "3"],
            "replay_shards=3: must be at most the 2 actors, each of which writes to one. "
            "Set --replay-shards or --actors.",
        ),
        (
            ["--num-envs", "3"],
            "num_envs=3: must divide the batch of 32 sequences. Set --num-envs or "
            "--agent.batch-size.",
        ),
        (
            ["--address", "somewhere"],
            "address='somewhere': must be auto or host:port, as `ray start --head` says "
            "it. Set --address.",
        ),
        (
            ["--address", f"localhost:{free_port()}"],
            "no Ray cluster is there. Start one with `ray start --head`, or leave "
            "--address out for one on this machine.",
        ),
    ],
)
def test_one_line(tolman, tmp_path, words, message):
    code, _, errors = tolman(*COMMAND.split(), "ray", *words, "--run-dir", tmp_path / "run")
    assert code == 2, errors
    assert errors[-1].endswith(message)
    assert not (tmp_path / "run").exists()


def test_a_run_of_games_that_is_over_before_its_first_update(tolman, tmp_path):
    words = """train gumbel_alphazero --env tic_tac_toe --launcher ray --actors 3
    --agent.num-parallel-games 8 --agent.moves-per-iteration 5""".split()
    words += ["--run-dir", tmp_path / "run", "--num-env-steps"]
    for least, steps, own in ((120, 119, 100), (200, 199, 200)):
        code, _, errors = tolman(*words, steps, "--agent.min-positions", own)
        assert code == 2
        assert (
            f"num_env_steps={steps}: must be at least {least}: 3 actors make" in errors[-1]
        )
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("launcher, expected", [("ray", "vtrace"), ("local", "none")])
def test_the_correction_follows_the_launcher_unless_it_is_set(launcher, expected):
    words = [*COMMAND.split()[1:], launcher]
    config = resolve(parse_train(words)).config
    assert config.agent_config.off_policy_correction == expected
    assert resolve(config).config == config
    words += ["--agent.off-policy-correction", "vtrace"]
    assert resolve(parse_train(words)).config.agent_config.off_policy_correction == "vtrace"


def test_settings_of_another_launcher(tolman):
    code, _, errors = tolman(*COMMAND.split(), "local", "--actors", "3")
    assert code == 2
    assert errors[-1] == (
        "tolman: error: actors=3: launcher 'local' has no such setting. Leave --actors out."
    )


def test_a_process_each_is_a_cpu_each():
    roles = Roles(actors=3, shards=2, evaluators=1, gpus=1)
    assert roles.cpus == 3 + 2 + 1 + 1
    assert str(roles) == "3 actors, 2 replay servers, 1 learner, 1 evaluators"


def test_evaluations_between_rows_are_the_drivers():
    words = [*COMMAND.split()[1:], "ray"]
    counts = {}
    for more in ((), ("--eval-every", "100"), ("--eval-episodes", "0")):
        roles = runner._roles(resolve(parse_train([*words, *more])).config)
        counts[more] = roles.evaluators
    assert [*counts.values()] == [1, 0, 0]
    with pytest.raises(ValueError, match=r"^eval_greedy=True: there are no evaluations"):
        resolve(parse_train([*words, "--eval-greedy"]))


def test_code_for_other_machines_is_one_whole_folder(tmp_path):
    import tolman.launchers

    code = stage(tmp_path)
    assert code == tmp_path / "tolman" and not (code / "__init__.py").exists()
    source = Path(tolman.launchers.__path__[0])
    for path in source.rglob("*.py"):
        copy = code / "launchers" / path.relative_to(source)
        assert copy.read_bytes() == path.read_bytes()
    assert {path.name for path in code.iterdir()} == {
        *("agents", "envs", "networks", "launchers")
    }


def test_defaults_say_none():
    config = TrainConfig("a", "e")
    assert (config.actors, config.address, config.eval_episodes) == (0, None, None)


def test_ray_does_not_take_the_signal_that_stops_a_run(monkeypatch):
    def init(**settings):
        signal.signal(signal.SIGTERM, lambda number, frame: None)

    monkeypatch.setattr(connection.ray, "init", init)
    monkeypatch.setattr(connection, "_check_room", lambda roles: None)
    config = TrainConfig("dqn", "two_step")
    with stop_request() as stop:
        assert connection.connect(config, Roles(1, 1, 0, 0))
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM


def test_a_ray_that_does_not_start_is_one_line(monkeypatch):
    attempts = []

    def init(**settings):
        attempts.append(settings)
        raise Exception("The current node timed out during startup.\nSee the logs.")

    monkeypatch.setattr(connection.ray, "init", init)
    with pytest.raises(ValueError, match="did not start on this machine") as caught:
        connection.start(num_cpus=2)
    assert "timed out during startup" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(attempts) == 2


def test_a_ray_that_was_too_slow_once_is_started_again(monkeypatch):
    attempts = []

    def init(**settings):
        attempts.append(settings)
        if len(attempts) == 1:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(connection.ray, "init", init)
    connection.start(num_cpus=2)
    assert len(attempts) == 2


@pytest.mark.parametrize("address", [None, "auto"])
def test_processes_of_ray_run_where_tolman_is_installed(monkeypatch, address):
    """Also under `uv run`, where Ray would build an environment for each start."""
    enabled = []

    def init(**settings):
        enabled.append(connection.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)

    monkeypatch.setattr(connection.ray, "init", init)
    monkeypatch.setattr(connection.ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", True)
    if address is None:
        connection.start(num_cpus=1)
    else:
        connection.join(address)
    assert enabled == [False] and connection.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
