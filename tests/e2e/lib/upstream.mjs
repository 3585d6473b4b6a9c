// An app that knows nothing of identity and remembers exactly what reached it:
// the raw request target, the raw header list, trailers, the body's hash.
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { WebSocketServer } from 'ws';
import { freePort, listen } from './ports.mjs';

const KEEP = 1 << 20; // bytes of a body that are kept; the rest is only hashed

export class Upstream {
  static async start() {
    const upstream = new Upstream(await freePort());
    await listen(upstream.server, upstream.port);
    return upstream;
  }

  constructor(port) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.requests = [];
    this.streams = new Set(); // open event streams
    this.held = []; // responses that wait for release()
    this.sockets = new WebSocketServer({ noServer: true });
    this.sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
    this.server = createServer((req, res) => this.serve(req, res));
    this.server.requestTimeout = 0;
    this.server.on('upgrade', (req, socket, head) => this.upgrade(req, socket, head));
  }

  // What reached the app at a path (without query), oldest first.
  at(path) {
    return this.requests.filter((request) => request.target.split('?')[0] === path);
  }

  // A browser asks for the icon when it likes.
  last() {
    return this.requests.findLast(({ target }) => target !== '/favicon.ico');
  }

  forget() {
    this.requests.length = 0;
  }

  push(data) {
    for (const stream of this.streams) stream.write(`data: ${data}\n\n`);
  }

  release() {
    for (const respond of this.held.splice(0)) respond();
  }

  async close() {
    this.server.close();
    this.server.closeAllConnections();
    for (const socket of this.sockets.clients) socket.terminate();
  }

  upgrade(req, socket, head) {
    this.requests.push(record(req));
    this.sockets.handleUpgrade(req, socket, head, (client) => this.sockets.emit('connection', client, req));
  }

  async serve(req, res) {
    const entry = record(req);
    this.requests.push(entry);
    await readBody(req, entry);
    entry.trailers = pairs(req.rawTrailers);
    const [path, query] = req.url.split('?');
    const answer = ANSWERS[path] ?? describe;
    answer(this, res, entry, new URLSearchParams(query));
  }
}

const ANSWERS = {
  '/events': (upstream, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
    res.write(': open\n\n');
    upstream.streams.add(res);
    res.on('close', () => upstream.streams.delete(res));
  },
  '/held': (upstream, res, entry) => upstream.held.push(() => describe(upstream, res, entry)),
  '/download': (_upstream, res, _entry, query) => sendBytes(res, Number(query.get('bytes'))),
  '/cookies': (_upstream, res) => res.writeHead(200, {
    'set-cookie': ['app=1; Path=/', '__Host-doorward=stolen; Secure; Path=/', 'second=2; HttpOnly'],
  }).end('ok'),
  '/cors': (_upstream, res, entry) => res.writeHead(entry.method === 'OPTIONS' ? 204 : 200, {
    'access-control-allow-origin': entry.header('origin') ?? '*', 'access-control-allow-methods': 'GET, PUT',
  }).end(),
  '/page': (_upstream, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>App</title><h1>An app</h1>'),
};

function describe(_upstream, res, entry) {
  const { method, target, headers, length, sha256 } = entry;
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ method, target, headers, length, sha256 }));
}

function record(req) {
  const headers = pairs(req.rawHeaders);
  return {
    method: req.method,
    target: req.url,
    version: req.httpVersion,
    headers,
    trailers: [],
    body: Buffer.alloc(0),
    length: 0,
    header: (name) => headers.find(([each]) => each.toLowerCase() === name.toLowerCase())?.[1],
    // Every value whose name a CGI-style app would read as `name`.
    folded: (name) => headers.filter(([each]) => fold(each) === fold(name)).map(([, value]) => value),
  };
}

export function fold(name) {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

function pairs(raw) {
  return raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1]]] : []));
}

async function readBody(req, entry) {
  const hash = createHash('sha256');
  const kept = [];
  try {
    for await (const chunk of req) {
      hash.update(chunk);
      if (entry.length < KEEP) kept.push(chunk);
      entry.length += chunk.length;
    }
  } catch {
    entry.aborted = true;
  }
  entry.body = Buffer.concat(kept);
  entry.sha256 = hash.digest('hex');
}

// A deterministic body, so that a test can hash what it expects.
export function* byteChunks(total) {
  const block = Buffer.alloc(1 << 16, 'doorward0123456789');
  for (let sent = 0; sent < total; sent += block.length) yield block.subarray(0, Math.min(block.length, total - sent));
}

export function sha256OfBytes(total) {
  const hash = createHash('sha256');
  for (const chunk of byteChunks(total)) hash.update(chunk);
  return hash.digest('hex');
}

async function sendBytes(res, total) {
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total });
  for (const chunk of byteChunks(total)) {
    if (!res.write(chunk)) await new Promise((resolve) => res.once('drain', resolve).once('close', resolve));
    if (res.destroyed) return;
  }
  res.end();
}
