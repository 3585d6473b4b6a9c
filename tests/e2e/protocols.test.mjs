// HTTP byte for byte: trailers, streams, expectations, ranges, interim answers, half-closed clients, and a gibibyte each way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { Readable } from 'node:stream';
import tls from 'node:tls';
import { after, before, beforeEach, describe, it } from 'node:test';
import { eventually } from './lib/eventually.mjs';
import { connect } from './lib/raw.mjs';
import { startServer } from './lib/servers.mjs';
import { byteChunks, sha256OfBytes } from './lib/upstream.mjs';
import { createHash } from 'node:crypto';
import { HOSTS, startWorld } from './lib/world.mjs';

const MEBIBYTE = 1 << 20;
const ALLOWED_GROWTH = 64 * MEBIBYTE;

let seen; // what reached an app
const streams = new Set();

const ANSWERS = {
  '/trailers': async (request, response) => {
    await request.resume().toArray();
    seen.push({ trailers: pairs(request) });
    response.writeHead(200, { trailer: 'x-checksum' });
    response.write('body');
    response.addTrailers({ 'x-checksum': 'abc' });
    response.end();
  },
  '/events': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': open\n\n');
    streams.add(response);
    response.on('close', () => streams.delete(response));
  },
  '/range': (request, response) => {
    seen.push({ headers: request.headers });
    response.writeHead(206, { 'content-range': 'bytes 2-4/10', etag: '"a"', 'content-length': 3 }).end('cde');
  },
  '/early': (_request, response) => response.writeHead(413, { 'content-length': 4, connection: 'close' }).end('full'),
  '/interim': (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.writeProcessing?.();
    response.end('after');
  },
  '/download': (request, response) => {
    const size = Number(request.url.split('=')[1]);
    response.writeHead(200, { 'content-length': size });
    Readable.from(byteChunks(size)).pipe(response);
  },
  '/upload': async (request, response) => {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of request) {
      hash.update(chunk);
      length += chunk.length;
    }
    response.end(JSON.stringify({ length, sha256: hash.digest('hex') }));
  },
  '/slow': (_request, response) => setTimeout(() => response.end('answer'), 300),
};

function pairs({ rawTrailers = [], trailers = {} }) {
  return rawTrailers.length > 0 ? rawTrailers.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), rawTrailers[index + 1]]] : [])) : Object.entries(trailers);
}

function serve(request, response) {
  const answer = ANSWERS[request.url.split('?')[0].replace(/^\/new/, '')];
  if (answer) return answer(request, response);
  seen.push({ headers: request.headers });
  return response.end('ok');
}

const servers = {};
let world;

before(async () => {
  servers.old = await startServer('http', { serve });
  servers.new = await startServer('h2c', { serve });
  world = await startWorld({ adjust: ({ apps }, { urls }) => {
    const paths = (prefix) => [{ match: `${prefix}/**`, public: true }];
    apps.wiki = { url: urls.wiki, upstream: `http://127.0.0.1:${servers.old.port}`, identity: apps.wiki.identity, paths: [...paths(''), { match: '/private/**', allow: [{ groups: ['staff'] }] }] };
    apps.new = { url: `${urls.wiki}/new`, upstream: `h2c://127.0.0.1:${servers.new.port}`, paths: paths('/new') };
  } });
});
after(async () => {
  for (const stream of streams) stream.destroy();
  await world?.close();
  for (const server of Object.values(servers)) server.close();
});
beforeEach(() => { seen = []; });

const authority = () => `${HOSTS.wiki}:${world.port}`;
const head = (method, path, lines = '') => `${method} ${path} HTTP/1.1\r\nHost: ${authority()}\r\n${lines}\r\n`;

function session() {
  const open = http2.connect(`https://127.0.0.1:${world.port}`, { servername: HOSTS.wiki, ca: world.authority.pem });
  open.on('error', () => {});
  return open;
}

// One request over HTTP/2, with a body that may have trailers.
function ask(open, path, { method = 'GET', headers = {}, body, trailers } = {}) {
  const stream = open.request({ ':method': method, ':path': path, ':authority': authority(), ...headers }, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
  if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  if (body !== undefined) stream.end(body);
  return new Promise((resolve, reject) => {
    const answer = { chunks: [] };
    stream.once('error', reject);
    stream.once('response', (fields) => { answer.status = fields[':status']; answer.headers = fields; });
    stream.on('trailers', (fields) => { answer.trailers = fields; });
    stream.on('data', (chunk) => answer.chunks.push(chunk));
    stream.once('end', () => resolve({ ...answer, text: Buffer.concat(answer.chunks).toString() }));
  });
}

describe('trailers', () => {
  const FORGED = { 'x-checksum': 'mine', 'x-remote-user': 'root', 'x-doorward-user': 'root', authorization: 'Bearer x', 'x-request-id': 'forged' };

  it('of a request over HTTP/1.1 pass where they were announced, without what no client may send', async () => {
    const announced = Object.keys(FORGED).join(', ');
    const lines = Object.entries(FORGED).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    for (const path of ['/trailers', '/new/trailers']) {
      const connection = await connect(world, HOSTS.wiki);
      connection.write(`${head('POST', path, `Transfer-Encoding: chunked\r\nTrailer: ${announced}\r\n`)}1\r\na\r\n0\r\n${lines}\r\n`);
      assert.equal((await connection.answer()).status, 200);
      connection.destroy();
      assert.deepEqual(seen.pop().trailers, [['x-checksum', 'mine']], path);
    }
  });

  it('of a request over HTTP/2 pass too', async () => {
    const open = session();
    for (const [path, headers] of [['/new/trailers', {}], ['/trailers', { trailer: Object.keys(FORGED).join(', ') }]]) {
      await ask(open, path, { method: 'POST', body: 'a', trailers: FORGED, headers });
      assert.deepEqual(seen.pop().trailers, [['x-checksum', 'mine']], path);
    }
    open.destroy();
  });

  it('of an answer pass over HTTP/2', async () => {
    const open = session();
    for (const path of ['/trailers', '/new/trailers']) {
      const answer = await ask(open, path, { headers: { te: 'trailers' } });
      assert.deepEqual([answer.text, answer.trailers?.['x-checksum']], ['body', 'abc'], path);
    }
    open.destroy();
  });

  it('of an answer pass over HTTP/1.1 to whoever takes them', async () => {
    for (const path of ['/trailers', '/new/trailers']) {
      const trailers = await new Promise((resolve, reject) => {
        https.get({ host: '127.0.0.1', port: world.port, servername: HOSTS.wiki, ca: world.authority.pem, path, headers: { host: authority(), te: 'trailers' }, agent: false }, (response) => {
          response.resume().once('end', () => resolve(response.trailers));
        }).once('error', reject);
      });
      assert.equal(trailers['x-checksum'], 'abc', path);
    }
  });
});

describe('server-sent events', () => {
  for (const path of ['/events', '/new/events']) {
    it(`come as they are sent from ${path}, and the app learns when nobody listens`, async () => {
      const open = session();
      const stream = open.request({ ':path': path, ':authority': authority(), accept: 'text/event-stream' });
      let received = '';
      stream.on('data', (chunk) => { received += chunk; }).on('error', () => {});
      await eventually('the stream is open', () => received.includes('open'));
      for (let number = 1; number <= 5; number += 1) {
        for (const each of streams) each.write(`data: ${number}\n\n`);
        await eventually(`event ${number} arrives`, () => received.includes(`data: ${number}\n\n`));
      }
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await eventually('the app learns that nobody listens', () => streams.size === 0);
      open.destroy();
    });
  }
});

describe('Expect: 100-continue', () => {
  it('is answered when the app wants the body', async () => {
    const socket = await raw();
    socket.write(head('POST', '/upload', 'Content-Length: 5\r\nExpect: 100-continue\r\n'));
    await eventually('the go-ahead', () => socket.received === 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('hello');
    await eventually('the answer', () => socket.received.includes('"length":5'));
    socket.destroy();
  });

  it('gets the final status, and no go-ahead, where the request is refused', async () => {
    const socket = await raw();
    socket.write(head('POST', '/private/x', 'Content-Length: 5000000\r\nExpect: 100-continue\r\n'));
    await eventually('the answer', () => socket.received.includes('\r\n\r\n'));
    assert.match(socket.received, /^HTTP\/1\.1 401 /);
    assert.ok(!socket.received.includes('100 Continue'));
    await eventually('the connection is closed: what follows could be the body', () => socket.ended);
    assert.equal(seen.length, 0);
  });

  it('gets the app’s final status where the app wants no body', async () => {
    const socket = await raw();
    socket.write(head('POST', '/early', 'Content-Length: 5000000\r\nExpect: 100-continue\r\n'));
    await eventually('the answer', () => socket.received.includes('full'));
    assert.match(socket.received, /HTTP\/1\.1 413 /);
    socket.destroy();
  });
});

function raw() {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: world.port, servername: HOSTS.wiki, ca: world.authority.pem, ALPNProtocols: ['http/1.1'], allowHalfOpen: true }, () => resolve(socket));
    socket.received = '';
    socket.on('data', (chunk) => { socket.received += chunk; });
    for (const event of ['end', 'close', 'error']) socket.on(event, () => { socket.ended = true; });
    socket.once('error', reject);
  });
}

describe('a client', () => {
  it('that asks for a range gets the app’s', async () => {
    const open = session();
    for (const path of ['/range', '/new/range']) {
      const answer = await ask(open, path, { headers: { range: 'bytes=2-4', 'if-range': '"a"' } });
      assert.deepEqual([answer.status, answer.text, answer.headers['content-range'], answer.headers.etag], [206, 'cde', 'bytes 2-4/10', '"a"']);
      const { headers } = seen.pop();
      assert.deepEqual([headers.range, headers['if-range']], ['bytes=2-4', '"a"']);
    }
    open.destroy();
  });

  it('gets the final answer of an app that says something before', async () => {
    const open = session();
    for (const path of ['/interim', '/new/interim']) {
      const answer = await ask(open, path);
      assert.deepEqual([answer.status, answer.text], [200, 'after'], path);
      const socket = await raw();
      socket.write(head('GET', path));
      await eventually('the answer', () => socket.received.includes('after'));
      assert.match(socket.received, /^HTTP\/1\.1 200 /);
      socket.destroy();
    }
    open.destroy();
  });

  it('that asks and then closes its half of an HTTP/2 stream is answered', async () => {
    const open = session();
    assert.equal((await ask(open, '/slow', { method: 'POST', body: 'x' })).text, 'answer');
    open.destroy();
  });
});

describe('a gibibyte', () => {
  const memory = () => Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${world.doorward.child.pid}/status`, 'utf8'))[1]) * 1024;
  let start;
  before(async () => {
    // What a few requests need anyway.
    const open = session();
    for (let round = 0; round < 20; round += 1) await ask(open, '/new/x');
    open.destroy();
    start = memory();
  });
  const grew = () => assert.ok(memory() - start <= ALLOWED_GROWTH, `grew by ${(memory() - start) >> 20} MiB`);

  for (const path of ['', '/new']) {
    for (const h2 of [false, true]) {
      const over = `over ${h2 ? 'HTTP/2' : 'HTTP/1.1'} and ${path ? 'HTTP/2' : 'HTTP/1.1'}`;
      // All of it where both sides speak the same; what is between the two has been seen after a quarter.
      const size = (h2 === (path !== '') ? 1024 : 256) * MEBIBYTE;

      it(`comes down whole to a reader that pauses, ${over}`, async () => {
        const { stream, close } = await download(`${path}/download?size=${size}`, h2);
        const hash = createHash('sha256');
        let length = 0;
        for await (const chunk of stream) {
          // The first pause is long enough for everything to come that does not wait.
          if (length === 0) await new Promise((resolve) => { setTimeout(resolve, 1500); });
          hash.update(chunk);
          length += chunk.length;
        }
        close();
        assert.deepEqual([length, hash.digest('hex')], [size, sha256OfBytes(size)]);
        grew();
      });

      it(`goes up whole, ${over}`, async () => {
        const answer = JSON.parse(await upload(`${path}/upload`, h2, size));
        assert.deepEqual([answer.length, answer.sha256], [size, sha256OfBytes(size)]);
        grew();
      });
    }
  }
});

async function download(path, h2) {
  if (h2) {
    const open = session();
    const stream = open.request({ ':path': path, ':authority': authority() });
    return { stream, close: () => open.destroy() };
  }
  return new Promise((resolve, reject) => {
    const request = https.get({ ...target(path), headers: { host: authority() } }, (stream) => resolve({ stream, close: () => request.destroy() }));
    request.once('error', reject);
  });
}

function upload(path, h2, size) {
  const body = Readable.from(byteChunks(size));
  return new Promise((resolve, reject) => {
    const collect = async (stream) => resolve(Buffer.concat(await stream.toArray()).toString());
    if (h2) {
      const open = session();
      const stream = open.request({ ':method': 'POST', ':path': path, ':authority': authority() });
      stream.once('error', reject);
      body.pipe(stream);
      collect(stream).finally(() => open.destroy());
      return;
    }
    const request = https.request({ ...target(path), method: 'POST', headers: { host: authority(), 'content-length': size } }, collect);
    request.once('error', reject);
    body.pipe(request);
  });
}

function target(path) {
  return { host: '127.0.0.1', port: world.port, servername: HOSTS.wiki, ca: world.authority.pem, path, agent: false };
}
