"""HOST:PORT of process 0, checked, resolved and bound before JAX does, which would end the process
instead."""

import errno
import ipaddress
import os
import platform
import re
import socket
from typing import NamedTuple

from lbexp.errors import Refusal


class Address(NamedTuple):
    """Where process 0 of a job listens."""

    host: str
    port: int

    def __str__(self):
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'{host}:{self.port}'


class Unbindable(Exception):
    """This process cannot listen there; the message says why."""


def address(text: str) -> Address:
    """The address that a flag or a launcher gives.

    Raises:
        Refusal: it is none.
    """
    match = re.fullmatch(r'(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:/\[\]]+)):(\d{1,5})', text)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise Refusal(
            f'--coordinator_address: found {text!r}; allowed: HOST:PORT of process 0, with a '
            'port of 1 to 65535 ([HOST]:PORT for an IPv6 address)'
        )
    return Address(match[1] or match[2], int(match[3]))


def resolve(where: Address) -> list[tuple]:
    """(family, socket address) by which it can be reached, IPv4 first; OSError: the name does not
    resolve."""
    results = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    pairs = dict.fromkeys((family, target) for family, _, _, _, target in results)
    return sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)


def listen(where: Address) -> socket.socket:
    """A socket that listens at the address alone.

    At all interfaces where a host knows its own name only as a loopback address, as Debian sets it
    up: others know another. Behind an address translation JAX_COORDINATOR_BIND_ADDRESS, JAX's own
    variable, says where to listen.

    Raises:
        Unbindable: the port is in use, or the address is not one of this host.
        OSError: the name does not resolve.
    """
    override = os.environ.get('JAX_COORDINATOR_BIND_ADDRESS')
    if override:
        where = address(override)
    targets = resolve(where)
    if not _is_literal(where.host) and _are_loopback(targets):
        targets = [_all_interfaces(where.port)]
    first_failure = None
    for family, target in targets:
        try:
            return _listen(family, target)
        except OSError as error:
            first_failure = first_failure or error
    raise Unbindable(_explain(where, first_failure)) from first_failure


def numeric(target: tuple) -> Address:
    """A socket address as one that needs no name service; for all interfaces, the loopback one."""
    host = {'::': '::1', '0.0.0.0': '127.0.0.1'}.get(target[0], target[0])
    return Address(host, target[1])


def _listen(family, target):
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            # '::' alone stands for all interfaces, those of IPv4 too.
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(target[0] != '::'))
        # What a job just ended has left behind does not count; who listens does.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(target)
        server.listen(1024)
    except OSError:
        server.close()
        raise
    return server


def _is_literal(host):
    if host == 'localhost':
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _are_loopback(targets):
    return all(ipaddress.ip_address(target[0]).is_loopback for _, target in targets)


def _all_interfaces(port):
    if socket.has_dualstack_ipv6():
        return socket.AF_INET6, ('::', port, 0, 0)
    return socket.AF_INET, ('0.0.0.0', port)


def _explain(where, error):
    if error.errno == errno.EADDRINUSE:
        return f'port {where.port} of {where.host!r} is in use; allowed: a free port'
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f'{where.host!r} is not an address of host {platform.node()}, where process 0 runs; '
            'allowed: one of its own (or JAX_COORDINATOR_BIND_ADDRESS=HOST:PORT, where it is '
            'reached by another)'
        )
    return (
        f'cannot listen there: {error.strerror or error}; allowed: an address where process 0 '
        'may listen'
    )
