// Runs the example under Node, against a REST server of its own: node index.mjs PROGRAM.wasm
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  assert.equal(request.method, 'GET');
  assert.equal(request.url, '/v1/shelves/1/books:search?title=Dune%20%26%20Co.');
  assert.equal(request.headers['x-server-timeout'], '10');
  response.setHeader('content-type', 'application/json');
  response.end('{"books": [{"name": "shelves/1/books/7", "title": "Dune & Co."}]}');
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const text = (at, len) => new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, at, len));
const pass = (bytes) => {
  const at = wasm.allocate(bytes.length);
  new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
  return [at, bytes.length];
};

async function send(call, head, body) {
  const [line, ...lines] = head.split('\n');
  const [method, url] = line.split(' ');
  // These two are set by `fetch` itself.
  const headers = lines.map((line) => line.split(/: (.*)/s, 2)).filter(([name]) => !/^(accept-encoding|content-length)$/.test(name));
  try {
    const response = await fetch(url, { method, headers, body: body.length ? body : undefined });
    // `fetch` has unpacked the body already.
    const kept = [...response.headers].filter(([name]) => !/^content-(encoding|length)$/.test(name));
    const top = new TextEncoder().encode(kept.map((header) => header.join(': ')).join('\n'));
    const bytes = Buffer.concat([top, Buffer.from(await response.arrayBuffer())]);
    const [at, len] = pass(bytes);
    wasm.fetched(call, response.status, at, top.length, len);
  } catch (error) {
    const [at, len] = pass(new TextEncoder().encode(String(error.cause ?? error)));
    wasm.fetched(call, 0, at, 0, len);
  }
}

function run(endpoint) {
  return new Promise((resolve) => {
    host.done = (good, at, len) => resolve([Boolean(good), text(at, len)]);
    wasm.start(...pass(new TextEncoder().encode(endpoint)));
  });
}

const host = {
  fetch: (call, at, head, len) => {
    const body = new Uint8Array(wasm.memory.buffer, at + head, len - head).slice();
    void send(call, text(at, head), body);
  },
};
const imports = { host: { fetch: host.fetch, done: (...outcome) => host.done(...outcome) } };
const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), imports);
const wasm = instance.exports;

const endpoint = `http://127.0.0.1:${server.address().port}`;
assert.deepEqual(await run(endpoint), [true, 'shelves/1/books/7']);
console.log('found shelves/1/books/7 by fetch');

server.close();
server.closeAllConnections();
await once(server, 'close');
const [good, problem] = await run(endpoint);
assert.equal(good, false);
assert.match(problem, /the request failed: .*ECONNREFUSED/);
console.log(`without a server: ${problem}`);
