"""A replay can be reached at its own address, and not from other machines."""

import socket

import pytest
import reverb

from tolman.launchers.host.reverb.listening import accept_only


@pytest.fixture
def server():
    server = reverb.Server([reverb.Table.queue("items", 10)])
    yield server
    server.stop()


def connects(host, port):
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError:
        return False
    return True


def own_address():
    """An address of this machine that is not loopback; the probe sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return probe.getsockname()[0]


def test_loopback_only(server):
    own = own_address()
    assert connects(own, server.port)  # Reverb's default, which is what is mended.
    accept_only(server.port, "localhost")
    assert not connects(own, server.port)
    assert connects("127.0.0.1", server.port) and connects("::1", server.port)
    client = reverb.Client(f"localhost:{server.port}")
    client.insert([1.0], {"items": 1.0})
    assert client.server_info()["items"].current_size == 1


def test_an_address_of_its_own(server):
    own = own_address()
    accept_only(server.port, own)
    assert connects(own, server.port) and connects("127.0.0.1", server.port)
    assert not connects("127.0.0.2", server.port)
