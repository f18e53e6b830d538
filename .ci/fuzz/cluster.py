"""Starts three nodes, puts the products of the document's examples on sale, and fuzzes a follower;
before that the listeners of the Redis protocol of all nodes (`resp`).

Called by `run`, with the path of flashnode and a directory for the cluster's data and logs. Ends
with schemathesis' exit code, or with 1 when a node died or a thread of it panicked. Without
schemathesis, as `python3 cluster.py FLASHNODE DIRECTORY resp`, it fuzzes the listeners alone.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import resp

HERE = pathlib.Path(__file__).parent
PATIENCE_S = 30
NODES = (1, 2, 3)
# The products that the examples of the document buy and hold.
PRODUCTS = {"sneaker": 1_000_000, "tee": 1_000_000}


def free_ports(count):
    """Ports that nothing listens on; held until all are known, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ask(url, method="GET", body=None):
    """The status of an answer; none when nobody answered."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)
    except OSError:
        return None, {}


def until(what, condition):
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > PATIENCE_S:
            sys.exit(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.05)


def start(binary, directory):
    """The processes, and the addresses of their public listeners and of the Redis protocol's."""
    ports = free_ports(3 * len(NODES))
    peers = ",".join(f"{node}=127.0.0.1:{port}" for node, port in zip(NODES, ports))
    processes, addresses, counters = [], [], []
    for node, port, resp_port in zip(NODES, ports[len(NODES) :], ports[2 * len(NODES) :]):
        address = f"127.0.0.1:{port}"
        log = open(directory / f"node-{node}.log", "w")
        command = [binary, "--id", str(node), "--peers", peers, "--http", address]
        command += ["--data", str(directory / f"node-{node}")]
        command += ["--drop-in-product", "sneaker", "--drop-in-reset"]
        command += ["--resp", f"127.0.0.1:{resp_port}"]
        processes.append(subprocess.Popen(command, stderr=log, stdout=log))
        addresses.append(f"http://{address}")
        counters.append(("127.0.0.1", resp_port))
    return processes, addresses, counters


def fuzz_counters(addresses, counters):
    for address in addresses:
        until(f"{address} to be ready", lambda: ask(f"{address}/readyz")[0] == 200)
    failure = resp.run(counters)
    if failure is not None:
        print(f"the listener of the Redis protocol: {failure}")
        return 1
    return 0


def fuzz(addresses, directory):
    for sku, stock in PRODUCTS.items():
        product = {"name": sku, "stock": stock}
        status, headers = ask(f"{addresses[0]}/v1/products/{sku}", "PUT", product)
        if status != 201:
            sys.exit(f"{sku} could not be put on sale: {status}")
    leader = int(headers["flashnode-leader"])
    # Every write of a follower goes through both nodes.
    follower = addresses[leader % len(addresses)]
    program = pathlib.Path(sys.executable).parent / "st"
    command = [str(program), "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"{follower}/openapi.json", "--url", follower]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    return subprocess.run(command, cwd=directory, env=environment).returncode


def main():
    binary, directory = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2])
    data = directory / "cluster"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    processes, addresses, counters = start(binary, data)
    try:
        code = fuzz_counters(addresses, counters)
        if sys.argv[3:] != ["resp"]:
            code = code or fuzz(addresses, directory)
        dead = [node for node, process in zip(NODES, processes) if process.poll() is not None]
        if dead:
            print(f"nodes {dead} died; see {data}")
            code = 1
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
    for node in NODES:
        log = (data / f"node-{node}.log").read_text(errors="replace")
        for line in log.splitlines():
            if "panicked" in line:
                print(f"node {node}: {line}")
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
