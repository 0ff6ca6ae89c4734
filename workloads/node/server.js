// An HTTP server that keeps values, by timers, sockets and a worker thread.
//
// Values are kept behind a unix socket: whatever is asked over HTTP goes through it and back, so
// that both kinds of sockets carry what a client outside checks. A timer of the event loop ticks,
// and so does a worker thread, which waits on memory that both share. What the server knows and
// how it answers stands in `http-client`.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");
const net = require("node:net");
const { Worker, isMainThread, workerData } = require("node:worker_threads");

const STORE = "/run/store.sock";

// In the worker thread: one tick whenever nobody has woken it for a while, that is always.
function tick(ticks) {
  for (;;) {
    Atomics.wait(ticks, 1, 0, 50);
    Atomics.add(ticks, 0, 1);
  }
}

// Takes one JSON object a line off a stream.
function lines(stream, take) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    for (const part of parts) take(JSON.parse(part));
  });
}

// The end of the unix socket that keeps the values.
function store() {
  const values = new Map();
  const answers = {
    append(name, body) {
      const value = Buffer.concat([values.get(name) ?? Buffer.alloc(0), body]);
      values.set(name, value);
      return { status: 200, body: Buffer.from(String(value.length)) };
    },
    read(name) {
      const value = values.get(name);
      return { status: value ? 200 : 404, body: value ?? Buffer.alloc(0) };
    },
    remove(name) {
      const value = values.get(name) ?? Buffer.alloc(0);
      values.delete(name);
      return { status: 200, body: value };
    },
  };
  return net.createServer((socket) => {
    lines(socket, ({ verb, name, body }) => {
      const { status, body: bytes } = answers[verb](name, Buffer.from(body, "base64"));
      socket.write(JSON.stringify({ status, body: bytes.toString("base64") }) + "\n");
    });
  });
}

// The other end: answers come in the order of questions.
function asker() {
  const waiting = [];
  const socket = net.connect(STORE);
  lines(socket, ({ status, body }) => waiting.shift()({ status, body: Buffer.from(body, "base64") }));
  return (verb, name, body) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      socket.write(JSON.stringify({ verb, name, body: body.toString("base64") }) + "\n");
    });
}

function serve() {
  const ask = asker();
  const drawn = crypto.randomBytes(16).toString("hex");
  let loop = 0;
  setInterval(() => (loop += 1), 20);
  const ticks = new Int32Array(new SharedArrayBuffer(8));
  new Worker(__filename, { workerData: ticks });
  const facts = () =>
    [
      `same.pid=${process.pid}`,
      `same.drawn=${drawn}`,
      `same.version=${process.version}`,
      `grows.loop=${loop}`,
      `grows.thread=${Atomics.load(ticks, 0)}`,
      `grows.clock=${process.hrtime.bigint()}`,
    ].join("\n") + "\n";

  async function answer(request, body) {
    if (request.url === "/") return { status: 200, body: Buffer.from(facts()) };
    const verbs = { POST: "append", GET: "read", DELETE: "remove" };
    return ask(verbs[request.method], request.url, body);
  }

  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const { status, body } = await answer(request, Buffer.concat(chunks));
      response.writeHead(status, { "Content-Length": body.length });
      response.end(body);
    });
  });
  // A client may be silent while the pod is away: no timer of the server may end its connection.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.timeout = 0;
  server.listen(8080, "0.0.0.0");
}

if (isMainThread) {
  store().listen(STORE, serve);
} else {
  tick(workerData);
}
