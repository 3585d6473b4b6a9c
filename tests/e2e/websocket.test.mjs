// WebSockets over HTTP/1.1 and HTTP/2, to apps that speak the one or the other, by real frames.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Receiver, Sender, WebSocket, WebSocketServer } from 'ws';
import { issueCertificate, makeAuthority } from './lib/certificate.mjs';
import { eventually } from './lib/eventually.mjs';
import { startServer } from './lib/servers.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const accept = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
let seen; // the heads of what asked for a WebSocket
let ended;

// An HTTP/1.1 app: echoes messages; some paths answer otherwise.
async function startOld(kind, options) {
  const server = await startServer(kind, options);
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] });
  server.server.on('upgrade', (request, socket, head) => {
    seen.push({ method: request.method, version: request.httpVersion, headers: request.headers, url: request.url });
    socket.once('close', () => { ended += 1; });
    const answer = {
      '/wiki/forbidden': 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
      '/wiki/fine': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine',
      '/wiki/other': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n',
      '/wiki/wrong-key': `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept('x')}\r\n\r\n`,
    }[request.url];
    if (answer) return socket.end(answer);
    return sockets.handleUpgrade(request, socket, head, (client) => client.on('message', (data, binary) => client.send(data, { binary })));
  });
  return server;
}

// An HTTP/2 app that takes extended CONNECT, or not.
async function startNew(kind, options, takes) {
  const server = await startServer(kind, { ...options, settings: { enableConnectProtocol: takes }, serve: null });
  server.server.on('stream', (stream, headers) => {
    if (headers[':method'] !== 'CONNECT') return void stream.respond({ ':status': 404 }, { endStream: true });
    seen.push({ method: headers[':method'], version: '2.0', headers, url: headers[':path'] });
    stream.on('error', () => {}).once('close', () => { ended += 1; });
    if (headers[':path'].endsWith('/forbidden')) return void stream.respond({ ':status': 403 }, { endStream: true });
    stream.respond({ ':status': 200, 'sec-websocket-protocol': headers['sec-websocket-protocol']?.split(',')[0] });
    frames(stream, true, (data, binary, sender) => sender.send(data, { binary, fin: true, compress: false, mask: false }));
  });
  return server;
}

// Speaks WebSocket on a stream of bytes.
function frames(stream, isServer, onMessage) {
  const sender = new Sender(stream);
  const receiver = new Receiver({ isServer });
  receiver.on('message', (data, binary) => onMessage(data, binary, sender));
  receiver.on('error', () => {}).on('conclude', (code, reason) => stream.emit('concluded', code, reason));
  stream.on('data', (chunk) => receiver.write(chunk));
  return sender;
}

const servers = {};
let directory;
let world;
let cookie;
let session;

before(async () => {
  seen = [];
  directory = mkdtempSync(join(tmpdir(), 'doorward-websocket-'));
  const authority = makeAuthority(directory);
  const certificate = issueCertificate(authority, 'server', ['app.internal']);
  servers.old = await startOld('http');
  servers.oldTls = await startOld('https', { certificate });
  servers.clear = await startNew('h2c', {}, true);
  servers.deaf = await startNew('h2c', {}, false);
  servers.tls = await startNew('h2', { certificate }, true);
  servers.both = await startOld('h2', { certificate, allowHTTP1: true });
  world = await startWorld({ adjust: ({ apps }, of) => {
    const { allow, identity } = apps.wiki;
    const upstream_tls = { ca: authority.cert, name: 'app.internal', http2: true };
    for (const [name, url, more] of [
      ['old', `http://127.0.0.1:${servers.old.port}`],
      ['oldTls', `https://127.0.0.1:${servers.oldTls.port}`, { upstream_tls }],
      ['clear', `h2c://127.0.0.1:${servers.clear.port}`],
      ['deaf', `h2c://127.0.0.1:${servers.deaf.port}`],
      ['tls', `https://127.0.0.1:${servers.tls.port}`, { upstream_tls }],
      ['both', `https://127.0.0.1:${servers.both.port}`, { upstream_tls }],
    ]) apps[name] = { url: `${of.urls.wiki}/${name}`, upstream: url, identity, allow, ...more };
    apps.wiki = { ...apps.wiki, upstream: `http://127.0.0.1:${servers.old.port}`, allow: [{ groups: ['staff'], methods: ['GET'] }] };
    apps.wiki.paths = [{ match: '/wiki/post/**', methods: ['POST'], allow: [{ groups: ['staff'] }] }];
  } });
  const visitor = new Visitor(world);
  await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
  cookie = visitor.cookieHeader(HOSTS.wiki);
  visitor.close();
  session = http2.connect(`https://127.0.0.1:${world.port}`, { servername: HOSTS.wiki, ca: world.authority.pem });
  await new Promise((resolve) => { session.once('remoteSettings', resolve); });
});
after(async () => {
  session?.destroy();
  await world?.close();
  for (const server of Object.values(servers)) server.close();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
  ended = 0;
});

const authority = () => `${HOSTS.wiki}:${world.port}`;

// A WebSocket over HTTP/2: the status, and where it is 200 something to talk by.
function connect(path, headers = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': path, ':authority': authority(),
      'sec-websocket-version': '13', cookie, ...headers,
    }, { endStream: false });
    stream.once('error', reject).once('response', (head) => {
      const heard = [];
      const body = [];
      stream.on('error', () => {}).on('data', (chunk) => body.push(chunk));
      const sender = head[':status'] === 200 ? frames(stream, false, (data, binary) => heard.push([data, binary])) : undefined;
      resolve({ status: head[':status'], head, stream, heard, body, say: (data, binary = false) => sender.send(data, { binary, fin: true, mask: true, compress: false }) });
    });
  });
}

// A cookie of Bob's, whose session a test may end.
async function signedIn() {
  const visitor = new Visitor(world);
  await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
  visitor.close();
  return visitor.cookieHeader(HOSTS.wiki);
}

async function revoke(user) {
  const answer = await fetch(`http://${world.doorward.admin}/api/v1/sessions/revoke`, {
    method: 'POST', headers: { authorization: 'Bearer an-admin-token-of-the-tests' }, body: JSON.stringify({ user }),
  });
  assert.equal((await answer.json()).sign_ins, 1);
}

function open(path, headers = {}, protocols = []) {
  const lookup = (_host, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
  const socket = new WebSocket(`wss://${authority()}${path}`, protocols, { lookup, ca: world.authority.pem, headers: { cookie, ...headers } });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('open', () => resolve({ status: 101, socket }));
    socket.once('unexpected-response', (_request, response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk)).on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
    });
  });
}

const LARGE = Buffer.alloc(3 << 20, 'doorward');
const LEADS = ['old', 'oldTls', 'clear', 'tls', 'both'];

describe('a WebSocket over HTTP/2', () => {
  it('is offered', () => {
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
  });

  for (const name of LEADS) {
    it(`carries text, bytes and a large message to ${name}`, async () => {
      const socket = await connect(`/${name}/ws?a=%2F`, { origin: 'https://elsewhere.test', 'x-remote-user': 'root', 'sec-websocket-protocol': 'chat' });
      assert.equal(socket.status, 200);
      assert.equal(socket.head['sec-websocket-protocol'], 'chat');
      for (const name of ['sec-websocket-accept', 'upgrade', 'connection']) assert.equal(socket.head[name], undefined);
      for (const [message, binary] of [['hello', false], [Buffer.from([0, 255]), true], [LARGE, true]]) {
        socket.say(message, binary);
        await eventually('it comes back', () => socket.heard.length === 1);
        const [data, as] = socket.heard.pop();
        assert.ok(data.equals(Buffer.from(message)) && as === binary);
      }
      const [{ headers, url, method, version }] = seen;
      assert.equal(url, `/${name}/ws?a=%2F`);
      assert.equal(headers.origin, 'https://elsewhere.test');
      assert.equal(headers['x-remote-user'], 'alice@corp.test');
      assert.equal(headers.cookie, undefined);
      if (version === '2.0') assert.deepEqual([method, headers[':protocol'], headers['sec-websocket-key']], ['CONNECT', 'websocket', undefined]);
      else assert.match(headers['sec-websocket-key'], /^[A-Za-z0-9+/]{22}==$/);
      socket.stream.close();
      await eventually('the app learns that it is over', () => ended === 1);
    });
  }

  it('ends when the app ends it', async () => {
    const socket = await connect('/old/ws');
    const closed = new Promise((resolve) => { socket.stream.once('end', resolve); });
    for (const each of servers.old.sockets) each.destroy();
    await closed;
  });

  it('is told why it ends when an administrator ends the session', async () => {
    const { stream } = await connect('/old/ws', { cookie: await signedIn() });
    let told;
    stream.once('concluded', (code, reason) => { told = [code, reason.toString()]; });
    await revoke('bob@corp.test');
    assert.deepEqual(await eventually('it ends', () => told), [1008, 'access ended']);
    await eventually('the app learns that it is over', () => ended === 1);
  });

  it('leaves one record, as a GET, with what it carried', async () => {
    const socket = await connect('/old/recorded');
    socket.say('x'.repeat(1000));
    await eventually('it comes back', () => socket.heard.length === 1);
    socket.stream.close();
    const record = await eventually('there is a record', () => world.audit().find(({ path }) => path === '/old/recorded'));
    assert.equal(record.method, 'GET');
    assert.equal(record.status, 200);
    assert.ok(record.bytes_out >= 1000);
    assert.equal(record.email, 'alice@corp.test');
  });

  it('is judged like a GET', async () => {
    for (const [path, headers, status] of [
      ['/old/ws', { cookie: 'x=1' }, 401],
      ['/old/ws', { cookie: '__Host-doorward=forged' }, 401],
      ['/wiki/post/ws', {}, 403],
      ['/old/%2e%2e/ws', {}, 400],
    ]) {
      const answer = await connect(path, headers);
      assert.equal(answer.status, status, path);
      await eventually('the refusal has a body', () => answer.body.length > 0);
    }
    assert.equal(seen.length, 0);
  });

  it('that the app refuses gets the app’s answer', async () => {
    assert.equal((await connect('/clear/forbidden')).status, 403);
    const answer = await connect('/wiki/forbidden');
    assert.equal(answer.status, 403);
    await eventually('with its body', () => Buffer.concat(answer.body).toString() === 'no');
  });

  it('to an app that answers anything else but a WebSocket is a failure of the app', async () => {
    for (const path of ['/wiki/fine', '/wiki/other', '/wiki/wrong-key', '/deaf/ws']) {
      assert.equal((await connect(path)).status, 502, path);
    }
  });

  it('is the only CONNECT that passes', async () => {
    for (const [what, headers] of [
      ['another protocol', { ':protocol': 'connect-udp' }],
      ['none', { ':protocol': undefined, ':scheme': undefined, ':path': undefined }],
    ]) {
      const outcome = await connect('/old/ws', headers).then(({ status }) => status, () => 'reset');
      assert.ok([400, 405, 'reset'].includes(outcome), `${what}: ${outcome}`);
    }
    assert.equal(seen.length, 0);
  });

  it('shares its connection with other requests', async () => {
    const socket = await connect('/tls/ws');
    const others = await Promise.all(Array.from({ length: 20 }, () => connect('/tls/ws')));
    for (const each of [socket, ...others]) each.say('hello');
    await eventually('all come back', () => [socket, ...others].every(({ heard }) => heard.length === 1));
    for (const each of [socket, ...others]) each.stream.close();
  });
});

describe('a WebSocket over HTTP/1.1', () => {
  for (const name of LEADS) {
    it(`carries messages to ${name}`, async () => {
      const { status, socket } = await open(`/${name}/ws`, {}, ['chat', 'other']);
      assert.equal(status, 101);
      assert.equal(socket.protocol, 'chat');
      for (const message of ['hello', LARGE]) {
        const heard = [];
        socket.once('message', (data) => heard.push(data));
        socket.send(message);
        await eventually('it comes back', () => heard.length === 1);
        assert.ok(heard[0].equals(Buffer.from(message)));
      }
      socket.terminate();
      await eventually('the app learns that it is over', () => ended === 1);
    });
  }

  it('is told why it ends when an administrator ends the session', async () => {
    const { socket } = await open('/old/ws', { cookie: await signedIn() });
    let told;
    socket.once('close', (code, reason) => { told = [code, reason.toString()]; });
    await revoke('bob@corp.test');
    assert.deepEqual(await eventually('it ends', () => told), [1008, 'access ended']);
    await eventually('the app learns that it is over', () => ended === 1);
  });

  it('that the app refuses gets the app’s answer', async () => {
    assert.equal((await open('/clear/forbidden')).status, 403);
    assert.equal((await open('/wiki/forbidden')).status, 403);
    assert.equal((await open('/wiki/fine')).body.toString(), 'fine');
  });

  it('to an app that answers something else, or takes none, is a failure of the app', async () => {
    for (const path of ['/wiki/other', '/deaf/ws']) assert.equal((await open(path)).status, 502, path);
  });
});
