// Signing in, out and being changed at a Keycloak.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chromiumMissing, launch, screenshot } from '../lib/browser.mjs';
import { eventually } from '../lib/eventually.mjs';
import { Keycloak, keycloakMissing } from '../lib/keycloak.mjs';
import { PASSWORD } from '../lib/provider.mjs';
import { Visitor } from '../lib/visitor.mjs';
import { HOSTS, startWorld } from '../lib/world.mjs';

describe('with Keycloak', { skip: keycloakMissing }, () => {
  let world;
  const visitors = [];

  before(async () => { world = await startWorld({
    providers: { staff: { Kind: Keycloak, accessTokenSeconds: 20 } },
    // Keycloak has no scope for groups: a mapper of the client puts them into the tokens.
    adjust: (configuration) => { configuration.identity_providers.staff.scopes = ['openid', 'email', 'profile']; },
  }); });
  after(async () => {
    for (const visitor of visitors) visitor.close();
    await world?.close();
  });

  async function signIn(url, username) {
    const visitor = new Visitor(world);
    visitors.push(visitor);
    const form = await visitor.navigate(url);
    assert.ok(form.url.startsWith(world.staff.issuer), form.url);
    return { visitor, page: await visitor.submit(form, { username, password: PASSWORD }) };
  }

  it('a login ends at the deep link, with identity for the app', async () => {
    const deep = `${world.urls.payroll}/page?year=2026&x=%26`;
    const { page } = await signIn(deep, 'bob');
    assert.equal(page.status, 200);
    assert.equal(page.url, deep);
    const seen = world.upstream.last();
    assert.deepEqual(seen.folded('X-Doorward-Email'), ['bob@corp.test']);
    assert.deepEqual(seen.folded('X-Doorward-Groups').join().split(/, ?/).sort(), ['finance', 'staff']);
  });

  it('a browser signs in, opens a second app, and signs out of everything', { skip: chromiumMissing }, async () => {
    const browser = await launch(world);
    try {
      const page = await browser.newPage();
      await page.goto(`${world.urls.wiki}/page`);
      await page.fill('#username', 'bob');
      await page.fill('#password', PASSWORD);
      await screenshot(page, 'keycloak-login');
      await page.click('#kc-login');
      assert.equal(page.url(), `${world.urls.wiki}/page`);
      await page.goto(`${world.urls.payroll}/page`);
      assert.equal(await page.textContent('h1'), 'An app');
      await page.goto(`${world.urls.auth}/.doorward/logout`);
      assert.equal(new URL(page.url()).origin, world.urls.auth, 'Keycloak sends the browser back');
      await page.goto(`${world.urls.wiki}/page`);
      assert.ok(await page.isVisible('#username'), 'Keycloak asks again');
    } finally {
      await browser.close();
    }
  });

  it('a group that is taken away closes the app at the next refresh', async () => {
    const { visitor, page } = await signIn(`${world.urls.payroll}/page`, 'bob');
    assert.equal(page.status, 200);
    await world.staff.leave('bob', 'finance');
    await eventually('payroll is closed', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 403, 90);
  });

  it('a session that an administrator ends at Keycloak ends here', async () => {
    const { visitor } = await signIn(`${world.urls.wiki}/page`, 'alice');
    await world.staff.revoke('alice');
    await eventually('the session ends', async () => (await visitor.fetch(`${world.urls.wiki}/page`)).status === 401, 90);
  });

  it('a key that is new since the start is fetched', async () => {
    await world.staff.rotateKeys();
    await eventually('a login with the new key', async () => (await signIn(`${world.urls.wiki}/page`, 'root')).page.status === 200, 120);
  });

  it('that is down ends no session, and logins work when it is back', async () => {
    const { visitor } = await signIn(`${world.urls.wiki}/page`, 'alice');
    await world.staff.down();
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
    await world.staff.up();
    await eventually('a login', async () => (await signIn(`${world.urls.wiki}/page`, 'alice')).page.status === 200, 120);
    assert.ok(visitors.at(-1).cookie(HOSTS.wiki, '__Host-doorward'));
  });
});
