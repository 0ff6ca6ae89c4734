"""An HTTP server that keeps values, by threads, processes, shared memory and semaphores.

A thread serves each connection. Values are kept by two worker processes, which are asked over pipes.
The workers also count, under a semaphore that all processes share, in shared memory: each its own
turns, and both the turns of all, so that a turn that was lost or taken twice shows. What the server
knows and how it answers stands in `http-client`.
"""

import http.server
import multiprocessing
import multiprocessing.shared_memory
import os
import secrets
import struct
import threading
import zlib

WORKERS = 2
# Turns of all workers, then those of each.
COUNTS = struct.Struct(f"={1 + WORKERS}Q")


class Counts:
    """Turns, in shared memory."""

    def __init__(self, context):
        self.lock = context.Lock()
        self.memory = multiprocessing.shared_memory.SharedMemory(create=True, size=COUNTS.size)
        COUNTS.pack_into(self.memory.buf, 0, *[0] * (1 + WORKERS))

    def turn(self, worker):
        with self.lock:
            counts = list(COUNTS.unpack_from(self.memory.buf))
            counts[0] += 1
            counts[1 + worker] += 1
            COUNTS.pack_into(self.memory.buf, 0, *counts)

    def read(self):
        with self.lock:
            return COUNTS.unpack_from(self.memory.buf)


def work(worker, pipe, counts):
    """Keeps the values of one worker; takes a turn whenever it is asked nothing for a moment."""
    values = {}
    while True:
        counts.turn(worker)
        if not pipe.poll(0.02):
            continue
        verb, name, body = pipe.recv()
        if verb == "append":
            values[name] = values.get(name, b"") + body
            pipe.send(len(values[name]))
        elif verb == "read":
            pipe.send(values.get(name))
        else:
            pipe.send(values.pop(name, b""))


class Worker:
    """The server's end of a worker process."""

    def __init__(self, context, number, counts):
        self.lock = threading.Lock()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(number, theirs, counts), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, *question):
        with self.lock:
            self.pipe.send(question)
            return self.pipe.recv()


class Ticker(threading.Thread):
    """A thread with a timer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ticks = 0
        self.never = threading.Event()

    def run(self):
        while not self.never.wait(0.05):
            self.ticks += 1


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address):
        context = multiprocessing.get_context("fork")
        self.counts = Counts(context)
        self.workers = [Worker(context, number, self.counts) for number in range(WORKERS)]
        self.drawn = secrets.token_hex(16)
        self.ticker = Ticker()
        self.ticker.start()
        super().__init__(address, Handler)

    def ask(self, verb, name, body=b""):
        worker = self.workers[zlib.crc32(name.encode()) % WORKERS]
        return worker.ask(verb, name, body)

    def facts(self):
        total, *each = self.counts.read()
        facts = {
            "same.pid": os.getpid(),
            "same.workers": " ".join(str(worker.process.pid) for worker in self.workers),
            "same.alive": " ".join(str(worker.process.is_alive()) for worker in self.workers),
            "same.memory": self.counts.memory.name,
            "same.drawn": self.drawn,
            "same.turns-without-worker": total - sum(each),
            "grows.ticks": self.ticker.ticks,
            **{f"grows.turns-{worker}": turns for worker, turns in enumerate(each)},
        }
        return "".join(f"{name}={value}\n" for name, value in facts.items()).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            self.answer(200, self.server.facts())
            return
        value = self.server.ask("read", self.path)
        if value is None:
            self.answer(404, b"")
        else:
            self.answer(200, value)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = self.server.ask("append", self.path, body)
        self.answer(200, str(length).encode())

    def do_DELETE(self):
        self.answer(200, self.server.ask("remove", self.path))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Server(("0.0.0.0", 8080)).serve_forever()
