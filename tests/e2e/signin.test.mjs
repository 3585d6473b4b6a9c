// Signing in over plain HTTP messages: what is redirected, what gets
// 401, which cookies are set, which return targets are taken.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { verifyAssertion } from './lib/assertion.mjs';
import { FETCH, NAVIGATE, parseSetCookie, Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

let world;
let visitor;

before(async () => { world = await startWorld({ providers: { staff: {}, partners: {} } }); });
after(() => world?.close());
beforeEach(() => { visitor = new Visitor(world); });
afterEach(() => visitor.close());

describe('a request without a session', () => {
  const cases = [
    ['a navigation', { headers: NAVIGATE }, 302],
    ['a GET that accepts HTML, from a browser without Sec-Fetch', { headers: { accept: 'text/html' } }, 302],
    ['a fetch()', { headers: FETCH }, 401],
    ['a fetch() that accepts HTML', { headers: { ...FETCH, accept: 'text/html' } }, 401],
    ['an image', { headers: { accept: 'image/*', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' } }, 401],
    ['curl', { headers: { accept: '*/*' } }, 401],
    ['a client without Accept', {}, 401],
    ['a POST from a form', { method: 'POST', body: 'a=1', headers: NAVIGATE }, 401],
    ['a DELETE', { method: 'DELETE', headers: { accept: 'text/html' } }, 401],
  ];
  for (const [what, request, status] of cases) {
    it(`${what}: ${status}`, async () => {
      world.upstream.forget();
      const answer = await visitor.send(`${world.urls.wiki}/page?q=1`, request);
      assert.equal(answer.status, status);
      assert.ok(answer.header('x-request-id'));
      assert.equal(world.upstream.requests.length, 0);
      if (status === 302) assert.ok(answer.header('location').startsWith(`${world.urls.auth}/.doorward/login?`));
      else assertUnauthorized(answer);
    });
  }

  it('is never answered from a shared cache', async () => {
    for (const headers of [NAVIGATE, FETCH]) {
      const answer = await visitor.send(`${world.urls.wiki}/page`, { headers });
      assert.match(answer.header('cache-control'), /no-store/);
    }
  });

  it('from another origin gets its 401 with CORS headers where the app would send them', async () => {
    const headers = { ...FETCH, origin: world.urls.wiki, 'sec-fetch-site': 'cross-site' };
    const answer = await visitor.send(`${world.urls.payroll}/cors`, { headers });
    assertUnauthorized(answer);
    assert.equal(answer.header('access-control-allow-origin'), world.urls.wiki);
  });

  it('that is a CORS preflight passes only where the app lets it through', async () => {
    const headers = { origin: 'https://spa.example', 'access-control-request-method': 'PUT', accept: '*/*' };
    const passed = await visitor.send(`${world.urls.payroll}/cors`, { method: 'OPTIONS', headers });
    assert.equal(passed.status, 204);
    const refused = await visitor.send(`${world.urls.wiki}/cors`, { method: 'OPTIONS', headers });
    assert.equal(refused.status, 401);
    world.upstream.forget();
    const plain = await visitor.send(`${world.urls.payroll}/cors`, { method: 'OPTIONS', headers: { accept: '*/*' } });
    assert.equal(plain.status, 401, 'an OPTIONS that is no preflight is an ordinary request');
    assert.equal(world.upstream.requests.length, 0);
  });

  it('over plain HTTP is sent to HTTPS, host and path kept', async () => {
    const answer = await visitor.send(`http://${HOSTS.wiki}:${world.listen.http}/page?q=1`);
    assert.ok([301, 302, 307, 308].includes(answer.status));
    assert.ok(answer.header('location').startsWith(`https://${HOSTS.wiki}`));
    assert.ok(answer.header('location').endsWith('/page?q=1'));
  });
});

function assertUnauthorized(answer) {
  assert.equal(answer.status, 401);
  assert.match(answer.header('content-type'), /^application\/json/);
  assert.ok(answer.header('www-authenticate'));
  const { reason, message, request_id: id, login } = answer.json;
  assert.ok(reason && message);
  assert.equal(id, answer.header('x-request-id'));
  assert.ok(login.startsWith(`${world.urls.auth}/.doorward/login`));
}

describe('a login', () => {
  it('uses PKCE S256, a nonce and a state that are new every time', async () => {
    world.staff.authorizations.length = 0;
    await visitor.navigate(`${world.urls.wiki}/page`);
    await visitor.navigate(`${world.urls.wiki}/page`);
    const [first, second] = world.staff.authorizations.filter((each) => each.client_id);
    for (const each of [first, second]) {
      assert.equal(each.response_type, 'code');
      assert.equal(each.code_challenge_method, 'S256');
      assert.match(each.code_challenge, /^[\w-]{43}$/);
      for (const name of ['nonce', 'state']) assert.ok(each[name]?.length >= 22, `${name} is unguessable`);
    }
    for (const name of ['nonce', 'state', 'code_challenge']) assert.notEqual(first[name], second[name]);
  });

  it('hands the app a signed statement of who is asking', async () => {
    await visitor.signIn(`${world.urls.payroll}/page`, 'bob');
    const app = world.upstream.last();
    const jwks = (await visitor.fetch(`${world.urls.payroll}/.doorward/jwks.json`)).json;
    const [token] = app.folded('X-Doorward-Assertion');
    const claims = verifyAssertion(token, jwks);
    assert.equal(claims.iss, world.urls.auth);
    assert.equal(claims.aud, world.urls.payroll);
    assert.equal(claims.email, 'bob@corp.test');
    assert.equal(claims.sub, app.header('x-doorward-user'));
    assert.deepEqual(claims.groups, ['finance', 'staff']);
    assert.deepEqual(claims.amr, ['pwd']);
    assert.equal(claims.acr, 'urn:test:pwd');
    assert.ok(claims.auth_time <= claims.iat && claims.sid);
    assert.ok(claims.exp - claims.iat <= 300);
    for (const key of jwks.keys) assert.equal(key.d, undefined, 'only public keys are served');
  });

  it('says who is signed in', async () => {
    const before = await visitor.fetch(`${world.urls.wiki}/.doorward/session`);
    assertUnauthorized(before);
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    const { json } = await visitor.fetch(`${world.urls.wiki}/.doorward/session`);
    assert.equal(json.email, 'alice@corp.test');
    assert.equal(json.name, 'Alice Ørsted');
    assert.deepEqual(json.groups, ['engineering', 'staff']);
    assert.equal(json.provider, 'staff');
    assert.ok(json.user && json.expires_at);
  });

  it('that was cancelled at the provider ends on a page with a way back, and no session', async () => {
    const form = await visitor.navigate(`${world.urls.wiki}/page`);
    const page = await visitor.submit(form, { cancel: '1' });
    assert.equal(new URL(page.url).origin, world.urls.auth);
    assert.ok(page.status >= 400 && page.status < 500, `${page.status}`);
    assert.equal(visitor.cookie(HOSTS.auth, '__Host-doorward-sso'), undefined);
  });

  it('gives a new session id every time, and never one that the client brought', async () => {
    const planted = 'A'.repeat(43);
    visitor.jar.set(HOSTS.wiki, new Map([['__Host-doorward', planted]]));
    visitor.jar.set(HOSTS.auth, new Map([['__Host-doorward-sso', planted]]));
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    const first = visitor.cookie(HOSTS.wiki, '__Host-doorward');
    const firstSso = visitor.cookie(HOSTS.auth, '__Host-doorward-sso');
    visitor.jar.delete(HOSTS.wiki);
    visitor.jar.delete(HOSTS.auth);
    visitor.jar.delete('127.0.0.1');
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    const ids = [planted, first, firstSso, visitor.cookie(HOSTS.wiki, '__Host-doorward'), visitor.cookie(HOSTS.auth, '__Host-doorward-sso')];
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.every((id) => id?.length >= 43));
  });

  it('leaves cookies that no other host can set or read', async () => {
    const trail = await signInStepByStep('alice');
    const set = trail.flatMap((answer) => answer.setCookies.map(parseSetCookie)).filter(({ gone }) => !gone);
    const ours = set.filter(({ name }) => name.startsWith('__Host-doorward'));
    assert.ok(ours.length >= 3);
    for (const { name, attributes } of ours) {
      const lower = attributes.map((each) => each.toLowerCase());
      for (const wanted of ['secure', 'httponly', 'path=/', 'samesite=lax']) assert.ok(lower.includes(wanted), `${name} has ${wanted}`);
      assert.ok(!lower.some((each) => each.startsWith('domain=')));
    }
  });

  it('cannot be finished by another browser (the state is bound to the one that began)', async () => {
    const callback = await stopAtCallback(visitor);
    const thief = new Visitor(world);
    const answer = await thief.navigate(callback);
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    assert.equal(thief.cookie(HOSTS.auth, '__Host-doorward-sso'), undefined);
    thief.close();
  });

  it('hands its one-time code to one app, once', async () => {
    const handoff = await stopAt(visitor, (url) => url.startsWith(`${world.urls.wiki}/.doorward/callback`));
    const elsewhere = handoff.replace(world.urls.wiki, world.urls.payroll);
    const other = new Visitor(world);
    assert.notEqual((await other.send(elsewhere, { headers: NAVIGATE })).status, 200);
    assert.equal(other.cookie(HOSTS.payroll, '__Host-doorward'), undefined);
    await visitor.send(handoff, { headers: NAVIGATE });
    await other.send(handoff, { headers: NAVIGATE });
    assert.equal(other.cookie(HOSTS.wiki, '__Host-doorward'), undefined, 'a used code opens nothing');
    other.close();
  });

  it('refuses a callback with a state nobody asked for', async () => {
    for (const query of ['', '?code=x', '?state=x', '?code=x&state=x', `?error=access_denied&state=${'x'.repeat(43)}`, '?code=a&code=b&state=c']) {
      const answer = await visitor.send(`${world.urls.auth}/.doorward/callback${query}`, { headers: NAVIGATE });
      assert.ok(answer.status >= 400 && answer.status < 500, `${query}: ${answer.status}`);
      assert.deepEqual(answer.setCookies.map(parseSetCookie).filter(({ gone }) => !gone), []);
    }
  });

  it('whose callback comes late goes to its target when the session exists already', async () => {
    const late = await stopAtCallback(visitor, `${world.urls.wiki}/page?late=1`);
    await visitor.signIn(`${world.urls.wiki}/page?first=1`, 'alice');
    const answer = await visitor.navigate(late);
    assert.equal(answer.url, `${world.urls.wiki}/page?late=1`);
    assert.equal(answer.status, 200);
  });

  it('whose state cookie is not a session', async () => {
    await stopAtCallback(visitor);
    const flow = [...visitor.jar.get(HOSTS.auth) ?? []].find(([name]) => name.startsWith('__Host-doorward-flow-'));
    assert.ok(flow, 'a login in progress has its own cookie');
    for (const name of ['__Host-doorward', '__Host-doorward-sso']) {
      for (const [host, url] of [[HOSTS.auth, world.urls.auth], [HOSTS.wiki, world.urls.wiki]]) {
        const answer = await visitor.send(`${url}/.doorward/session`, { headers: { ...FETCH, cookie: `${name}=${flow[1]}` } });
        assert.equal(answer.status, 401, `${name} on ${host}`);
      }
    }
  });

  it('by a browser that drops cookies ends on a page that says so', async () => {
    for (const name of ['__Host-doorward', '__Host-doorward-sso']) {
      const forgetful = new Visitor(world, { refuses: (each) => each === name });
      const page = await forgetful.signIn(`${world.urls.wiki}/page`, 'alice');
      assert.ok(page.status >= 400 && page.status < 500, `${name}: ${page.status}`);
      assert.match(page.text, /cookie/i);
      forgetful.close();
    }
  });

  async function signInStepByStep(login) {
    const answers = [];
    const send = visitor.send.bind(visitor);
    visitor.send = async (...args) => { const answer = await send(...args); answers.push(answer); return answer; };
    await visitor.signIn(`${world.urls.wiki}/page`, login);
    return answers;
  }

  const stopAtCallback = (who, start) => stopAt(who, (url) => url.startsWith(`${world.urls.auth}/.doorward/callback`), start);

  // Signs in as alice and returns the first matching URL instead of opening it.
  async function stopAt(who, matches, start = `${world.urls.wiki}/page`) {
    const send = who.send.bind(who);
    let found;
    who.send = async (url, options) => {
      if (!found && matches(url)) { found = url; throw new Error('stopped here'); }
      return send(url, options);
    };
    await assert.rejects(who.signIn(start, 'alice'), /stopped here/);
    who.send = send;
    return found;
  }
});

describe('a return target', () => {
  const parameter = async () => {
    const answer = await visitor.send(`${world.urls.wiki}/page`, { headers: NAVIGATE });
    const url = new URL(answer.header('location'));
    const [name] = [...url.searchParams].find(([, value]) => value.includes(HOSTS.wiki)) ?? ['to'];
    return { url, name };
  };
  const port = () => world.port;
  const targets = [
    'https://evil.test/', '//evil.test/', '/\\evil.test/', '\\\\evil.test', 'https:evil.test', 'https:/evil.test', 'https:///evil.test',
    'javascript:alert(1)', 'data:text/html,x', 'http://wiki.one.test/', 'ftp://wiki.one.test/', ' https://evil.test/', '\thttps://evil.test',
    'https://evil.test\\@wiki.one.test/', '', '%', 'https://', 'https://[::1]/', 'HTTPS://EVIL.TEST/',
    () => `https://wiki.one.test:${port()}@evil.test/`, () => `https://user:pw@wiki.one.test:${port()}/`, () => `https://wiki.one.test.evil.test:${port()}/`,
    () => `https://evilwiki.one.test:${port()}/`, () => `https://wiki.one.test:${port() + 1}/`, () => `https://one.test:${port()}/`,
    () => `https://wiki.one.test:${port()}\\.evil.test/`, () => `https://wiki.one.test:${port()}.evil.test/`, () => `https://wiki。one.test.evil.test:${port()}/`,
    () => `https://wiki.one.test:${port()}/\r\nset-cookie: a=b`, () => `https://wiki.one.test:${port()}#@evil.test/`, () => `https://evil.test#https://wiki.one.test:${port()}/`,
  ];
  // The same list for a browser with an SSO session (it would be sent on at
  // once) and for one without (it would be sent on after the login).
  for (const [state, login] of [['signed in', 'alice'], ['signed out', undefined]]) {
    it(`is only ever a URL of a configured app (${state})`, async () => {
      const { url, name } = await parameter();
      if (login) await visitor.signIn(`${world.urls.wiki}/page`, login);
      for (const each of targets) {
        const target = typeof each === 'function' ? each() : each;
        url.searchParams.set(name, target);
        const trail = await wander(url.href);
        const hosts = trail.map((step) => new URL(step).host);
        const known = [...Object.values(world.urls), world.staff.issuer, world.providers.partners.issuer].map((one) => new URL(one).host);
        for (const host of hosts) assert.ok(known.includes(host), `${JSON.stringify(target)} led to ${host}`);
      }
    });
  }

  // Every URL that a browser would have been sent to, the login included.
  async function wander(start) {
    const seen = [start];
    let answer = await visitor.send(start, { headers: NAVIGATE });
    assert.notEqual(answer.status, 500);
    for (let step = 0; step < 12 && answer.header('location'); step += 1) {
      const next = new URL(answer.header('location'), answer.url).href;
      seen.push(next);
      if (new URL(next).hostname.endsWith('evil.test')) return seen;
      answer = await visitor.send(next, { headers: NAVIGATE });
      if (answer.url.includes('/interaction/') && answer.status === 200) break;
    }
    return seen;
  }

  it('is not reflected unescaped on any page', async () => {
    const marker = '"><script>alert(1)</script>';
    const { url, name } = await parameter();
    const odd = [
      `${world.urls.auth}/.doorward/login?${name}=${encodeURIComponent(marker)}`,
      `${world.urls.auth}/.doorward/callback?error=${encodeURIComponent(marker)}&error_description=${encodeURIComponent(marker)}&state=${encodeURIComponent(marker)}`,
      `${world.urls.auth}/.doorward/logout?scope=${encodeURIComponent(marker)}`,
      `${world.urls.wiki}/.doorward/${encodeURIComponent(marker)}`,
      `${world.urls.wiki}/.doorward/callback?code=${encodeURIComponent(marker)}`,
      `${url.origin}${url.pathname}?provider=${encodeURIComponent(marker)}&${url.searchParams}`,
    ];
    for (const each of odd) {
      const page = await visitor.send(each, { headers: NAVIGATE });
      assert.ok(!page.text.includes('<script'), each);
      assert.ok(page.status < 500, `${each}: ${page.status}`);
    }
  });

  it('survives being long, with two thousand characters of query', async () => {
    const deep = `${world.urls.wiki}/page?q=${'x'.repeat(2000)}`;
    assert.equal((await visitor.signIn(deep, 'alice')).url, deep);
  });
});

describe('every page', () => {
  it('is locked down by its headers', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    const pages = [
      [`${world.urls.payroll}/page`, 403], [`${world.urls.partner}/.doorward/nothing-here`, 404], [`${world.urls.wiki}/.doorward/logout`, 200],
    ];
    for (const [url, status] of pages) {
      const page = await visitor.navigate(url);
      assert.equal(page.status, status, url);
      assert.match(page.header('content-type'), /^text\/html; ?charset=utf-8/i);
      const policy = page.header('content-security-policy');
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|\*/);
      assert.equal(page.header('x-content-type-options'), 'nosniff');
      assert.match(page.header('referrer-policy'), /no-referrer|same-origin/);
      assert.match(page.header('cache-control'), /no-store/);
      assert.ok(page.text.includes(page.header('x-request-id')) || status === 200);
    }
  });

  it('of a refusal to a script is JSON with the reason and the request id', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    await visitor.navigate(`${world.urls.payroll}/page`);
    const answer = await visitor.fetch(`${world.urls.payroll}/api`);
    assert.equal(answer.status, 403);
    assert.equal(answer.json.reason, 'not_allowed');
    assert.equal(answer.json.request_id, answer.header('x-request-id'));
  });
});

describe('access', () => {
  it('is not given for an email that the provider did not verify', async () => {
    const answer = await visitor.signIn(`${world.urls.wiki}/page`, 'unverified');
    assert.notEqual(answer.status, 200);
    assert.deepEqual(world.upstream.at('/page').filter((each) => each.folded('X-Remote-User').includes('ceo@corp.test')), []);
  });

  it('to a path follows the most specific rule', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    assert.equal((await visitor.fetch(`${world.urls.wiki}/admin/users`)).status, 403);
    const root = new Visitor(world);
    await root.signIn(`${world.urls.wiki}/page`, 'root');
    assert.equal((await root.fetch(`${world.urls.wiki}/admin/users`)).status, 200);
    root.close();
  });

  it('to a public path needs no session, and brings no identity without one', async () => {
    const answer = await visitor.fetch(`${world.urls.wiki}/public/a.css`);
    assert.equal(answer.status, 200);
    const app = world.upstream.last();
    for (const name of ['X-Doorward-User', 'X-Doorward-Email', 'X-Doorward-Assertion', 'X-Remote-User']) assert.deepEqual(app.folded(name), []);
  });
});
