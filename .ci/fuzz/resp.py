"""Sends a node's listener of the Redis protocol what no client sends, for some seconds.

Called by `cluster`. Streams of commands are cut, repeated, flipped and mixed with noise, sent in
pieces of any size, and left open, closed or reset. Whatever the node says must be answers of the
protocol, and at any time a fresh connection's PING must be answered. Prints its seed: an argument
`FLASHNODE_FUZZ_SEED` plays the same streams again.
"""

import os
import random
import socket
import struct
import threading
import time

SECONDS = 15
THREADS = 8
# Between two looks whether a fresh connection is answered.
STREAMS_A_LOOK = 20
PATIENCE_S = 10
# What is read of one connection before it is given up.
ANSWER_BYTES_MAX = 1 << 20
KEYS = [b"stok", b"mug", b"a:b", b"", b"no key", b"\xff\xfe", b"x" * 65, b"k" * 5_000]
NUMBERS = [b"0", b"1", b"-1", b"7", b"1000000000000", b"9223372036854775807", b"-9223372036854775808", b"1e3", b""]
NAMES = (
    b"PING ECHO HELLO AUTH SELECT CLIENT COMMAND INFO QUIT GET MGET SET EXISTS TYPE DEL DECR DECRBY "
    b"INCR INCRBY SUBSCRIBE UNSUBSCRIBE MULTI EXEC DISCARD EVAL FLUSHALL"
).split()
WORDS = [b"2", b"3", b"NX", b"XX", b"EX", b"SETNAME", b"GETNAME", b"ID", b"DOCS", b"COUNT", b"stock:mug", b"stock:", b"AUTH"]
NOISE = [b"*1\r\n", b"*1024\r\n", b"*1025\r\n", b"*-1\r\n", b"*0\r\n", b"$-1\r\n", b"$65536\r\n", b"$4294967296\r\n",
         b"*99999999999999999999\r\n", b"\r\n", b"\n", b"\0", b":1\r\n", b"+OK\r\n", b"%1\r\n", b">1\r\n", b"_\r\n",
         b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PING\r\n"]


def command(rng):
    words = [rng.choice(NAMES)]
    if rng.random() < 0.3:
        words[0] = words[0].lower()
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 5, 40])):
        words.append(rng.choice(rng.choice([KEYS, NUMBERS, WORDS])))
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def mutated(rng, text):
    text = bytearray(text)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        at = rng.randrange(len(text) + 1)
        what = rng.randrange(6)
        if what == 0 and at < len(text):
            text[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            text[at:at] = rng.choice(NOISE)
        elif what == 2:
            del text[at : at + rng.randrange(1, 9)]
        elif what == 3:
            text[at:at] = text[at : at + rng.randrange(1, 200)]
        elif what == 4:
            text[at:at] = rng.randbytes(rng.randrange(1, 50))
        else:
            del text[at:]
    return bytes(text)


def stream(rng):
    commands = [command(rng) for _ in range(rng.choice([1, 1, 3, 10, 60, 400]))]
    text = b"".join(commands)
    return mutated(rng, text) if rng.random() < 0.8 else text


def pieces(rng, text):
    size = rng.choice([1, 3, 17, 1_460, 70_000])
    # A byte at a time of much takes longer than it is worth.
    size = max(size, len(text) // 2_000)
    return [text[at : at + size] for at in range(0, len(text), size)]


def answer_end(text, at):
    """Where the answer at this place ends; none when it is not whole. Raises where it is none."""
    line_end = text.find(b"\r\n", at)
    if line_end < 0:
        if at < len(text) and text[at : at + 1] not in b"+-:$*%>_":
            raise ValueError(f"no answer begins with {text[at : at + 20]!r}")
        return None
    kind, line, end = text[at : at + 1], text[at + 1 : line_end], line_end + 2
    if kind in b"+-":
        return end
    if kind == b"_" and line == b"":
        return end
    number = int(line)
    if kind == b":":
        return end
    if kind == b"$":
        if number < 0:
            return end
        if len(text) < end + number + 2:
            return None
        if text[end + number : end + number + 2] != b"\r\n":
            raise ValueError(f"a string has no end: {text[at:][:60]!r}")
        return end + number + 2
    if kind not in b"*>%":
        raise ValueError(f"no answer begins with {text[at : at + 20]!r}")
    for _ in range(number * (2 if kind == b"%" else 1)):
        end = answer_end(text, end)
        if end is None:
            return None
    return end


def check_answers(said):
    at = 0
    while at is not None and at < len(said):
        at = answer_end(said, at)


def ping(address):
    """Why a fresh connection's PING was not answered; none when it was."""
    try:
        with socket.create_connection(address, PATIENCE_S) as one:
            one.sendall(b"*1\r\n$4\r\nPING\r\n")
            said = b""
            while len(said) < 7:
                more = one.recv(100)
                if not more:
                    break
                said += more
            return None if said == b"+PONG\r\n" else f"PING was answered {said!r}"
    except OSError as error:
        return f"PING: {error}"


def play(address, rng, text):
    """Sends a stream, and returns what was said to it."""
    said = b""
    with socket.create_connection(address, PATIENCE_S) as one:
        one.settimeout(0.2)
        try:
            for piece in pieces(rng, text):
                one.sendall(piece)
                if rng.random() < 0.05:
                    said += one.recv(65_536)
        except OSError:
            pass
        ending = rng.random()
        if ending < 0.15:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return said
        try:
            if ending < 0.8:
                one.shutdown(socket.SHUT_WR)
            while len(said) < ANSWER_BYTES_MAX:
                more = one.recv(65_536)
                if not more:
                    break
                said += more
        except OSError:
            pass
    return said


class Fuzz:
    def __init__(self, addresses, seed):
        self.addresses, self.seed = addresses, seed
        self.ends = time.monotonic() + SECONDS
        self.streams, self.said, self.failure = 0, 0, None

    def work(self, thread):
        rng = random.Random(f"{self.seed}-{thread}")
        count = 0
        while time.monotonic() < self.ends and self.failure is None:
            text, address = stream(rng), rng.choice(self.addresses)
            try:
                said = play(address, rng, text)
                check_answers(said)
                self.said += len(said)
            except ValueError as error:
                self.failure = f"{error}; after {text[:2_000]!r}"
            except OSError as error:
                self.failure = f"{address}: {error}"
            self.streams += 1
            count += 1
            if count % STREAMS_A_LOOK == 0:
                self.failure = self.failure or ping(address)


def run(addresses):
    """Why a node failed; none when none did."""
    seed = os.environ.get("FLASHNODE_FUZZ_SEED") or str(random.randrange(1 << 32))
    fuzz = Fuzz(addresses, seed)
    threads = [threading.Thread(target=fuzz.work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for address in addresses:
        fuzz.failure = fuzz.failure or ping(address)
    print(f"Redis protocol: {fuzz.streams} streams, {fuzz.said} bytes of answers, seed {seed}", flush=True)
    if fuzz.streams < THREADS or fuzz.said == 0:
        return "nothing was said to anybody"
    return fuzz.failure
