// Signing out of one app, of everything, and at the provider; and who may ask
// for it.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { NAVIGATE, Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

let world;
let visitor;

before(async () => { world = await startWorld(); });
after(() => world?.close());
beforeEach(() => { visitor = new Visitor(world); });
afterEach(() => visitor.close());

describe('signing out', () => {
  it('of an app ends that app’s session on the server too', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
    await visitor.navigate(`${world.urls.payroll}/page`);
    const stolen = visitor.cookie(HOSTS.wiki, '__Host-doorward');
    const page = await visitor.navigate(`${world.urls.wiki}/.doorward/logout`);
    assert.equal(page.status, 200);
    assert.ok(page.text.includes(`${world.urls.auth}/.doorward/logout`), 'a link to sign out of everything');
    assert.equal(visitor.cookie(HOSTS.wiki, '__Host-doorward'), undefined);
    const replayed = await visitor.fetch(`${world.urls.wiki}/page`, { headers: { cookie: `__Host-doorward=${stolen}` } });
    assert.equal(replayed.status, 401);
    assert.equal((await visitor.fetch(`${world.urls.payroll}/page`)).status, 200);
  });

  it('of everything ends every app session made from it, then the provider’s', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
    await visitor.navigate(`${world.urls.payroll}/page`);
    let page = await visitor.navigate(`${world.urls.auth}/.doorward/logout`);
    assert.equal(new URL(page.url).origin, world.staff.issuer);
    assert.match(page.trail.at(-1), /id_token_hint=/);
    for (const name of ['wiki', 'payroll']) assert.equal((await visitor.fetch(`${world.urls[name]}/page`)).status, 401, name);
    page = await visitor.submit(page, { logout: 'yes' });
    assert.equal(new URL(page.url).origin, world.urls.auth);
    assert.equal(page.status, 200);
    assert.ok((await visitor.navigate(`${world.urls.wiki}/page`)).url.includes('/interaction/'));
  });

  it('of everything can stop before the provider', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
    const page = await visitor.navigate(`${world.urls.auth}/.doorward/logout?scope=all`);
    assert.equal(new URL(page.url).origin, world.urls.auth);
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 401);
    assert.equal((await visitor.navigate(`${world.urls.wiki}/page`)).url, `${world.urls.wiki}/page`, 'the provider still knows');
  });

  it('asks first when another site sent the browser', async () => {
    await visitor.signIn(`${world.urls.wiki}/page`, 'bob');
    for (const url of [`${world.urls.wiki}/.doorward/logout`, `${world.urls.auth}/.doorward/logout`]) {
      const page = await visitor.send(url, { headers: { ...NAVIGATE, 'sec-fetch-site': 'cross-site' } });
      assert.equal(page.status, 200);
      assert.match(page.text, /Nothing has happened yet/);
      assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200, 'still signed in');
    }
    const image = await visitor.send(`${world.urls.wiki}/.doorward/logout`, { headers: { accept: 'image/*', 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'cross-site' } });
    assert.ok(image.status < 500);
    const forged = await visitor.send(`${world.urls.wiki}/.doorward/logout`, {
      method: 'POST', body: '', headers: { ...NAVIGATE, 'sec-fetch-site': 'cross-site', origin: 'https://evil.test', 'content-type': 'application/x-www-form-urlencoded' },
    });
    assert.match(forged.text, /Nothing has happened yet/);
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200, 'another site cannot sign anyone out');
    const asked = await visitor.send(`${world.urls.wiki}/.doorward/logout`, { headers: { ...NAVIGATE, 'sec-fetch-site': 'cross-site' } });
    const [, way] = /class="button" href="([^"]+)"/.exec(asked.text);
    await visitor.send(new URL(way, asked.url).href, { headers: { ...NAVIGATE, 'sec-fetch-site': 'same-origin' } });
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 401);
  });
});
