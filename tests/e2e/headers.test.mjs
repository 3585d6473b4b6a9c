// No header that a client chose reaches an app as identity, however it is
// spelled, on h1 and h2, signed in, public and upgraded alike.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect, exchange } from './lib/raw.mjs';
import { fold } from './lib/upstream.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const FORGED = 'forged-by-the-client';
// Ours, and what some app of this configuration is told to receive.
const PROTECTED = ['X-Doorward-User', 'X-Doorward-Email', 'X-Doorward-Name', 'X-Doorward-Groups', 'X-Doorward-Assertion', 'X-Remote-User', 'X-Remote-Groups', 'X-Department'];
const SPELLINGS = {
  'as documented': (name) => name,
  'in lower case': (name) => name.toLowerCase(),
  'in upper case': (name) => name.toUpperCase(),
  'with underscores': (name) => name.replaceAll('-', '_'),
  'with underscores, lower case': (name) => name.replaceAll('-', '_').toLowerCase(),
  'with dots': (name) => name.replaceAll('-', '.'),
  'half and half': (name) => name.replace('-', '_').replace(/-([^-]*)$/, '.$1'),
};

let world;
let visitor;
let cookie;

before(async () => {
  world = await startWorld();
  visitor = new Visitor(world);
  await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
  cookie = visitor.cookieHeader(HOSTS.wiki);
});
after(async () => {
  visitor?.close();
  await world?.close();
});
beforeEach(() => world.upstream.forget());

function assertNothingForged(seen) {
  const folded = PROTECTED.map(fold);
  const forged = [...seen.headers, ...seen.trailers].filter(([name, value]) => folded.includes(fold(name)) && value.includes(FORGED));
  assert.deepEqual(forged, []);
}

function assertIsAlice(seen) {
  assertNothingForged(seen);
  assert.deepEqual(seen.folded('X-Doorward-Email'), ['alice@corp.test']);
  assert.deepEqual(seen.folded('X-Remote-User'), ['alice@corp.test']);
  assert.deepEqual(seen.folded('X-Department'), ['engineering']);
  assert.equal(seen.folded('X-Doorward-Assertion').length, 1);
}

function assertIsNobody(seen) {
  assertNothingForged(seen);
  for (const name of PROTECTED) assert.deepEqual(seen.folded(name), [], name);
}

describe('an identity header that the client sends', () => {
  for (const [how, spell] of Object.entries(SPELLINGS)) {
    it(`${how} is removed, over HTTP/1.1`, async () => {
      const lines = PROTECTED.map((name) => `${spell(name)}: ${FORGED}\r\n`).join('');
      await assertBoth((path, session) => exchange(world, HOSTS.wiki, get(path, session + lines)));
    });

    it(`${how} is removed, over HTTP/2`, async () => {
      const h2 = new Visitor(world, { h2: true });
      const forged = Object.fromEntries(PROTECTED.map((name) => [spell(name).toLowerCase(), FORGED]));
      await assertBoth((path, session) => h2.send(`${world.urls.wiki}${path}`, { headers: { ...forged, ...(session && { cookie }) } }));
      h2.close();
    });
  }

  it('twice, around others, and with odd spacing is removed', async () => {
    const lines = PROTECTED.map((name) => `${name}:${FORGED}\r\nX-Other: 1\r\n${name.toLowerCase()}:\t ${FORGED} \t\r\n`).join('');
    await assertBoth((path, session) => exchange(world, HOSTS.wiki, get(path, session + lines)));
  });

  it('with the right value of somebody else is removed', async () => {
    await exchange(world, HOSTS.wiki, get('/public/x', 'X-Remote-User: root@corp.test\r\nX-Doorward-Groups: admins\r\n'));
    assertIsNobody(world.upstream.last());
  });

  it('in the trailers of a chunked body is removed', async () => {
    const trailers = PROTECTED.map((name) => `${name}: ${FORGED}\r\n`).join('');
    const head = `Transfer-Encoding: chunked\r\nTrailer: ${PROTECTED.join(', ')}\r\n`;
    await assertBoth((path, session) => exchange(world, HOSTS.wiki, `POST ${path} HTTP/1.1\r\nHost: ${authority()}\r\n${session}${head}\r\n3\r\nabc\r\n0\r\n${trailers}\r\n`));
  });

  it('cannot be taken away by naming it in Connection', async () => {
    for (const nominated of [PROTECTED.join(', '), PROTECTED.join(',').toLowerCase(), `close, ${PROTECTED.join(' ,\t')}`]) {
      world.upstream.forget();
      await exchange(world, HOSTS.wiki, get('/page', `${session()}Connection: ${nominated}\r\n`));
      assertIsAlice(world.upstream.last());
    }
  });

  it('on a WebSocket upgrade is removed', async () => {
    const lines = PROTECTED.map((name) => `${name}: ${FORGED}\r\n`).join('');
    const connection = await connect(world, HOSTS.wiki);
    connection.write(`GET /ws HTTP/1.1\r\nHost: ${authority()}\r\n${session()}${lines}Connection: Upgrade\r\nUpgrade: websocket\r\n`
      + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    assert.equal((await connection.answer()).status, 101);
    connection.destroy();
    assertIsAlice(world.upstream.last());
  });

  it('that looks like a public header but is not ours passes', async () => {
    await exchange(world, HOSTS.wiki, get('/public/x', 'X-Remote-Usher: kept\r\nX-Custom: kept\r\n'));
    assert.equal(world.upstream.last().header('x-remote-usher'), 'kept');
    assert.equal(world.upstream.last().header('x-custom'), 'kept');
  });

  // Runs an attack against a signed-in and a public path.
  async function assertBoth(attack) {
    await attack('/page', session());
    assertIsAlice(onlyRequest('/page'));
    await attack('/public/page', '');
    assertIsNobody(onlyRequest('/public/page'));
  }
});

describe('where the client says it comes from', () => {
  const LIES = { 'X-Forwarded-For': '203.0.113.66', 'X-Real-IP': '203.0.113.66', Forwarded: 'for=203.0.113.66', 'X-Forwarded-Host': 'evil.test', 'X-Forwarded-Proto': 'gopher', 'X_Forwarded_For': '203.0.113.66' };

  it('is not passed on as truth', async () => {
    await exchange(world, HOSTS.wiki, get('/page', session() + Object.entries(LIES).map(([name, value]) => `${name}: ${value}\r\n`).join('')));
    const seen = onlyRequest('/page');
    const believed = seen.headers.filter(([, value]) => /203\.0\.113\.66|evil\.test|gopher/.test(value));
    assert.deepEqual(believed, []);
  });

  it('does not decide which path is judged', async () => {
    const rewrites = ['X-Original-URL', 'X-Rewrite-URL', 'X-Original-URI', 'X-Forwarded-Uri', 'X-Original-Method', 'X-HTTP-Method-Override'];
    for (const name of rewrites) {
      const answer = await exchange(world, HOSTS.wiki, get('/page', `${name}: /public/page\r\nAccept: application/json\r\n`));
      assert.equal(answer.status, 401, name);
    }
    assert.equal(world.upstream.requests.length, 0);
  });

  it('a health checker’s user agent does not skip the login', async () => {
    for (const agent of ['kube-probe/1.30', 'GoogleHC/1.0', 'ELB-HealthChecker/2.0']) {
      const answer = await exchange(world, HOSTS.wiki, get('/page', `User-Agent: ${agent}\r\n`));
      assert.equal(answer.status, 401, agent);
    }
  });
});

describe('cookies', () => {
  it('of ours never reach the app; every other does, in order', async () => {
    const line = `a=1; ${cookie}; b="2 3"; __Host-doorward-sso=x; __Host-doorward-flow-abc=y; c=__Host-doorward; d==`;
    for (const h2 of [false, true]) {
      const client = new Visitor(world, { h2 });
      world.upstream.forget();
      await client.send(`${world.urls.wiki}/page`, { headers: { cookie: line } });
      assert.equal(onlyRequest('/page').header('cookie'), 'a=1; b="2 3"; c=__Host-doorward; d==');
      client.close();
    }
  });

  it('of ours are removed on public paths and from a second Cookie line', async () => {
    await exchange(world, HOSTS.wiki, get('/public/page', `${session()}Cookie: z=1\r\nCookie: __Host-doorward-sso=x\r\n`));
    const all = onlyRequest('/public/page').headers.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value).join('; ');
    assert.equal(all, 'z=1');
  });

  it('of ours alone leave no empty Cookie header', async () => {
    await exchange(world, HOSTS.wiki, get('/page', session()));
    assert.equal(onlyRequest('/page').header('cookie'), undefined);
  });

  it('that the app sets pass, but it cannot set ours', async () => {
    const answer = await visitor.send(`${world.urls.wiki}/cookies`);
    assert.deepEqual(answer.setCookies.filter((line) => !line.startsWith('__Host-doorward')), ['app=1; Path=/', 'second=2; HttpOnly']);
    assert.ok(!answer.setCookies.some((line) => line.includes('stolen')));
  });

  it('with two session values are not guessed at', async () => {
    for (const line of [`__Host-doorward=x; ${cookie}`, `${cookie}; __Host-doorward=x`]) {
      world.upstream.forget();
      const answer = await exchange(world, HOSTS.wiki, get('/page', `Cookie: ${line}\r\nAccept: application/json\r\n`));
      assert.ok([400, 401, 200].includes(answer.status));
      for (const seen of world.upstream.requests) assertIsAlice(seen);
    }
  });
});

describe('what the app is told besides', () => {
  it('is the request id that the client is told too', async () => {
    const answer = await visitor.send(`${world.urls.wiki}/page`);
    const [id, ...more] = onlyRequest('/page').folded('X-Request-Id');
    assert.equal(id, answer.header('x-request-id'));
    assert.deepEqual(more, []);
  });

  it('is its own host name', async () => {
    await visitor.send(`${world.urls.wiki}/page`);
    assert.equal(onlyRequest('/page').header('host'), authority());
  });

  it('does not include hop-by-hop headers of the client', async () => {
    await exchange(world, HOSTS.wiki, get('/page', `${session()}Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n`));
    const seen = onlyRequest('/page');
    for (const name of ['x-hop', 'keep-alive', 'proxy-authorization', 'proxy-connection']) assert.equal(seen.header(name), undefined, name);
  });

  it('names with letters beyond ASCII do not break the request', async () => {
    await visitor.send(`${world.urls.wiki}/page`);
    const [name] = onlyRequest('/page').folded('X-Doorward-Name');
    assert.match(name, /^[\x20-\x7e]*$|Ørsted/);
    assert.ok(name.length > 0);
  });

  it('cannot be stretched by a claim that holds a line break', async () => {
    world.staff.people.alice.department = 'engineering\r\nX-Remote-User: root@corp.test';
    const fresh = new Visitor(world);
    try {
      await fresh.signIn(`${world.urls.wiki}/public/none`, 'alice');
      await fresh.signIn(`${world.urls.wiki}/page`, 'alice');
      for (const seen of world.upstream.requests) assert.ok(!seen.folded('X-Remote-User').includes('root@corp.test'));
    } finally {
      world.staff.people.alice.department = 'engineering';
      fresh.close();
    }
  });
});

const authority = () => `${HOSTS.wiki}:${world.port}`;
const session = () => `Cookie: ${cookie}\r\n`;
const get = (path, lines = '') => `GET ${path} HTTP/1.1\r\nHost: ${authority()}\r\n${lines}\r\n`;

function onlyRequest(path) {
  const seen = world.upstream.at(path);
  assert.equal(seen.length, 1, `the app saw ${path} once`);
  world.upstream.forget();
  return seen[0];
}
