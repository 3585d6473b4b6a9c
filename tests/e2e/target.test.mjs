// One truth about what is asked for: an ambiguous request is refused and the
// app never sees it; an unambiguous path reaches the app byte for byte.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect, exchange } from './lib/raw.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

let world;
let visitor;
let session;
let authority;

before(async () => {
  world = await startWorld();
  visitor = new Visitor(world);
  await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
  session = `Cookie: ${visitor.cookieHeader(HOSTS.wiki)}\r\n`;
  authority = `${HOSTS.wiki}:${world.port}`;
});
after(async () => {
  visitor?.close();
  await world?.close();
});
beforeEach(() => world.upstream.forget());

const UNAMBIGUOUS = [
  '/', '/a', '/a/', '/a//b', '//a', '/a///', '/a%2Fb', '/a%5cb', '/a%252fb', '/a%2fb', '/a%20b', '/%E2%82%AC', '/a+b', '/a;v=1/b', '/a,b', '/a:b@c', "/(a)!*'~_-$&=",
  '/...', '/a..b', '/..a', '/.well-known/x', '/a.', '/%41', '/a?x=../../b', '/a?to=//evil.test/', '/a?x=%2e%2e%2f', '/a?', '/a??', '/a?x=a?b', '/a?%00', '/a?x=;y',
  '/.doorward', '/.doorwardX/login', '/x/.doorward/login', `/${'long'.repeat(500)}`,
];

const AMBIGUOUS = [
  '/a/../b', '/a/./b', '/..', '/.', '/a/..', '/../b', '/public/../admin/x', '/a/%2e%2e/b', '/a/%2E%2E/b', '/a/.%2e/b', '/a/%2e/b', '/a/%2e%2e%2fb', '/a/..%2fb', '/a%2f..%2fb',
  '/public/..%2fadmin/x', '/public/%2e%2e/admin/x', '/a/..;/b', '/a/..;x=1/b', '/a/.;/b', '/a/%2e%2e;/b', '/a\\b', '/a\\..\\b', '/a%5C..%5Cb', '/a/%252e%252e/b',
  '/a%00b', '/a%0ab', '/a%0d%0ab', '/a%7fb', '/a%', '/a%2', '/a%zz', '/a%u002e', '/a\x01b', '/a\x7fb', '/a\xffb', '/%c0%ae%c0%ae/b',
  '/.doorward/../page', '/%2edoorward/session', '/.doorward%2fsession', '/.DOORWARD/../page', '/.doorward/./session', '/.doorward//../page',
];

describe('a path', () => {
  for (const path of UNAMBIGUOUS) {
    it(`${show(path)} reaches the app byte for byte over HTTP/1.1`, async () => {
      const answer = await exchange(world, HOSTS.wiki, request(path));
      assert.equal(answer.status, 200);
      assert.deepEqual(targets(), [path]);
    });
  }

  it('unambiguous reaches the app byte for byte over HTTP/2', async () => {
    await overH2(UNAMBIGUOUS, (path, status) => {
      assert.equal(status, 200, path);
      assert.deepEqual(targets(), [path]);
    });
  });

  for (const path of AMBIGUOUS) {
    it(`${show(path)} is refused over HTTP/1.1, and the connection ends`, async () => {
      const connection = await connect(world, HOSTS.wiki);
      connection.write(request(path));
      const answer = await connection.answer();
      assert.equal(answer?.status, 400);
      await connection.closed();
      assert.deepEqual(targets(), []);
    });
  }

  // The parser ends the target at a fragment: nothing behind it is judged, and nothing behind it reaches the app.
  it('with a fragment reaches the app as far as it was judged', async () => {
    for (const [path, seen] of [['/a#b', '/a'], ['/public/x#/../admin/x', '/public/x'], ['/page?q=1#/../admin', '/page?q=1']]) {
      world.upstream.forget();
      const answer = await exchange(world, HOSTS.wiki, request(path));
      assert.equal(answer?.status, 200);
      assert.deepEqual(targets(), [seen]);
    }
  });

  it('ambiguous is refused over HTTP/2', async () => {
    // node's h2 client sends latin1 and control bytes as they are given.
    await overH2(AMBIGUOUS, (path, status) => {
      assert.ok(status === 400 || status === 'reset', `${show(path)}: ${status}`);
      assert.deepEqual(targets(), []);
    });
  });

  async function overH2(paths, check) {
    const h2 = new Visitor(world, { h2: true });
    h2.jar = visitor.jar;
    for (const path of paths) {
      world.upstream.forget();
      check(path, await h2Status(h2, path));
    }
    h2.close();
  }
});

// A Visitor would tidy the URL up; this sends `:path` as it is.
async function h2Status(h2, path) {
  const url = { protocol: 'https:', hostname: HOSTS.wiki, host: authority, port: world.port, pathname: path, search: '', href: `https://${authority}/` };
  try {
    return (await h2.sendTo(url)).status;
  } catch (error) {
    if (/refused|reset|PROTOCOL|closed|canceled/i.test(`${error.code} ${error.message}`)) return 'reset';
    throw error;
  }
}

describe('a rule for a path cannot be walked round', () => {
  const DETOURS = ['/admin/x', '/admin;%3f/x', '//admin/x', '/admin//x', '/admin%2Fx', '/%61dmin/x', '/%61%64%6d%69%6e/x', '/admin;/x', '/admin;v=1/x', '/;/admin/x', '/admin/', '/admin%2f', '/public/../admin/x', '/public%2f..%2fadmin/x', '/public/..;/admin/x', '/./admin/x', '/admin\\x', '/admin/x?/public/', '/admin/x?x=/public/'];
  for (const path of DETOURS) {
    it(`${show(path)} does not show /admin/** to someone who is no admin`, async () => {
      const answer = await exchange(world, HOSTS.wiki, request(path));
      assert.ok([400, 403].includes(answer?.status), `${answer?.status}`);
      assert.deepEqual(targets(), []);
    });
  }

  const NOT_PUBLIC = ['/page?/public/x', '/page?x=/public/', '/page#/public/', '/PUBLIC/x', '/publicx', '/x/public/y', '/public%2fx%2f..%2f..%2fpage', '/public/..%2fpage', '/public/%2e%2e/page', '/public/..;/page', '/public\\..\\page', '/.doorward/public/x'];
  for (const path of NOT_PUBLIC) {
    it(`${show(path)} is not public`, async () => {
      const answer = await exchange(world, HOSTS.wiki, request(path, 'Accept: application/json\r\n'));
      assert.ok([400, 401, 404].includes(answer?.status), `${answer?.status}`);
      assert.deepEqual(targets(), []);
    });
  }
});

describe('a method', () => {
  it('that nobody knows is judged like any other, and reaches the app as it is', async () => {
    await exchange(world, HOSTS.wiki, request('/a', session, 'PROPFIND'));
    assert.equal(world.upstream.last().method, 'PROPFIND');
  });

  it('in lower case is not taken for the one in upper case', async () => {
    const answer = await exchange(world, HOSTS.wiki, request('/a', session, 'get'));
    assert.ok(answer === undefined || answer.status >= 400 || world.upstream.last().method === 'get');
  });

  for (const line of ['CONNECT wiki.one.test:443 HTTP/1.1', 'CONNECT /a HTTP/1.1', 'TRACE /a HTTP/1.1']) {
    it(`${line} is refused`, async () => {
      const answer = await exchange(world, HOSTS.wiki, `${line}\r\nHost: ${authority}\r\n${session}\r\n`);
      assert.ok([400, 405, 501].includes(answer?.status), `${answer?.status}`);
      assert.deepEqual(targets(), []);
    });
  }
});

describe('the host', () => {
  const host = (value) => `GET /a HTTP/1.1\r\n${value}${session}\r\n`;
  const ODD = {
    'that is missing': () => host(''),
    'given twice, the same': () => host(`Host: ${authority}\r\nHost: ${authority}\r\n`),
    'given twice, different': () => host(`Host: ${authority}\r\nHost: evil.test\r\n`),
    'with a user': () => host(`Host: user@${authority}\r\n`),
    'with a user and a password': () => host(`Host: a:b@${authority}\r\n`),
    'with a space': () => host(`Host: ${HOSTS.wiki} evil.test\r\n`),
    'with a comma': () => host(`Host: ${authority},evil.test\r\n`),
    'with a path': () => host(`Host: ${authority}/x\r\n`),
    'with a port that is no number': () => host(`Host: ${HOSTS.wiki}:x\r\n`),
    'with a port that is too great': () => host(`Host: ${HOSTS.wiki}:99999\r\n`),
    'that is empty': () => host('Host:\r\n'),
    'of another app in the request line': () => `GET https://${HOSTS.payroll}:${world.port}/a HTTP/1.1\r\nHost: ${authority}\r\n${session}\r\n`,
    'of nobody in the request line': () => `GET https://evil.test/a HTTP/1.1\r\nHost: ${authority}\r\n${session}\r\n`,
    'with a user in the request line': () => `GET https://u@${authority}/a HTTP/1.1\r\nHost: ${authority}\r\n${session}\r\n`,
    'of another scheme in the request line': () => `GET ftp://${authority}/a HTTP/1.1\r\nHost: ${authority}\r\n${session}\r\n`,
    'hidden behind a space before the colon': () => host(`Host : ${authority}\r\n`),
    'on a folded line': () => host(`Host: ${authority}\r\n evil.test\r\n`),
  };
  for (const [what, bytes] of Object.entries(ODD)) {
    it(`${what}: 400`, async () => {
      const answer = await exchange(world, HOSTS.wiki, bytes());
      assert.equal(answer?.status, 400);
      assert.deepEqual(targets(), []);
    });
  }

  it('of nobody: 421', async () => {
    for (const name of ['evil.test', 'one.test', 'wiki.one.test.evil.test', 'xwiki.one.test', '127.0.0.1']) {
      const answer = await exchange(world, HOSTS.wiki, host(`Host: ${name}:${world.port}\r\n`));
      assert.equal(answer.status, 421, name);
    }
    assert.deepEqual(targets(), []);
  });

  it('in other case, or with a final dot, is the same host or refused, never another', async () => {
    for (const name of [HOSTS.wiki.toUpperCase(), `${HOSTS.wiki}.`]) {
      const answer = await exchange(world, HOSTS.wiki, host(`Host: ${name}:${world.port}\r\n`));
      assert.ok([200, 400, 421].includes(answer.status), `${name}: ${answer.status}`);
    }
    assert.equal((await exchange(world, HOSTS.wiki, host(`Host: ${HOSTS.wiki.toUpperCase()}:${world.port}\r\n`))).status, 200);
  });

  it('in absolute form that agrees with Host is served', async () => {
    const answer = await exchange(world, HOSTS.wiki, `GET https://${authority}/abs HTTP/1.1\r\nHost: ${authority}\r\n${session}\r\n`);
    assert.equal(answer.status, 200);
    assert.deepEqual(targets(), ['/abs']);
  });

  it('of one app does not accept the session of another', async () => {
    const answer = await exchange(world, HOSTS.payroll, `GET /a HTTP/1.1\r\nHost: ${HOSTS.payroll}:${world.port}\r\nAccept: application/json\r\n${session}\r\n`);
    assert.equal(answer.status, 401);
  });

  it('of nobody over HTTP/2: 421', async () => {
    const h2 = new Visitor(world, { h2: true });
    const url = { protocol: 'https:', hostname: HOSTS.wiki, host: 'evil.test', port: world.port, pathname: '/a', search: '', href: `https://${authority}/` };
    assert.equal((await h2.sendTo(url)).status, 421);
    h2.close();
  });

  it('in :authority that differs from Host over HTTP/2 is refused', async () => {
    const h2 = new Visitor(world, { h2: true });
    for (const lie of ['evil.test', `${HOSTS.payroll}:${world.port}`]) {
      const answer = await h2.send(`${world.urls.wiki}/a`, { headers: { host: lie, cookie: visitor.cookieHeader(HOSTS.wiki) } }).catch(() => ({ status: 400 }));
      assert.equal(answer.status, 400);
    }
    assert.deepEqual(targets(), []);
    h2.close();
  });
});

describe('framing', () => {
  const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
  const post = (lines, body) => `POST /a HTTP/1.1\r\nHost: ${authority}\r\n${session}${lines}\r\n${body}`;
  const BROKEN = {
    'Content-Length beside Transfer-Encoding': () => post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'Transfer-Encoding beside Content-Length': () => post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${SMUGGLED}`),
    'two lengths that differ': () => post('Content-Length: 0\r\nContent-Length: 39\r\n', SMUGGLED),
    'two lengths in one': () => post('Content-Length: 0, 39\r\n', SMUGGLED),
    'a length with a sign': () => post('Content-Length: +4\r\n', 'abcd'),
    'a negative length': () => post('Content-Length: -1\r\n', SMUGGLED),
    'a length in hexadecimal': () => post('Content-Length: 0x4\r\n', 'abcd'),
    'chunked twice': () => post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'chunked before another coding': () => post('Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n${SMUGGLED}`),
    'a coding nobody knows': () => post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'chunked hidden by a tab': () => post('Transfer-Encoding:\tchunked\x0b\r\n', `0\r\n\r\n${SMUGGLED}`),
    'a space before the colon': () => post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'a folded header': () => post('X: a\r\n Transfer-Encoding: chunked\r\n', SMUGGLED),
    'a chunk size that is no number': () => post('Transfer-Encoding: chunked\r\n', `zz\r\nabc\r\n0\r\n\r\n${SMUGGLED}`),
    'a chunk size that overflows': () => post('Transfer-Encoding: chunked\r\n', `FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n${SMUGGLED}`),
    'a carriage return alone': () => post('X: a\rTransfer-Encoding: chunked\r\n', SMUGGLED),
    'a header name that is no token': () => post('X(y): 1\r\n', SMUGGLED),
    'a null in a value': () => post('X: a\0b\r\n', SMUGGLED),
    'HTTP/1.0 with Transfer-Encoding': () => `POST /a HTTP/1.0\r\nHost: ${authority}\r\n${session}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    'a version that does not exist': () => `GET /a HTTP/9.9\r\nHost: ${authority}\r\n${session}\r\n${SMUGGLED}`,
    'HTTP/0.9': () => 'GET /a\r\n\r\n',
  };
  for (const [what, bytes] of Object.entries(BROKEN)) {
    it(`${what} is never forwarded, and what follows is never a request`, async () => {
      const connection = await connect(world, HOSTS.wiki);
      connection.write(bytes());
      const answer = await connection.answer();
      if (answer) assert.ok(answer.status >= 400 && answer.status < 500 || answer.status === 501 || answer.status === 505, `${answer.status}`);
      const rest = await connection.closed();
      assert.doesNotMatch(rest.toString('latin1'), /^HTTP\/1\.[01] [23]/);
      assert.deepEqual(world.upstream.at('/smuggled'), []);
      for (const seen of world.upstream.requests) assert.equal(seen.aborted, true, 'a body that broke off never counts as whole');
    });
  }

  it('bare line feeds carry nothing past the gate that was not judged', async () => {
    const connection = await connect(world, HOSTS.wiki);
    connection.write(`GET /public/x HTTP/1.1\nHost: ${authority}\nX-Remote-User: root@corp.test\n\n`);
    const answer = await connection.answer();
    connection.destroy();
    if (answer?.status !== 400) for (const seen of world.upstream.requests) assert.deepEqual(seen.folded('X-Remote-User'), []);
  });

  it('a header section that is too large: 431', async () => {
    const answer = await exchange(world, HOSTS.wiki, `GET /a HTTP/1.1\r\nHost: ${authority}\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(70)}\r\n`);
    assert.equal(answer?.status, 431);
    assert.deepEqual(targets(), []);
  });

  it('requests sent together are answered in order, each judged alone', async () => {
    const connection = await connect(world, HOSTS.wiki);
    connection.write(request('/one') + request('/two', 'Accept: application/json\r\n') + request('/three'));
    assert.deepEqual([(await connection.answer()).status, (await connection.answer()).status, (await connection.answer()).status], [200, 401, 200]);
    connection.destroy();
    assert.deepEqual(targets(), ['/one', '/three']);
  });

  it('an upgrade that the app refuses leaves no tunnel', async () => {
    const connection = await connect(world, HOSTS.wiki);
    connection.write(`GET /page HTTP/1.1\r\nHost: ${authority}\r\n${session}Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`);
    const answer = await connection.answer();
    assert.notEqual(answer.status, 101);
    const seen = world.upstream.last();
    if (seen) assert.equal(seen.header('http2-settings'), undefined);
    connection.destroy();
  });
});

const targets = () => world.upstream.requests.map(({ target }) => target);

function request(path, lines = session, method = 'GET') {
  return `${method} ${path} HTTP/1.1\r\nHost: ${authority}\r\n${lines}\r\n`;
}

function show(path) {
  const short = path.length > 60 ? `${path.slice(0, 60)}…` : path;
  return JSON.stringify(short).replace(/[^\x20-\x7e…]/g, (each) => `\\x${each.charCodeAt(0).toString(16)}`);
}
