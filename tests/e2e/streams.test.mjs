// Bodies and tunnels through Doorward and nginx: large, slow and two-way.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import https from 'node:https';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { eventually } from './lib/eventually.mjs';
import { nginxMissing, startNginx } from './lib/nginx.mjs';
import { connect } from './lib/raw.mjs';
import { byteChunks, sha256OfBytes, Upstream } from './lib/upstream.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const MEGABYTES = 1 << 20;
const LARGE = 40 * MEGABYTES + 17;

describe('through nginx', { skip: nginxMissing }, () => {
  let directory;
  let app;
  let nginx;
  let world;
  let visitor;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'doorward-nginx-'));
    app = await Upstream.start();
    nginx = await startNginx(directory, app.url);
    writeFileSync(join(nginx.files, 'large.bin'), Buffer.concat([...byteChunks(LARGE)]));
    writeFileSync(join(nginx.files, 'a b%2Fc;é.txt'), 'odd name');
    world = await startWorld({ files: nginx.url });
    visitor = new Visitor(world);
    await visitor.signIn(`${world.urls.files}/page`, 'alice');
  });
  after(async () => {
    visitor?.close();
    await world?.close();
    await nginx?.close();
    await app?.close();
    rmSync(directory, { recursive: true, force: true });
  });
  beforeEach(() => app.forget());

  for (const h2 of [false, true]) {
    const over = h2 ? 'HTTP/2' : 'HTTP/1.1';
    const client = () => Object.assign(new Visitor(world, { h2 }), { jar: visitor.jar });

    it(`a file of tens of megabytes comes down whole over ${over}`, async () => {
      const who = client();
      const answer = await who.send(`${world.urls.files}/files/large.bin`);
      assert.equal(answer.status, 200);
      assert.equal(answer.header('content-length'), String(LARGE));
      assert.equal(createHash('sha256').update(answer.bytes).digest('hex'), sha256OfBytes(LARGE));
      who.close();
    });

    it(`a body of tens of megabytes goes up whole over ${over}`, async () => {
      const who = client();
      const body = Buffer.concat([...byteChunks(LARGE)]);
      const { json } = await who.send(`${world.urls.files}/upload`, { method: 'POST', body });
      assert.equal(json.length, LARGE);
      assert.equal(json.sha256, sha256OfBytes(LARGE));
      who.close();
    });

    it(`ranges, conditions and odd names are nginx’s to answer over ${over}`, async () => {
      const who = client();
      const range = await who.send(`${world.urls.files}/files/large.bin`, { headers: { range: 'bytes=0-9' } });
      assert.equal(range.status, 206);
      assert.equal(range.text, 'doorward01');
      const again = await who.send(`${world.urls.files}/files/large.bin`, { headers: { 'if-none-match': range.header('etag') } });
      assert.equal(again.status, 304);
      const head = await who.send(`${world.urls.files}/files/large.bin`, { method: 'HEAD' });
      assert.equal(head.header('content-length'), String(LARGE));
      assert.equal(head.bytes.length, 0);
      const odd = await who.send(`${world.urls.files}/files/a%20b%252Fc;%C3%A9.txt`);
      assert.ok(odd.text === 'odd name' || odd.status === 400, 'a double-encoded slash is passed as it is or refused');
      who.close();
    });
  }

  it('a body of unknown length goes up as it comes', async () => {
    const body = Readable.from(byteChunks(5 * MEGABYTES));
    const answer = await upload(body);
    assert.deepEqual([answer.length, answer.sha256], [5 * MEGABYTES, sha256OfBytes(5 * MEGABYTES)]);
  });

  function upload(body) {
    return new Promise((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1', port: world.port, servername: HOSTS.files, ca: world.authority.pem, method: 'POST', path: '/upload',
        headers: { host: `${HOSTS.files}:${world.port}`, cookie: visitor.cookieHeader(HOSTS.files), 'transfer-encoding': 'chunked' },
      }, async (response) => resolve(JSON.parse(Buffer.concat(await response.toArray()).toString())));
      request.once('error', reject);
      body.pipe(request);
    });
  }

  it('a WebSocket echoes text, bytes and a large message', async () => {
    const socket = open('/ws', visitor.cookieHeader(HOSTS.files));
    await event(socket, 'open');
    for (const message of ['hello', 'ø'.repeat(1000), 'x'.repeat(3 * MEGABYTES)]) {
      socket.send(message);
      const [data, binary] = await event(socket, 'message');
      assert.equal(binary, false);
      assert.ok(data.toString() === message);
    }
    socket.send(Buffer.from([0, 255, 128]));
    const [bytes, binary] = await event(socket, 'message');
    assert.deepEqual([[...bytes], binary], [[0, 255, 128], true]);
    socket.close(1000, 'done');
    const [code] = await event(socket, 'close');
    assert.equal(code, 1000);
  });

  it('a WebSocket without a session is refused before the app hears of it', async () => {
    const socket = open('/ws');
    const [, response] = await event(socket, 'unexpected-response');
    assert.equal(response.statusCode, 401);
    assert.equal(app.requests.length, 0);
    socket.terminate();
  });

  function open(path, cookie) {
    const lookup = (_host, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
    const socket = new WebSocket(`wss://${HOSTS.files}:${world.port}${path}`, { lookup, ca: world.authority.pem, headers: cookie ? { cookie } : {}, perMessageDeflate: false });
    socket.on('error', () => {});
    return socket;
  }

  it('an event reaches the client before the app sends the next', async () => {
    const response = await new Promise((resolve, reject) => {
      https.get({
        host: '127.0.0.1', port: world.port, servername: HOSTS.files, ca: world.authority.pem, path: '/events',
        headers: { host: `${HOSTS.files}:${world.port}`, cookie: visitor.cookieHeader(HOSTS.files), accept: 'text/event-stream' },
      }, resolve).once('error', reject);
    });
    let received = '';
    response.on('data', (chunk) => { received += chunk; });
    await eventually('the stream is open', () => app.streams.size === 1);
    for (let number = 1; number <= 5; number += 1) {
      app.push(`event ${number}`);
      await eventually(`event ${number} arrives`, () => received.includes(`data: event ${number}\n\n`));
    }
    response.destroy();
    await eventually('the app learns that the client is gone', () => app.streams.size === 0);
  });
});

describe('an upstream that misbehaves', () => {
  let world;
  let visitor;

  before(async () => {
    world = await startWorld({ adjust: (configuration) => { configuration.apps.files.upstream = 'http://127.0.0.1:9'; } });
    visitor = new Visitor(world);
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
  });
  after(async () => {
    visitor?.close();
    await world?.close();
  });

  it('by not being there: 502 with a request id, as a page or as JSON', async () => {
    const page = await visitor.navigate(`${world.urls.files}/page`);
    assert.equal(page.status, 502);
    assert.ok(page.text.includes(page.header('x-request-id')));
    const answer = await visitor.fetch(`${world.urls.files}/page`);
    assert.equal(answer.status, 502);
    assert.equal(answer.json.request_id, answer.header('x-request-id'));
  });

  it('by closing idle connections does not cost a client its request', async () => {
    for (let round = 0; round < 20; round += 1) {
      assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
      world.upstream.server.closeIdleConnections();
    }
  });

  it('by being left in the middle of a download frees its connection', async () => {
    const connection = await connect(world, HOSTS.wiki);
    connection.write(`GET /events HTTP/1.1\r\nHost: ${HOSTS.wiki}:${world.port}\r\nCookie: ${visitor.cookieHeader(HOSTS.wiki)}\r\n\r\n`);
    await eventually('the stream is open', () => world.upstream.streams.size === 1);
    connection.destroy();
    await eventually('the app learns that the client is gone', () => world.upstream.streams.size === 0);
  });
});

function event(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...details) => resolve(details)));
}
