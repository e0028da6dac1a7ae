import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tolman.launchers import check_env, cli, doctor
from tolman.launchers.runs import failures

HELP = "from tolman.launchers.cli import main; main(['--help'])"
HEAVY = "jax tensorflow haiku orbax matplotlib numpy gymnasium rlax torch"


def seconds(code):
    def once():
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return min(once() for _ in range(5))


def test_help_takes_less_than_a_second():
    assert seconds(HELP) - seconds("pass") < 1.0


def test_help_imports_nothing_heavy():
    code = f"{HELP}; import sys; print(sorted(set('{HEAVY}'.split()) & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert out.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb, tolman):
    code, out, errors = tolman(verb, "--help")
    assert (code, errors) == (0, [])
    assert out.startswith(f"usage: tolman {verb}")
    assert verb in tolman("--help")[1]


def test_train_help_shows_the_settings_of_what_is_named(tolman):
    _, out, _ = tolman("train", "meta_rl", "--env", "bandit/independent", "--help")
    for flag in ("--agent.learning-rate", "--core.hidden-size", "--env.num-arms", "--seed"):
        assert flag in out


@pytest.mark.parametrize(
    "words, message",
    [
        ("trian", "verb 'trian' is unknown (did you mean 'train'?)"),
        ("train", "AGENT is missing"),
        ("train meta_rl --env tow_step", "(did you mean 'two_step'?)"),
        (
            "train meta_rl --env CartPole-v1 --launcher on-device",
            "lives on the host: launcher 'on-device' cannot run it. Set --launcher local.",
        ),
        ("train meta_rl --env two_step --num-envs 4", "Leave --num-envs out."),
        (
            "train meta_rl --env two_step --launcher local --num-devices 2",
            "Leave --num-devices out.",
        ),
        ("train meta_rl --env CartPole-v2", "(did you mean 'CartPole-v"),
        (
            "train meta-rl --env two_step",
            "agent 'meta-rl' is unknown (did you mean 'meta_rl'",
        ),
        ("train meta_rl --env two_step --core lstn", "(did you mean 'lstm'?)"),
        (
            "train meta_rl --env two_step --cor lstm",
            "flag --cor is unknown (did you mean '--co",
        ),
        ("train meta_rl --env two_step --agent.batch-size -1", "batch_size=-1"),
        (f"train meta_rl --env two_step --num-env-steps {10**20}", "must be at most 2147"),
        ("train meta_rl --env two_step --num-devices 99", "num_devices=99: there are"),
        ("train meta_rl --env two_step --config no.yaml", "no.yaml: no such file."),
        (
            "train meta_rl --env two_step --loggers my_logger",
            "logger 'my_logger' is unknown",
        ),
        ("resume no_run", "no_run: no such run folder."),
        ("resume .", ".: is no run folder, it has no config.yaml."),
        ("eval", "Missing from tolman eval: PATH"),
        ("eval x --num-episode 3", "(did you mean '--num-episodes'?)"),
        ("eval x --seed much", "seed='much': must be a whole number. Set --seed."),
        ("study meta_rl/two_stp", "study 'meta_rl/two_stp' is unknown"),
        ("bench on_devic", "bench 'on_devic' is unknown"),
        ("report", "FOLDERS are missing"),
        ("list core", "group 'core' is unknown (did you mean 'cores'?)"),
        ("check-env no_module:Env", "importing no_module failed"),
        ("check-env NoSuchGame-v0", "env 'NoSuchGame-v0'"),
        ("check-env unittest:TestCase.boom", "TestCase.boom"),
        ("check-env asyncio:get_running_loop", "making it raised RuntimeError"),
        ("tournament hex random asyncio:get_running_loop", "calling it raised Runtime"),
        ("doctor now", "now"),
    ],
)
def test_mistake_is_one_line_and_leaves_nothing(words, message, tolman, tmp_path):
    code, out, errors = tolman(*words.split())
    assert (code, out) == (2, "")
    (line,) = errors
    assert line.startswith("tolman: error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "file", "expected"),
    [
        ("raise ValueError('seed=-1: must be at least 0.')", failures.__file__, 2),
        ("raise FileNotFoundError('runs/a: no such run folder.')", failures.__file__, 2),
        ("raise ValueError('not ours')", "theirs.py", None),
        ("int('x')", failures.__file__, None),
        ("a, b = [1]", failures.__file__, None),
        ("raise KeyError('x')", failures.__file__, None),
    ],
)
def test_a_mistake_is_what_our_code_raised_on_purpose(code, file, expected):
    """What Python raises in our code is a fault of ours, and shows its traceback."""
    with pytest.raises(Exception) as raised:
        exec(compile(code, file, "exec"), {})
    assert failures.exit_code(raised.value) == expected


def test_exit_code_reaches_the_shell():
    code = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", code, "trian"], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("tolman: error: verb 'trian' is unknown")


def test_bug_shows_its_traceback(tolman, monkeypatch):
    for bug in (lambda: int("x"), lambda: {}["x"]):
        monkeypatch.setattr(doctor, "doctor", bug)
        with pytest.raises((ValueError, KeyError)):
            tolman("doctor")


def test_keyboard_interrupt_is_one_line(tolman, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "doctor", interrupt)
    assert tolman("doctor") == (130, "", ["tolman: error: interrupted."])


def test_doctor_advises_and_fails_where_something_is_missing(tolman, monkeypatch, tmp_path):
    finding = doctor.Finding("host", "was looked at")  # What it finds: the next tests.
    monkeypatch.setattr(doctor, "_host_packages", lambda: finding)
    monkeypatch.delenv("TOLMAN_DATA", raising=False)
    code, out, _ = tolman("doctor")
    assert code == 0, out
    assert "+ devices: " in out
    assert ("+ host: was looked at" in out) == (sys.version_info < (3, 12))
    monkeypatch.setenv("TOLMAN_DATA", str(tmp_path / "nowhere"))
    code, out, _ = tolman("doctor")
    assert code == 1
    assert "Correct or unset TOLMAN_DATA." in out


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Reverb has no build there.")
def test_doctor_finds_the_host_runners_packages():
    finding = doctor._host_packages()
    assert finding.found.startswith("import in ") and not finding.advice


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Reverb has no build there.")
def test_doctor_tells_why_host_packages_do_not_import(monkeypatch):
    monkeypatch.setattr(doctor, "HOST_PACKAGES", "no_such_package")
    finding = doctor._host_packages()
    assert "No module named 'no_such_package'" in finding.found
    assert finding.advice


def test_list_names_everything_with_a_line(tolman):
    code, out, _ = tolman("list")
    assert code == 0
    for title in ("agents:", "envs:", "cores:", "studies:", "benches:"):
        assert title in out.splitlines()
    _, out, _ = tolman("list", "cores")
    assert "  lstm                   Long short-term memory." in out.splitlines()
    assert "agents:" not in out


def test_check_env_prints_what_it_checked(tolman, monkeypatch):
    from tolman.envs.meta_rl import TwoStep

    monkeypatch.setattr(check_env, "check_environment", lambda env: [str(env), "all well"])
    said = f"{TwoStep()}\nall well\nenters a network: observation: 4 numbers as they are"
    assert tolman("check-env", "two_step") == (0, said, [])


def test_verbs_hand_their_words_to_one_function(tolman, monkeypatch):
    from tolman.launchers import report
    from tolman.launchers.benches import bench
    from tolman.launchers.studies import study

    seen = []
    monkeypatch.setattr(study, "run_study", lambda *given: seen.append(given) or 1)
    monkeypatch.setattr(bench, "run_bench", lambda *given: seen.append(given) or 0)
    monkeypatch.setattr(report, "write_report", lambda *given: seen.append(given) or "page")
    assert tolman("study", "a/b", "--quick", "--seed", "3", "--out", "x")[0] == 1
    assert tolman("bench", "c", "--json")[0] == 0
    assert tolman("report", "r1", "r2", "--out", "p.html")[:2] == (0, "page")
    assert seen == [
        ("a/b", True, 3, Path("x"), None),
        ("c", True),
        ([Path("r1"), Path("r2")], Path("p.html")),
    ]


def test_cpu_devices_are_forced_unless_the_user_says_otherwise(tolman, monkeypatch):
    flag = cli.FORCE_CPU_DEVICES
    for before, after in (
        (None, f"{flag}={os.cpu_count()}"),
        ("--xla_other", f"--xla_other {flag}={os.cpu_count()}"),
        (f"{flag}=7", f"{flag}=7"),
    ):
        if before is None:
            monkeypatch.delenv("XLA_FLAGS", raising=False)
        else:
            monkeypatch.setenv("XLA_FLAGS", before)
        tolman("list", "--help")
        assert os.environ["XLA_FLAGS"] == after
