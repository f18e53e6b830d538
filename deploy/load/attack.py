#!/usr/bin/env python3
"""Many buyers at once, each a thread, each with one click and no second try.

  deploy/load/attack.py                                  500 buyers, 100 units, at http://localhost
  deploy/load/attack.py --buyers 100000 --threads 16 --stock 50000 --pause-ms 5

Puts a product of its own on sale and at the end compares what the buyers were told with what the
cluster holds. A buyer is sold to (201) or told that nothing is left (410); anything else fails the
attack, and so does a unit more or less than was said. SIGTERM ends it early, with the same summary.
"""

import argparse
import collections
import http.client
import json
import signal
import sys
import threading
import time
import urllib.parse
import uuid

HEADERS = {"Content-Type": "application/json"}
TIMEOUT_S = 30


def ask(connection, method, path, body):
    """One exchange: status, headers, body."""
    connection.request(method, path, None if body is None else json.dumps(body), HEADERS)
    answer = connection.getresponse()
    return answer.status, answer.headers, json.loads(answer.read() or b"null")


class Attack:
    """What all buyers share."""

    def __init__(self, args):
        self.args = args
        self.host = urllib.parse.urlsplit(args.url).netloc
        self.product = f"attack-{uuid.uuid4().hex[:8]}"
        self.start = threading.Barrier(args.threads)
        self.lock = threading.Lock()
        self.next = 0
        self.stopped = threading.Event()
        self.statuses = collections.Counter()
        self.nodes = collections.Counter()
        self.wrong = []
        self.slowest_s = 0.0

    def connect(self):
        return http.client.HTTPConnection(self.host, timeout=TIMEOUT_S)

    def once(self, method, path, body=None):
        """An exchange besides the buyers', which must succeed."""
        status, _, answer = ask(self.connect(), method, path, body)
        if status not in (200, 201):
            sys.exit(f"{method} {path}: {status} {answer}")
        return answer

    def buyer(self):
        """The number of the next buyer; none when all were there."""
        with self.lock:
            if self.next == self.args.buyers or self.stopped.is_set():
                return None
            self.next += 1
            return self.next

    def run(self):
        """One thread: waits for the others, then lets buyers in until none is left."""
        connection = self.connect()
        self.start.wait()
        while (number := self.buyer()) is not None:
            started = time.monotonic()
            body = {"product_id": self.product, "user_id": f"buyer-{number}", "quantity": 1}
            try:
                status, headers, answer = ask(connection, "POST", "/v1/buys", body)
                node = headers.get("Flashnode-Node", "none")
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, node, answer = "no answer", "none", repr(error)
                connection = self.connect()
            with self.lock:
                self.statuses[status] += 1
                self.nodes[node] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                if status not in (201, 410):
                    self.wrong.append(f"buyer {number}: {status} {answer}")
            if self.args.pause_ms:
                time.sleep(self.args.pause_ms / 1000)

    def summary(self):
        """Prints what came of it; whether all is well."""
        sold, refused, wrong = self.statuses[201], self.statuses[410], self.wrong
        product = self.once("GET", f"/v1/products/{self.product}")
        held, left = product["sold"], product["available"]
        buyers = sum(self.statuses.values())
        by_node = ", ".join(f"node {node}: {count}" for node, count in sorted(self.nodes.items()))
        print(f"{buyers} buyers: {sold} sold, {refused} sold out, {buyers - sold - refused} else")
        print(f"answered by {by_node}; slowest {self.slowest_s:.2f} s")
        print(f"the cluster holds {held} sold, {left} left of {product['stocked']}")
        if held != sold or left != self.args.stock - sold:
            wrong.append("what the buyers were told is not what the cluster holds")
        if refused and left:
            wrong.append("buyers were refused, and units are left")
        for line in wrong[:10]:
            print(f"wrong: {line}")
        print("verdict: ok" if not wrong else f"verdict: {len(wrong)} wrong")
        return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost")
    parser.add_argument("--stock", type=int, default=100)
    parser.add_argument("--buyers", type=int, default=500)
    parser.add_argument("--threads", type=int, default=500)
    parser.add_argument("--pause-ms", type=int, default=0, help="between two buyers of a thread")
    attack = Attack(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: attack.stopped.set())
    terms = {"name": "Drop", "stock": attack.args.stock}
    attack.once("PUT", f"/v1/products/{attack.product}", terms)
    print(f"the sale of {attack.product} is open", flush=True)
    threads = [threading.Thread(target=attack.run) for _ in range(attack.args.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(0 if attack.summary() else 1)


main()
