#!/usr/bin/env python3
"""SIGTERM to the leader while one buyer after the other buys at a surviving node: prints the longest
time between two accepted buys around each handover, then the median and the worst.
Usage: bench/handover.py [ROUNDS]   (after `cargo build --release`)"""
import http.client, json, os, signal, subprocess, sys, tempfile, time

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PEERS = ",".join(f"{i}=127.0.0.1:{17100 + i}" for i in (1, 2, 3))


def start(directory, i):
    log = open(f"{directory}/{i}.log", "a")
    return subprocess.Popen([f"{ROOT}/target/release/flashnode", "--id", str(i), "--peers", PEERS,
                             "--http", f"127.0.0.1:{18100 + i}", "--data", f"{directory}/{i}"], stderr=log)


def call(connection, method, path, body=None, headers=None):
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, answer.read()


def wait_ready(ids):
    for i in ids:
        while True:
            try:
                c = http.client.HTTPConnection("127.0.0.1", 18100 + i, timeout=2)
                if call(c, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.05)


def handover(nodes, directory, round_number):
    wait_ready((1, 2, 3))
    view = json.loads(call(http.client.HTTPConnection("127.0.0.1", 18101), "GET", "/v1/cluster")[1])
    leader = view["leader"]
    survivor = next(i for i in (1, 2, 3) if i != leader)
    connection = http.client.HTTPConnection("127.0.0.1", 18100 + survivor, timeout=10)
    accepted, count, signalled = [], 0, None
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        count += 1
        body = {"product_id": "sneaker", "user_id": f"u{round_number}-{count}"}
        status, _ = call(connection, "POST", "/v1/buys", body)
        assert status == 201, status
        accepted.append(time.monotonic())
        if signalled is None and time.monotonic() - began > 0.7:
            nodes[leader].send_signal(signal.SIGTERM)
            signalled = time.monotonic()
    assert nodes[leader].wait(20) == 0
    nodes[leader] = start(directory, leader)
    return max(b - a for a, b in zip(accepted, accepted[1:]) if b > signalled) * 1000


with tempfile.TemporaryDirectory() as directory:
    nodes = {i: start(directory, i) for i in (1, 2, 3)}
    try:
        wait_ready((1, 2, 3))
        call(http.client.HTTPConnection("127.0.0.1", 18101), "PUT", "/v1/products/sneaker",
             {"name": "Sneaker", "stock": 1_000_000_000})
        pauses = []
        for r in range(ROUNDS):
            pauses.append(handover(nodes, directory, r))
            print(f"longest pause between two yeses: {pauses[-1]:.1f} ms", flush=True)
        print(f"median {sorted(pauses)[len(pauses) // 2]:.1f} ms, worst {max(pauses):.1f} ms of {len(pauses)}")
    finally:
        for node in nodes.values():
            node.kill()
