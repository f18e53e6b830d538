#!/usr/bin/env python3
"""Live stock and holds on a cluster of three, everything on this machine. Prints: memory of an idle listener, the
time from a buy's first byte to its event at each of many listeners, and the lag of expiries (from a hold's deadline
to its event at a listener) with many open holds.
Usage: bench/live.py [HOLDS] [IDLE] [LISTENERS]   (after `cargo build --release`; default 100000 10000 1000)"""
import datetime, json, os, re, resource, selectors, socket, subprocess, sys, tempfile, threading, time, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOLDS, IDLE, LISTENERS = (int(sys.argv[i]) if len(sys.argv) > i else n for i, n in ((1, 100_000), (2, 10_000), (3, 1000)))
PEERS = ",".join(f"{i}=127.0.0.1:{17100 + i}" for i in (1, 2, 3))
BUYS = 100
# Long enough for all holds to be made before the first runs out.
TTL_S = 30 + HOLDS // 1_000
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def request(method, path, body=None):
    body = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connect(node):
    connection = socket.create_connection(("127.0.0.1", 18100 + node))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answers(connection, count):
    """Reads so many answers; their bodies."""
    file, bodies = connection.makefile("rb"), []
    for _ in range(count):
        status, length = file.readline().split()[1], 0
        assert status in (b"200", b"201"), status
        while (line := file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        bodies.append(json.loads(file.read(length)))
    return bodies


def one(node, method, path, body=None):
    connection = connect(node)
    connection.sendall(request(method, path, body))
    return answers(connection, 1)[0]


def listen(node):
    connection = connect(node)
    connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: h\r\n\r\n")
    return connection


def events(data):
    return [json.loads(line) for line in re.findall(rb"^data: (.*)$", data, re.M)]


def p(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def expiries():
    listener = listen(2)
    nodes = ",".join(f"127.0.0.1:{18100 + i}" for i in (1, 2, 3))
    abandon = ["--holds", "100%", "--abandon", "100%", "--hold-ttl", f"{TTL_S}s", "--concurrency", "256"]
    storm = subprocess.Popen([f"{ROOT}/target/release/flashctl", "storm", "--nodes", nodes, "--product", "sneaker", "--buyers",
                              str(HOLDS), *abandon, "--json"], stdout=subprocess.PIPE)
    due, lags, rest, most = {}, [], b"", 0
    while len(lags) < HOLDS:
        data = listener.recv(1 << 20)
        now = time.time()
        whole, _, rest = (rest + data).rpartition(b"\n\n")
        for event in events(whole + b"\n\n"):
            if event["change"] == "held":
                due[event["hold_id"]] = instant(event["expires_at"])
            elif event["change"] == "expired":
                lags.append(1000 * (now - due[event["hold_id"]]))
        most = max(most, len(due) - len(lags))
    report = json.loads(storm.communicate()[0])
    assert report["verdict"] == "ok" and report["holds"]["held"] == HOLDS, report
    print(f"expiry lag of {HOLDS} holds, {most} of them open at once: p50 {p(lags, .5):.0f} ms, p99 {p(lags, .99):.0f} ms, "
          f"worst {max(lags):.0f} ms")


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])


def idle(pid):
    before = resident_kib(pid)
    sockets = [listen(1) for _ in range(IDLE)]
    for one in sockets:
        while b"retry" not in one.recv(4096):
            pass
    print(f"idle listeners: {(resident_kib(pid) - before) / IDLE:.1f} KiB each, {IDLE} of them", flush=True)


def delivery():
    selector = selectors.DefaultSelector()
    for _ in range(LISTENERS):
        one = listen(1)
        while b"retry" not in one.recv(4096):
            pass
        one.setblocking(False)
        selector.register(one, selectors.EVENT_READ)
    arrivals, sent = [], {}

    def buy():
        connection = connect(2)
        for n in range(BUYS):
            began = time.monotonic()
            connection.sendall(request("POST", "/v1/buys", {"product_id": "sneaker", "user_id": f"b{n}"}))
            sent[answers(connection, 1)[0]["seq"]] = began
            time.sleep(0.1)

    buyer = threading.Thread(target=buy)
    buyer.start()
    while len(arrivals) < BUYS * LISTENERS:
        for key, _ in selector.select():
            data = key.fileobj.recv(65536)
            now = time.monotonic()
            arrivals += [(int(seq), now) for seq in re.findall(rb"^id: (\d+)$", data, re.M)]
    buyer.join()
    ms = [1000 * (now - sent[seq]) for seq, now in arrivals]
    print(f"a buy's first byte to its event at {LISTENERS} listeners: p50 {p(ms, .5):.1f} ms, p99 {p(ms, .99):.1f} ms")


with tempfile.TemporaryDirectory() as directory:
    start = lambda i: subprocess.Popen([f"{ROOT}/target/release/flashnode", "--id", str(i), "--peers", PEERS, "--http",
                                        f"127.0.0.1:{18100 + i}", "--data", f"{directory}/{i}"],
                                       stderr=open(f"{directory}/{i}.log", "w"))
    nodes = [start(i) for i in (1, 2, 3)]
    try:
        for i in (1, 2, 3):
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{18100 + i}/readyz", timeout=2)
                    break
                except OSError:
                    time.sleep(0.05)
        one(1, "PUT", "/v1/products/sneaker", {"name": "Sneaker", "stock": 1_000_000_000})
        idle(nodes[0].pid)
        delivery()
        expiries()
    finally:
        for node in nodes:
            node.kill()
