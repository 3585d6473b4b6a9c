// A stronger sign-in: asked for at a certified provider, with real redirects,
// verified when it comes back, and never a loop.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chromiumMissing, launch, screenshot, signIn } from './lib/browser.mjs';
import { eventually } from './lib/eventually.mjs';
import { CODE, PASSWORD, STRONG } from './lib/provider.mjs';
import { Visitor } from './lib/visitor.mjs';
import { startWorld } from './lib/world.mjs';

let world;

// What somebody does who has signed in at the wiki.
async function signedIn(login, act) {
  const visitor = new Visitor(world);
  try {
    await visitor.signIn(`${world.urls.wiki}/`, login);
    await act(visitor);
  } finally {
    visitor.close();
  }
}

function adjust(configuration) {
  configuration.identity_providers.staff.strength = { mfa: { acr: [STRONG] } };
  configuration.apps.wiki.paths.push(
    { match: '/vault/**', allow: [{ groups: ['staff'], when: { mfa: true } }] },
    { match: '/fresh/**', allow: [{ groups: ['staff'], when: { auth_age: '2s' } }] },
  );
}

describe('a stronger sign-in', () => {
  before(async () => { world = await startWorld({ adjust }); });
  after(() => world?.close());

  it('is asked for, and leads back to where the person was going', async () => {
    await signedIn('alice', async (visitor) => {
      const target = `${world.urls.wiki}/vault/a%20b?q=1&q=2`;
      const form = await visitor.navigate(target);
      assert.ok(form.url.includes('/interaction/'), form.text);
      const asked = world.providers.staff.authorizations.at(-1);
      assert.deepEqual(JSON.parse(asked.claims).id_token.acr, { essential: true, values: [STRONG] });
      const page = await visitor.submit(form, { login: 'alice', password: PASSWORD, code: CODE });
      assert.equal(page.status, 200, page.text);
      assert.equal(page.url, target);
      const record = await eventually('the record', () => world.audit().find((each) => each.path === '/vault/a%20b' && each.decision === 'allow'));
      assert.equal(record.signals.authentication.acr, STRONG);
    });
  });

  it('that the person does not give is refused by the provider, and nobody gets in', async () => {
    await signedIn('bob', async (visitor) => {
      const form = await visitor.navigate(`${world.urls.wiki}/vault/bob`);
      assert.ok(form.url.includes('/interaction/'), form.text);
      const page = await visitor.submit(form, { login: 'bob', password: PASSWORD, code: 'wrong' });
      assert.ok(page.status !== 200 || page.url.includes('/interaction/'), page.url);
      assert.equal((await visitor.navigate(`${world.urls.wiki}/x`)).status, 200, 'what the session was good for it still is');
      assert.equal(world.audit().some((each) => each.path === '/vault/bob' && each.decision === 'allow'), false);
    });
  });

  it('is asked of a program in the words of RFC 9470', async () => {
    await signedIn('alice', async (visitor) => {
      const answer = await visitor.fetch(`${world.urls.wiki}/vault/api`);
      assert.equal(answer.status, 401);
      assert.equal(answer.json.reason, 'step_up_required');
      assert.match(answer.header('www-authenticate'), /error="insufficient_user_authentication".*acr_values="urn:test:mfa"/);
    });
  });

  it('is asked for again when it is too old', async () => {
    await signedIn('alice', async (visitor) => {
      await new Promise((done) => { setTimeout(done, 3100); });
      const form = await visitor.navigate(`${world.urls.wiki}/fresh/1`);
      assert.ok(form.url.includes('/interaction/'), form.url);
      assert.equal(world.providers.staff.authorizations.at(-1).max_age, '2');
    });
  });

  it('works in a browser', { skip: chromiumMissing }, async () => {
    const browser = await launch(world);
    try {
      const page = await browser.newPage();
      await page.goto(`${world.urls.wiki}/`);
      await signIn(page, 'alice');
      await page.waitForURL(`${world.urls.wiki}/`);
      await page.goto(`${world.urls.wiki}/vault/page`);
      await page.fill('input[name=code]', CODE);
      await signIn(page, 'alice');
      await page.waitForURL(`${world.urls.wiki}/vault/page`);
    } finally {
      await browser.close();
    }
  });
});

describe('a provider that takes a wish for a wish', () => {
  before(async () => { world = await startWorld({ providers: { staff: { claimsParameter: false } }, adjust }); });
  after(() => world?.close());

  it('leads to a page that says what is missing, and not to a loop', { skip: chromiumMissing }, async () => {
    const browser = await launch(world);
    try {
      const page = await browser.newPage();
      await page.goto(`${world.urls.wiki}/`);
      await signIn(page, 'alice');
      await page.waitForURL(`${world.urls.wiki}/`);
      const answer = await page.goto(`${world.urls.wiki}/vault/page`);
      assert.equal(answer.status(), 403);
      assert.match(await page.textContent('main'), /a second factor/);
      await screenshot(page, 'step-up-failed');
    } finally {
      await browser.close();
    }
  });
});
