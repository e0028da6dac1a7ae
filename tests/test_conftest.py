"""How the tests are shared out among processes."""

from types import SimpleNamespace

FILES = [
    "tests/launchers/cluster/test_a.py",
    "tests/envs/test_b.py",
    "tests/launchers/cluster/test_c.py",
    "tests/agents/test_b.py",
    "tests/envs/test_d.py",
]


class Worker:
    """A process that runs nothing; keeps the numbers of the tests that it is sent."""

    shutting_down = False
    gateway = SimpleNamespace(id="")

    def __init__(self):
        self.sent = []

    def send_runtest_some(self, numbers):
        self.sent += numbers

    def shutdown(self):
        self.shutting_down = True


def test_tests_of_one_file_go_to_one_process_in_their_order(pytestconfig):
    """Those of a cluster all to one; a free process takes the file that is next."""
    settings = {"dist": "loadfile", "tx": ["2*popen"]}
    config = SimpleNamespace(
        getvalue=settings.get, option=SimpleNamespace(loadscopereorder=False)
    )
    scheduler = pytestconfig.hook.pytest_xdist_make_scheduler(config=config, log=None)
    workers = [Worker(), Worker()]
    tests = [f"{file}::test[{number}::x@y]" for file in FILES for number in range(3)]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    cluster, other = [0, 1, 2, 6, 7, 8], [3, 4, 5]
    assert [worker.sent for worker in workers] == [cluster, other]
    scheduler.mark_test_complete(workers[1], 3)  # Two tests are left: it is sent more.
    assert [worker.sent for worker in workers] == [cluster, [*other, 9, 10, 11]]
