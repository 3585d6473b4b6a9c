// gRPC through Doorward, by a real client to a real server: every kind of call, and what a refused one is told.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import grpc from '@grpc/grpc-js';
import { issueCertificate, makeAuthority } from './lib/certificate.mjs';
import { eventually } from './lib/eventually.mjs';
import { freePort } from './lib/ports.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

// Alice's name has a letter that this server warns of.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

const SERVICE = '/test.Echo/';
const bytes = { serialize: (message) => message, deserialize: (message) => message };
const method = (name, requestStream, responseStream) => ({
  path: SERVICE + name, requestStream, responseStream,
  requestSerialize: bytes.serialize, requestDeserialize: bytes.deserialize, responseSerialize: bytes.serialize, responseDeserialize: bytes.deserialize,
});
const definition = {
  unary: method('Unary', false, false),
  upload: method('Upload', true, false),
  download: method('Download', false, true),
  chat: method('Chat', true, true),
  fail: method('Fail', false, false),
  hang: method('Hang', false, false),
};

let calls; // what reached the server
let hanging;
let cancelled;
const implementation = {
  unary(call, answer) {
    calls.push(call.metadata.getMap());
    const trailer = new grpc.Metadata();
    trailer.set('x-trailer', 'at the end');
    answer(null, call.request, trailer);
  },
  upload(call, answer) {
    const sizes = [];
    call.on('data', (message) => sizes.push(message.length)).on('end', () => answer(null, Buffer.from(sizes.join())));
  },
  download(call) {
    const head = new grpc.Metadata();
    head.set('x-head', 'at the start');
    call.sendMetadata(head);
    for (let number = 0; number < 100; number += 1) call.write(Buffer.from(`message ${number}`));
    call.end();
  },
  chat(call) {
    call.on('data', (message) => call.write(Buffer.from(`echo ${message}`))).on('end', () => call.end());
    call.on('cancelled', () => { cancelled += 1; });
  },
  fail(call, answer) {
    calls.push(call.metadata.getMap());
    answer({ code: grpc.status.FAILED_PRECONDITION, details: 'not ø today' });
  },
  hang(call) {
    hanging += 1;
    call.on('cancelled', () => { hanging -= 1; });
  },
};

async function startGrpc(credentials) {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(definition, implementation);
  const port = await freePort();
  await new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  return { server, port };
}

const servers = {};
let directory;
let world;
let cookie;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'doorward-grpc-'));
  const authority = makeAuthority(directory);
  const { cert, key } = issueCertificate(authority, 'server', ['grpc.internal']);
  const pair = { cert_chain: readFileSync(cert), private_key: readFileSync(key) };
  servers.clear = await startGrpc(grpc.ServerCredentials.createInsecure());
  servers.secure = await startGrpc(grpc.ServerCredentials.createSsl(null, [pair]));
  world = await startWorld({ adjust: ({ apps }) => {
    apps.wiki.upstream = `h2c://127.0.0.1:${servers.clear.port}`;
    Object.assign(apps.files, {
      upstream: `https://127.0.0.1:${servers.secure.port}`, upstream_tls: { ca: authority.cert, name: 'grpc.internal', http2: true },
    });
    Object.assign(apps.partner, { upstream: 'h2c://127.0.0.1:9', timeouts: { connect: '1s' } });
  } });
  const visitor = new Visitor(world);
  cookie = {};
  for (const name of ['wiki', 'files', 'partner']) {
    await visitor.signIn(`${world.urls[name]}/page`, 'alice');
    cookie[name] = visitor.cookieHeader(HOSTS[name]);
  }
  visitor.close();
});
after(async () => {
  await world?.close();
  for (const { server } of Object.values(servers)) server.forceShutdown();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  calls = [];
  hanging = 0;
  cancelled = 0;
});

const Client = grpc.makeClientConstructor(definition, 'Echo');

// A client of an app, signed in unless it is told not to.
function client(name) {
  const credentials = grpc.credentials.createSsl(Buffer.from(world.authority.pem));
  return new Client(`127.0.0.1:${world.port}`, credentials, {
    'grpc.ssl_target_name_override': HOSTS[name], 'grpc.default_authority': `${HOSTS[name]}:${world.port}`, 'grpc.max_receive_message_length': -1,
  });
}

function metadata(name, more = {}) {
  const all = new grpc.Metadata();
  for (const [key, value] of Object.entries({ cookie: cookie[name], ...more })) if (value) all.set(key, value);
  return all;
}

function unary(app, call, message, more, options = {}) {
  return new Promise((resolve) => {
    const seen = {};
    const sent = app[call](message, more, options, (error, answer) => resolve(Object.assign(seen, { error, answer })));
    sent.on('metadata', (head) => { seen.head = head; });
    sent.on('status', (status) => { seen.status = status; });
  });
}

for (const name of ['wiki', 'files']) {
  describe(`through ${name === 'wiki' ? 'clear text' : 'TLS'}`, () => {
    let app;
    before(() => { app = client(name); });
    after(() => app.close());

    it('a unary call, with the identity and its trailers', async () => {
      const outcome = await unary(app, 'unary', Buffer.from('hello'), metadata(name, { 'x-remote-user': 'root', 'x-mine': '1' }));
      assert.equal(outcome.error, null);
      assert.equal(outcome.answer.toString(), 'hello');
      await eventually('the trailers are there', () => outcome.status);
      assert.equal(outcome.status.metadata.get('x-trailer')[0], 'at the end');
      const [seen] = calls;
      assert.equal(seen['x-doorward-email'], 'alice@corp.test');
      assert.equal(seen['x-mine'], '1');
      assert.notEqual(seen['x-remote-user'], 'root');
      assert.equal(seen.cookie, undefined);
    });

    it('a unary call with a message of some megabytes', async () => {
      const message = Buffer.alloc(3 << 20, 'x');
      const { answer } = await unary(app, 'unary', message, metadata(name));
      assert.ok(answer.equals(message));
    });

    it('a stream of messages from the client', async () => {
      const answer = await new Promise((resolve, reject) => {
        const call = app.upload(metadata(name), (error, result) => (error ? reject(error) : resolve(result)));
        for (const size of [1, 0, 100_000]) call.write(Buffer.alloc(size));
        call.end();
      });
      assert.equal(answer.toString(), '1,0,100000');
    });

    it('a stream of messages from the server', async () => {
      const call = app.download(Buffer.alloc(0), metadata(name));
      const head = new Promise((resolve) => { call.on('metadata', resolve); });
      const messages = [];
      for await (const message of call) messages.push(message.toString());
      assert.deepEqual(messages, Array.from({ length: 100 }, (_, number) => `message ${number}`));
      assert.equal((await head).get('x-head')[0], 'at the start');
    });

    it('a conversation, message by message', async () => {
      const call = app.chat(metadata(name));
      const messages = call[Symbol.asyncIterator]();
      for (const word of ['one', 'two', 'three']) {
        call.write(Buffer.from(word));
        assert.equal((await messages.next()).value.toString(), `echo ${word}`);
      }
      call.end();
      assert.equal((await messages.next()).done, true);
    });

    it('a status of the server, as it is', async () => {
      const { error } = await unary(app, 'fail', Buffer.alloc(0), metadata(name));
      assert.deepEqual([error.code, error.details], [grpc.status.FAILED_PRECONDITION, 'not ø today']);
      const unknown = new grpc.Client(`127.0.0.1:${world.port}`, grpc.credentials.createSsl(Buffer.from(world.authority.pem)), {
        'grpc.ssl_target_name_override': HOSTS[name], 'grpc.default_authority': `${HOSTS[name]}:${world.port}`,
      });
      const outcome = await new Promise((resolve) => {
        unknown.makeUnaryRequest(`${SERVICE}Absent`, bytes.serialize, bytes.deserialize, Buffer.alloc(0), metadata(name), resolve);
      });
      unknown.close();
      assert.equal(outcome.code, grpc.status.UNIMPLEMENTED);
    });

    it('a deadline, which ends the call at the server too', async () => {
      const { error } = await unary(app, 'hang', Buffer.alloc(0), metadata(name), { deadline: Date.now() + 500 });
      assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
      await eventually('the server knows', () => hanging === 0);
    });

    it('a cancelled conversation, of which the server learns', async () => {
      const call = app.chat(metadata(name));
      call.on('error', () => {});
      call.write(Buffer.from('one'));
      await new Promise((resolve) => { call.once('data', resolve); });
      call.cancel();
      await eventually('the server knows', () => cancelled === 1);
    });

    it('a hundred calls at a time', async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, number) => unary(app, 'unary', Buffer.from(String(number)), metadata(name))));
      assert.deepEqual(answers.map(({ answer }) => Number(answer)), Array.from({ length: 100 }, (_, number) => number));
    });
  });
}

describe('a call whose session ends', () => {
  for (const name of ['wiki', 'files']) {
    it(`is told so by its status, at ${name}`, async () => {
      const visitor = new Visitor(world);
      await visitor.signIn(`${world.urls[name]}/page`, 'alice');
      const app = client(name);
      const call = app.chat(metadata(name, { cookie: visitor.cookieHeader(HOSTS[name]) }));
      const status = new Promise((resolve) => { call.on('status', resolve).on('error', () => {}); });
      call.write(Buffer.from('one'));
      await new Promise((resolve) => { call.once('data', resolve); });
      await visitor.navigate(`${world.urls[name]}/.doorward/logout`);
      const { code, details } = await status;
      assert.deepEqual([code, details], [grpc.status.UNAUTHENTICATED, 'session_invalid']);
      await eventually('the server knows', () => cancelled === 1);
      app.close();
      visitor.close();
    });
  }
});

describe('a call that is refused', () => {
  const cases = [
    ['without a session', 'wiki', { cookie: undefined }, grpc.status.UNAUTHENTICATED, 'not_signed_in'],
    ['with a made-up session', 'wiki', { cookie: `__Host-doorward=${'x'.repeat(43)}` }, grpc.status.UNAUTHENTICATED, 'session_invalid'],
    ['by an app that can’t be reached', 'partner', {}, grpc.status.UNAVAILABLE, 'upstream_unreachable'],
  ];
  for (const [what, name, more, code, reason] of cases) {
    for (const kind of ['unary', 'upload', 'download', 'chat']) {
      it(`${what}: ${kind}`, async () => {
        const app = client(name);
        const sent = metadata(name, more);
        const status = await new Promise((resolve) => {
          const call = definition[kind].requestStream ? app[kind](sent, () => {}) : app[kind](Buffer.alloc(10), sent, () => {});
          call.on('status', resolve).on('error', () => {});
          if (definition[kind].responseStream) call.on('data', () => {});
          if (definition[kind].requestStream) call.write(Buffer.alloc(100_000));
        });
        app.close();
        assert.deepEqual([status.code, status.details], [code, reason]);
        assert.equal(calls.length, 0);
      });
    }
  }

  it('looks on the wire as the specification says: one head, that ends the stream', async () => {
    const session = http2.connect(`https://127.0.0.1:${world.port}`, { servername: HOSTS.wiki, ca: world.authority.pem });
    const stream = session.request({
      ':method': 'POST', ':path': `${SERVICE}Unary`, ':authority': `${HOSTS.wiki}:${world.port}`, 'content-type': 'application/grpc+proto', te: 'trailers',
    });
    const [head, flags] = await new Promise((resolve) => { stream.once('response', (...seen) => resolve(seen)); });
    session.destroy();
    assert.equal(head[':status'], 200);
    assert.equal(head['content-type'], 'application/grpc');
    assert.equal(head['grpc-status'], '16');
    assert.ok(flags & http2.constants.NGHTTP2_FLAG_END_STREAM);
  });
});
