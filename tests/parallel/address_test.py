"""Where process 0 of a job listens, and the messages that pass there."""

import socket

import pytest

from lbexp.errors import Refusal
from lbexp.parallel import address as addresses
from lbexp.parallel.address import Address, Unbindable, address, listen, numeric
from lbexp.parallel.wire import Wire, wait

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    'text, host, port',
    [
        ('10.0.0.1:1234', '10.0.0.1', 1234),
        ('node-3.cluster.local:8476', 'node-3.cluster.local', 8476),
        ('[::1]:65535', '::1', 65535),
        ('[fe80::1%eth0]:1', 'fe80::1%eth0', 1),
    ],
)
def test_an_address(text, host, port):
    assert address(text) == Address(host, port)
    assert str(address(text)) == text


@pytest.mark.parametrize(
    'text', ['', 'localhost', ':80', 'a:', 'a:b', 'a:0', 'a:65536', '::1:80', 'a b:80', '[::1]80']
)
def test_no_address(text):
    with pytest.raises(Refusal, match='allowed: HOST:PORT'):
        address(text)


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def test_it_listens_at_the_address_alone():
    port = free_port()
    with listen(Address('127.0.0.1', port)) as server, listen(Address('127.0.0.2', port)):
        assert server.getsockname()[:2] == ('127.0.0.1', port)
        with pytest.raises(Unbindable, match=f'port {port} .* is in use'):
            listen(Address('localhost', port))


def test_a_name_that_is_loopback_only_on_its_own_host(monkeypatch):
    """Debian gives a host's own name 127.0.1.1; others know another address of it."""
    port = free_port()
    monkeypatch.setattr(
        addresses, 'resolve', lambda where: [(socket.AF_INET, ('127.0.1.1', where.port))]
    )
    with listen(Address('node-3', port)) as server:
        assert server.getsockname()[0] in ('::', '0.0.0.0')
        reached = numeric(server.getsockname())
        assert reached.host in ('::1', '127.0.0.1')
        socket.create_connection(('127.0.0.3', port)).close()


def test_jaxs_variable_says_where_to_listen_behind_a_translation(monkeypatch):
    port = free_port()
    monkeypatch.setenv('JAX_COORDINATOR_BIND_ADDRESS', f'127.0.0.2:{port}')
    with listen(Address('192.0.2.1', 80)) as server:
        assert server.getsockname()[:2] == ('127.0.0.2', port)


def test_messages_arrive_whole_and_rubbish_ends_them():
    with socket.create_server(('127.0.0.1', 0)) as server:
        sender = socket.create_connection(server.getsockname())
        wire = Wire(server.accept()[0])
    assert wire.receive() == [] and not wait([wire], 0)
    for sent, received, closed in [
        (b'{"a": 1}\n{"b": ', [{'a': 1}], False),
        (b'[2]}\n', [{'b': [2]}], False),
        (b'GET / HTTP/1.1\n', [], True),
    ]:
        sender.sendall(sent)
        assert wait([wire], 30)
        assert wire.receive() == received and wire.closed == closed
    wire.close()
    sender.close()
