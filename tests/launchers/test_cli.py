import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tolman.launchers import check_core, check_env, cli, doctor
from tolman.launchers.runs import failures
from tolman.launchers.settings import process

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


OURS, THEIRS, INSTALLED = failures.__file__, "/home/theirs.py", "/x/site-packages/y.py"
FULL = "import errno; raise OSError(errno.ENOSPC, 'no space')"
LARGE = "import errno; raise OSError(errno.EFBIG, 'too large')"


@pytest.mark.parametrize(
    ("code", "file", "expected"),
    [
        ("raise ValueError('seed=-1: must be 0.')", OURS, ("seed=-1: must be 0.", 2)),
        ("raise FileNotFoundError('a: no run.')", OURS, ("a: no run.", 2)),
        ("raise ValueError('not ours')", INSTALLED, None),
        ("int('x')", OURS, None),
        ("a, b = [1]", OURS, None),
        ("raise KeyError('x')", OURS, None),
        ("{}['x']", "<string>", None),  # What a dataclass generates, say.
        ("{}['x']", THEIRS, ("KeyError: 'x' (/home/theirs.py:1). Mend it there.", 1)),
        ("open('/no/x')", THEIRS, ("FileNotFoundError: [Errno 2] No such file", 1)),
        ("open('/no/x')", OURS, ("/no/x: No such file or directory. Mend that, or", 2)),
        ("raise OSError('of no path')", OURS, None),
        (FULL, INSTALLED, ("the disk is full. Make room, then go on.", 1)),
        (
            LARGE,
            INSTALLED,
            ("a file would be larger than this process may write. Raise", 1),
        ),
        ("raise MemoryError", INSTALLED, ("the memory is full. Set smaller sizes", 2)),
        ("raise RuntimeError('RESOURCE_EXHAUSTED')", INSTALLED, ("the memory is full.", 2)),
        ("2.0**9999", OURS, ("a number is too large: OverflowError: (34, ", 2)),
    ],
)
def test_what_a_command_says_of_an_error(code, file, expected):
    """What Python raises in our code is a fault of ours, and shows its traceback."""
    try:
        exec(compile(code, file, "exec"), {})
    except Exception as error:
        # Without the frame of this test, which is a user's.
        told = failures.message(error.with_traceback(error.__traceback__.tb_next))
    if expected is None:
        assert told is None
    else:
        assert told[0].startswith(expected[0]) and told[1] == expected[1]


def test_a_users_code_leaves_its_traceback_in_the_log(tmp_path):
    """What fails in an evaluation or a film: the line on the terminal, the rest there."""
    log = tmp_path / "log.txt"
    log.write_text("before\n")

    def run(code, file):
        with failures.explained(log):
            exec(compile(code, file, "exec"), {})

    with pytest.raises(failures.FailedCodeError) as raised:
        run("def step(): return {}['x']\nstep()", THEIRS)
    assert str(raised.value) == (
        f"KeyError: 'x' (/home/theirs.py:1). The whole traceback is in {log}."
    )
    before, first, *_, last = log.read_text().splitlines()
    assert (before, last) == ("before", "KeyError: 'x'") and first.startswith("Traceback")
    with pytest.raises(failures.RunFailure, match=r"^told\.$"):
        run("from tolman.launchers.runs.failures import *; raise RunFailure('told.')", OURS)
    assert log.read_text().count("Traceback") == 1


def test_a_terminal_that_knows_ascii_alone_gets_everything():
    code = "from tolman.launchers.cli import main; main(['bench', '\u00b2'])"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert r"bench '\xb2' is unknown" in told.stderr and "Traceback" not in told.stderr


def test_a_reader_that_ends_early_ends_the_command():
    code = "from tolman.launchers.cli import main; import sys; sys.exit(main(['list']))"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 128 + 13


def test_exit_code_reaches_the_shell():
    code = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", code, "trian"], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("tolman: error: verb 'trian' is unknown")


def test_bug_shows_its_traceback(tolman, monkeypatch):
    for bug in ("int('x')", "{}['x']"):
        namespace = {}
        exec(compile(f"def bug(): {bug}", failures.__file__, "exec"), namespace)
        monkeypatch.setattr(doctor, "doctor", namespace["bug"])
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


def test_doctor_tells_why_jax_sees_no_accelerator(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "no accelerator: JAX_PLATFORMS rules it out" in doctor._devices().found
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path / "none")
    assert "no accelerator: no driver of NVIDIA's is here" in doctor._devices().found
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path)
    finding = doctor._devices()
    assert "jax's plugin is not" in finding.found and "tolman[cuda]" in finding.advice


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
    _, out, _ = tolman("list", "probes")  # Longer names make the column wider.
    starts = {
        len(line) - len(line[2:].split(maxsplit=1)[1]) for line in out.splitlines()[1:]
    }
    assert starts == {len("  llm_probe/content_effects ")}


def test_check_env_prints_what_it_checked(tolman, monkeypatch):
    from tolman.envs.meta_rl import TwoStep

    monkeypatch.setattr(check_env, "check_environment", lambda env: [str(env), "all well"])
    lines = [
        str(TwoStep()),
        "all well",
        "enters a network: observation: 4 numbers as they are",
        "is chosen: action: one of 2",
    ]
    assert tolman("check-env", "two_step") == (0, "\n".join(lines), [])


def test_check_core_tells_what_it_measured(tolman, monkeypatch):
    seen = []

    def check(make_core, **told):
        seen.append(told)
        return {"holds": 1e-7}

    monkeypatch.setattr(check_core, "check_core", check)
    monkeypatch.setattr(check_core, "steps_in_reach", lambda core, steps: steps)
    words = ("--core.hidden-size", "4", "--long-run", "7", "--reference", "numpy:clip")
    code, out, errors = tolman("check-core", "gru", *words)
    assert (code, errors) == (0, [])
    assert out.splitlines() == [
        "holds: 1.0e-07",
        "an input reaches 200 steps and perhaps more",
    ]
    assert seen[0]["long_run"] == 7
    assert seen[0]["reference"]([1.0, 0.2], None, 0.5).tolist() == [0.5, 0.2]
    monkeypatch.setattr(check_core, "steps_in_reach", lambda core, steps: steps - 1)
    assert tolman("check-core", "gru")[1].endswith("reaches 199 steps")
    monkeypatch.setattr(check_core, "steps_in_reach", lambda core, steps: 0)
    assert tolman("check-core", "gru")[1].endswith("no later step: it remembers nothing")
    assert seen[-1] == {"long_run": 100_000, "reference": None}


def test_check_core_names_the_fault_of_a_core(tolman):
    code, _, errors = tolman("check-core", "bad_cores:ResetsARowLate")
    assert code == 2
    assert "'nothing leaks across a reset' does not hold" in errors[0]
    code, _, errors = tolman("check-core", "gru", "--reference", "bad_cores:NUMBER")
    assert code == 2
    assert "reference 'bad_cores:NUMBER': is of type int; must be a function" in errors[0]
    code, _, errors = tolman("check-core", "bad_cores:Raises")
    assert code == 2
    assert "core 'bad_cores:Raises': it raised KeyError: 'nothing'" in errors[0]


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
    flag = process.FORCE_CPU_DEVICES
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
