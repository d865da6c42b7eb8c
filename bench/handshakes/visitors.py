"""Shakes hands, one time after the other: PORT, full or resumed, how often, whom to trust."""

import select
import socket
import ssl
import sys


def main(port, kind, count, trusted):
    context = ssl.create_default_context(cafile=trusted)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session = begin(context, port) if kind == "resumed" else None
    for _ in range(count):
        with shake(context, port, session) as tls:
            if tls.session_reused != (session is not None):
                sys.exit(f"error: {kind} handshakes were expected, and this one was not")


def begin(context, port):
    """A session to resume: its ticket comes after the handshake (RFC 8446 section 4.6.1), and is read with the rest."""
    with shake(context, port, None) as tls:
        select.select([tls], [], [], 1)
        tls.setblocking(False)
        try:
            tls.recv(1)
        except ssl.SSLWantReadError:
            pass
        return tls.session


def shake(context, port, session):
    stream = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(stream, server_hostname="shop.example", session=session)


main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
