import errno
import gc
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.runs.checkpoints import (
    Checkpoints,
    check_finite,
    check_space,
    flush,
    save_arrays,
)


class State(NamedTuple):
    params: dict
    key: jax.Array
    typed_key: jax.Array
    done: jax.Array
    half: jax.Array
    count: int


def make_state(seed=0):
    key = jax.random.PRNGKey(seed)
    params = {"w": jax.random.normal(key, (3, 2)), "b": [jnp.float32(np.nan), jnp.zeros(0)]}
    typed = jax.random.key(seed)
    return State(
        params, key, typed, jnp.array([True, False]), jnp.ones(2, jnp.bfloat16), seed
    )


def same_bits(left, right):
    def raw(leaf):
        is_key = jnp.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(
        raw(a).dtype == raw(b).dtype and raw(a).tobytes() == raw(b).tobytes()
        for a, b in pairs
    )


def test_restores_every_bit_and_type(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.latest() is None
    checkpoints.save(10, make_state(3), {"seconds": 1.5})
    restored = checkpoints.restore(make_state(0))
    assert (restored.units, restored.metadata) == (10, {"seconds": 1.5})
    assert same_bits(restored.state, make_state(3))
    assert type(restored.state) is State


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Else a power cut could leave a checkpoint that is none."""
    flushed, fsync = [], os.fsync

    def note(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        size = path.stat().st_size if path.is_file() else None
        place = path.relative_to(tmp_path.resolve()).as_posix()
        flushed.append((place, size, (tmp_path / "7").exists()))
        fsync(descriptor)

    def add(folder):
        (folder / "replay").write_text("")
        flush(folder / "replay")

    monkeypatch.setattr(os, "fsync", note)
    Checkpoints(tmp_path).save(7, make_state(), {}, add)
    size = (tmp_path / "7" / "state.npz").stat().st_size
    assert flushed == [
        ("7.unfinished/state.npz", size, False),
        ("7.unfinished/replay", 0, False),
        ("7.unfinished", None, False),
        (".", None, True),
    ]


def test_keeps_the_latest(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for env_steps in (5, 20, 100):
        checkpoints.save(env_steps, make_state(env_steps), {})
    assert checkpoints.steps() == [20, 100]
    assert checkpoints.latest() == 100
    assert checkpoints.restore(make_state(), 20).state.count == 20


def test_one_checkpoint_more_than_are_kept_must_fit(tmp_path, monkeypatch):
    """The oldest goes only when the new one is there."""
    checkpoints = Checkpoints(tmp_path / "run", keep=3)
    state = {"w": np.zeros(1000)}
    checkpoints.save(1, state, {})
    size = checkpoints.size_of_last()  # A little above 8000.

    def check(free):
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": free}))
        check_space(tmp_path, state, checkpoints, num_kept=3)

    check(3 * size)  # Four in all, of which one is there.
    with pytest.raises(ValueError, match="the checkpoints need "):
        check(3 * size - 1)
    for units in (2, 3, 4):
        checkpoints.save(units, state, {})
    check(size)
    with pytest.raises(ValueError, match="Make room"):
        check(size - 1)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_byte, cut_in_half, os.remove])
def test_broken_checkpoint_costs_a_line_and_the_one_before_is_used(
    damage, tmp_path, caplog
):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(1), {})
    checkpoints.save(2, make_state(2), {})
    damage(tmp_path / "2" / "state.npz")
    restored = checkpoints.restore(make_state())
    assert restored.units == 1
    assert same_bits(restored.state, make_state(1))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{tmp_path / '2'}: broken checkpoint, not used (")

    checkpoints.set_aside_after(1)
    assert checkpoints.steps() == [1]
    checkpoints.save(2, make_state(2), {})
    assert checkpoints.restore(make_state()).units == 2

    damage(tmp_path / "2" / "state.npz")
    damage(tmp_path / "1" / "state.npz")
    with pytest.raises(
        ValueError, match="every checkpoint is broken; nothing was changed"
    ) as told:
        checkpoints.restore(make_state())
    assert str(told.value).endswith(f"Remove {tmp_path.parent} to begin anew.")
    assert checkpoints.steps() == [1, 2]


def test_any_flipped_byte_is_noticed_or_harmless(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(1), {})
    checkpoints.save(2, make_state(2), {})
    path = tmp_path / "2" / "state.npz"
    sound = path.read_bytes()
    for place in random.Random(0).sample(range(len(sound)), 200):
        data = bytearray(sound)
        data[place] ^= 0x10
        path.write_bytes(bytes(data))
        restored = checkpoints.restore(make_state())
        assert same_bits(restored.state, make_state(restored.units))


def test_wrong_template_names_the_leaf(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(1), {})
    other = make_state()
    with pytest.raises(ValueError, match=r"leaf \.done is bool\[2\].*bool\[3\]"):
        checkpoints.restore(other._replace(done=jnp.zeros(3, bool)))
    with pytest.raises(ValueError, match=r"another agent, core or environment.*'v'"):
        checkpoints.restore(other._replace(params={"v": other.params["w"]}))
    renamed = {"v": other.params["w"], "b": other.params["b"]}  # As many leaves.
    with pytest.raises(ValueError, match=r"another agent, core or environment.*'v'"):
        checkpoints.restore(other._replace(params=renamed))
    with pytest.raises(ValueError, match=r"leaf \.done is bool\[2\].*make it int8\[2\]"):
        checkpoints.restore(other._replace(done=jnp.zeros(2, jnp.int8)))
    with pytest.raises(ValueError, match=r"leaf \.count of the state is a object"):
        checkpoints.save(2, other._replace(count=object()), {})
    assert checkpoints.steps() == [1]


def test_a_part_is_not_another_whose_name_begins_alike(tmp_path):
    class Two(NamedTuple):
        params: dict
        params_before: dict

    Checkpoints(tmp_path).save(1, Two({"w": np.ones(2)}, {"w": np.zeros(2)}), {})
    restored = Checkpoints(tmp_path).restore({"w": np.zeros(2)}, part=".params")
    np.testing.assert_array_equal(restored.state["w"], 1.0)


def test_a_population_is_sound_while_one_member_is():
    params = {"a": np.array([np.nan, 1.0, 1.0]), "b": np.array([1.0, np.inf, 1.0])}
    check_finite(params, 3)
    params["b"][2] = np.nan
    with pytest.raises(ValueError, match=r"^parameter \['a'\] is not finite$"):
        check_finite(params, 3)


def test_updates_are_told_of_the_last_that_can_be_read(tmp_path):
    class Counted(NamedTuple):
        updates: np.ndarray

    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.peek() == (0, {})
    for units in (10, 20, 30):
        checkpoints.save(units, Counted(np.array([units // 10])), {})
    assert checkpoints.peek()[0] == 3
    cut_in_half(tmp_path / "30" / "state.npz")
    assert checkpoints.peek()[0] == 2


def test_nothing_to_restore(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Checkpoints(tmp_path).restore(make_state())
    Checkpoints(tmp_path).save(1, make_state(), {})
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 7; there are \[1\]"):
        Checkpoints(tmp_path).restore(make_state(), 7)


SAVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from tolman.launchers.runs.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), keep=1)
for step in itertools.count((checkpoints.latest() or 0) + 1):
    checkpoints.save(step, {"x": np.full(100_000, step)}, {"step": step})
"""


def test_killed_while_saving_leaves_a_sound_checkpoint(tmp_path):
    template = {"x": np.zeros(100_000, int)}
    checkpoints, last = Checkpoints(tmp_path, keep=1), 0
    delays = random.Random(1)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)])
        deadline = time.monotonic() + 60
        while (checkpoints.latest() or 0) < last + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delays.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        restored = checkpoints.restore(template)
        assert restored.units == restored.metadata["step"] == checkpoints.latest() > last
        assert (restored.state["x"] == restored.units).all()
        last = restored.units


class FullDisk(io.BytesIO):
    """Takes 2000 bytes."""

    def write(self, data):
        if self.tell() + len(data) > 2000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_one_error_and_no_traceback(monkeypatch):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with pytest.raises(OSError, match="No space left"), FullDisk() as file:
        save_arrays(file, {"a": np.zeros(1000)})
    gc.collect()
    assert ignored == []
