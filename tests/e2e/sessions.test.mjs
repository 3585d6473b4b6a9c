// What happens to a session while time passes: refresh, revocation, a
// provider that goes away or changes its keys, idle and absolute lifetimes.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { eventually } from './lib/eventually.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const SHORT = 3; // seconds an access token lives where its refresh is looked at

describe('the tokens of a session', () => {
  let world;
  const visitors = [];

  before(async () => { world = await startWorld(); });
  after(() => world?.close());
  afterEach(() => {
    for (const visitor of visitors.splice(0)) visitor.close();
    world.staff.intercept = undefined;
    world.staff.accessTokenSeconds = 600;
  });

  async function signedIn(login, url = `${world.urls.wiki}/page`) {
    world.staff.accessTokenSeconds = SHORT;
    const visitor = new Visitor(world);
    visitors.push(visitor);
    const page = await visitor.signIn(url, login);
    assert.equal(page.status, 200);
    world.staff.tokenCalls.length = 0;
    return visitor;
  }

  const isToken = (req) => req.method === 'POST' && req.url.startsWith('/token');

  it('are refreshed once, however many requests arrive', async () => {
    const visitor = await signedIn('alice');
    let arrived = 0;
    let open;
    const gate = new Promise((resolve) => { open = resolve; });
    const handle = world.staff.oidc.callback();
    world.staff.intercept = (req, res) => {
      if (!isToken(req)) return false;
      arrived += 1;
      gate.then(() => handle(req, res));
      return true;
    };
    await eventually('a refresh is due', async () => {
      visitor.fetch(`${world.urls.wiki}/page`).catch(() => {});
      return arrived > 0;
    });
    const page = Array.from({ length: 40 }, (_, asset) => visitor.fetch(`${world.urls.wiki}/asset?${asset}`));
    await new Promise((resolve) => setTimeout(resolve, 500)); // the forty are on their way, or answered
    world.staff.accessTokenSeconds = 600;
    open();
    const answers = await Promise.all(page);
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    await eventually('the refresh is over', () => world.staff.refreshes().length > 0);
    assert.equal(arrived, 1);
    assert.deepEqual(world.staff.refreshes(), [{ grant: 'refresh_token', ok: true }]);
  });

  it('that the provider no longer honours end the session', async () => {
    const visitor = await signedIn('alice');
    await world.staff.revoke('alice');
    await eventually('the session ends', async () => (await visitor.fetch(`${world.urls.wiki}/page`)).status === 401);
    assert.ok(world.staff.refreshes().some((call) => !call.ok), 'the provider was asked');
  });

  it('that cannot be refreshed because the provider is broken do not end it', async () => {
    for (const fail of [(_req, res) => res.writeHead(503).end('down'), (req) => req.destroy()]) {
      const visitor = await signedIn('alice');
      let attempts = 0;
      world.staff.intercept = (req, res) => {
        if (!isToken(req)) return false;
        attempts += 1;
        fail(req, res);
        return true;
      };
      await eventually('a refresh is tried and fails', async () => {
        assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
        return attempts >= 2;
      });
      assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
      world.staff.intercept = undefined;
      await eventually('the refresh succeeds once the provider is back', async () => {
        assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
        return world.staff.refreshes().some((call) => call.ok);
      }, 60);
    }
  });

  it('bring a change of groups with them: access follows', async () => {
    const visitor = await signedIn('bob', `${world.urls.payroll}/page`);
    world.staff.people.bob.groups = ['staff'];
    try {
      await eventually('payroll is closed', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 403);
      const { json } = await visitor.fetch(`${world.urls.payroll}/.doorward/session`);
      assert.deepEqual(json.groups, ['staff']);
      world.staff.people.bob.groups = ['staff', 'finance'];
      await eventually('payroll is open again', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 200);
      assert.deepEqual(world.upstream.last().folded('X-Remote-Groups').join().split(','), ['finance', 'staff']);
    } finally {
      world.staff.people.bob.groups = ['staff', 'finance'];
    }
  });

  it('of a user whose account was removed end the session', async () => {
    const visitor = await signedIn('root');
    const { root } = world.staff.people;
    delete world.staff.people.root;
    try {
      await eventually('the session ends', async () => (await visitor.fetch(`${world.urls.wiki}/page`)).status === 401);
    } finally {
      world.staff.people.root = root;
    }
  });

  it('signed by a key that is new since the start are accepted; older sessions go on', async () => {
    const before = await signedIn('alice');
    await world.staff.rotateKeys();
    await eventually('a login with the new key', async () => {
      const fresh = new Visitor(world);
      visitors.push(fresh);
      return (await fresh.signIn(`${world.urls.wiki}/page`, 'bob')).status === 200;
    }, 90);
    assert.equal((await before.fetch(`${world.urls.wiki}/page`)).status, 200);
  });
});

describe('a provider that is down', () => {
  let world;
  let visitor;

  before(async () => {
    world = await startWorld({ down: ['staff'] });
    visitor = new Visitor(world);
  });
  after(async () => {
    visitor?.close();
    await world?.close();
  });

  it('delays logins and never the start; when it comes up, logins work', async () => {
    const page = await visitor.navigate(`${world.urls.wiki}/page`);
    assert.equal(page.status, 503);
    assert.match(page.text, /Staff accounts/);
    assert.ok(page.text.includes(page.header('x-request-id')));
    assert.equal((await visitor.fetch(`${world.urls.wiki}/public/x`)).status, 200);
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 401);
    await world.staff.up();
    await eventually('a login', async () => (await visitor.signIn(`${world.urls.wiki}/page`, 'alice')).status === 200, 120);
  });

  it('does not end a session', async () => {
    await world.staff.down();
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
    await world.staff.up();
  });
});

describe('a session ends by itself', () => {
  let world;
  before(async () => {
    world = await startWorld({ adjust: ({ auth }) => { auth.session = { idle: '4s', lifetime: '12s' }; } });
  });
  after(() => world?.close());

  it('when it was idle for too long', async () => {
    const visitor = new Visitor(world);
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    let pause = 500;
    await eventually('it ends after a pause that is long enough', async () => {
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause *= 2;
      return (await visitor.fetch(`${world.urls.wiki}/page`)).status === 401;
    }, 60);
    visitor.close();
  });

  it('when its lifetime is over, however busy it was', async () => {
    const visitor = new Visitor(world);
    await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
    await eventually('it ends while it is used', async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return (await visitor.fetch(`${world.urls.wiki}/page`)).status === 401;
    }, 60);
    visitor.close();
  });
});

describe('what was decided survives', () => {
  let world;
  before(async () => { world = await startWorld(); });
  after(() => world?.close());

  it('a restart: sessions go on; a kill: what was signed out stays out', async () => {
    const visitor = new Visitor(world);
    await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
    await visitor.navigate(`${world.urls.payroll}/page`);
    await world.doorward.stop();
    await world.startAgain();
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);

    const stolen = visitor.cookie(HOSTS.wiki, '__Host-doorward');
    assert.equal((await visitor.navigate(`${world.urls.wiki}/.doorward/logout`)).status, 200);
    world.doorward.signal('SIGKILL');
    await world.doorward.exited;
    await world.startAgain();
    const replayed = await visitor.fetch(`${world.urls.wiki}/page`, { headers: { cookie: `__Host-doorward=${stolen}` } });
    assert.equal(replayed.status, 401);
    assert.equal((await visitor.fetch(`${world.urls.payroll}/page`)).status, 200);
    visitor.close();
  });
});
