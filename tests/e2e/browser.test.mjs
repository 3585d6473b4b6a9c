// What an employee sees: Debian's Chromium against a real provider.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { chromiumMissing, launch, launchBlockingCookies, screenshot, signIn } from './lib/browser.mjs';
import { startWorld } from './lib/world.mjs';

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

describe('a browser', { skip: chromiumMissing }, () => {
  let world;
  let browser;
  let context;
  let page;

  before(async () => {
    world = await startWorld({ providers: { staff: {}, partners: {} } });
    browser = await launch(world);
  });
  after(async () => {
    await browser?.close();
    await world?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
  });
  afterEach(() => context.close());

  const cookieNames = async (url) => (await context.cookies(url)).map(({ name }) => name);

  it('that was never seen is taken to the provider, and back to the app', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    assert.equal(new URL(page.url()).origin, world.staff.issuer);
    await signIn(page, 'alice');
    assert.equal(page.url(), `${world.urls.wiki}/page`);
    assert.equal(await page.textContent('h1'), 'An app');
    assert.deepEqual(world.upstream.last().folded('X-Doorward-Email'), ['alice@corp.test']);
  });

  it('comes back to the deep link with its query', async () => {
    const deep = `${world.urls.wiki}/reports/2026/Q3%20final?a=1&b=%26%3D%2F&c=ü#part-2`;
    await page.goto(deep);
    await signIn(page, 'alice');
    assert.equal(page.url(), new URL(deep).href);
    assert.equal(world.upstream.last().target, '/reports/2026/Q3%20final?a=1&b=%26%3D%2F&c=%C3%BC');
  });

  it('keeps host-bound, secure, script-proof cookies and nothing of the login', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    await signIn(page, 'alice');
    const cookies = await context.cookies([world.urls.wiki, world.urls.auth]);
    assert.deepEqual(cookies.map(({ name }) => name).sort(), ['__Host-doorward', '__Host-doorward-sso']);
    for (const cookie of cookies) {
      assert.ok(cookie.secure && cookie.httpOnly && cookie.path === '/', `${cookie.name} is Secure, HttpOnly, Path=/`);
      assert.equal(cookie.sameSite, 'Lax');
      assert.ok(!cookie.domain.startsWith('.'), `${cookie.name} belongs to one host`);
    }
    assert.equal(await page.evaluate(() => document.cookie), '');
  });

  it('signs in once for two apps on two unrelated domains', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    await signIn(page, 'bob');
    await page.goto(`${world.urls.payroll}/page?year=2026`);
    assert.equal(page.url(), `${world.urls.payroll}/page?year=2026`);
    assert.deepEqual(world.upstream.last().folded('X-Remote-User'), ['bob@corp.test']);
    const [wiki] = (await context.cookies(world.urls.wiki)).filter(({ name }) => name === '__Host-doorward');
    const [payroll] = (await context.cookies(world.urls.payroll)).filter(({ name }) => name === '__Host-doorward');
    assert.notEqual(wiki.value, payroll.value);
  });

  it('opens ten tabs at once, and each lands where it was going', async () => {
    const tabs = await Promise.all(Array.from({ length: 10 }, () => context.newPage()));
    const going = tabs.map((_, index) => `${index % 2 ? world.urls.wiki : world.urls.payroll}/page?tab=${index}`);
    await Promise.all(tabs.map((tab, index) => tab.goto(going[index])));
    for (const tab of tabs) assert.equal(new URL(tab.url()).origin, world.staff.issuer, 'every tab shows the login form');
    await Promise.all(tabs.map((tab) => tab.fill('input[name=login]', 'bob')));
    for (const tab of tabs) await signIn(tab, 'bob');
    assert.deepEqual(tabs.map((tab) => tab.url()), going);
    for (const tab of tabs) assert.equal(await tab.textContent('h1'), 'An app');
  });

  it('works with JavaScript switched off', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    try {
      const tab = await plain.newPage();
      await tab.goto(`${world.urls.partner}/page?q=1`);
      await tab.getByText('Staff accounts').click();
      await signIn(tab, 'alice');
      assert.equal(tab.url(), `${world.urls.partner}/page?q=1`);
    } finally {
      await plain.close();
    }
  });

  it('chooses among the providers that an app takes', async () => {
    await page.setViewportSize(PHONE.viewport);
    await page.goto(`${world.urls.partner}/page?x=%22%3E%3Cb%3E`);
    assert.equal(new URL(page.url()).origin, world.urls.auth);
    await assertSoundPage(page);
    await screenshot(page, 'chooser');
    await page.getByText('Partner accounts').click();
    assert.equal(new URL(page.url()).origin, world.providers.partners.issuer);
    await signIn(page, 'mallory');
    assert.equal(page.url(), `${world.urls.partner}/page?x=%22%3E%3Cb%3E`);
    assert.deepEqual(world.upstream.last().folded('X-Doorward-Email'), ['mallory@evil.test']);
  });

  it('does not get into an app with a provider that the app does not take', async () => {
    await page.goto(`${world.urls.partner}/page`);
    await page.getByText('Partner accounts').click();
    await signIn(page, 'alice');
    assert.equal(page.url(), `${world.urls.partner}/page`);
    world.upstream.forget();
    await page.goto(`${world.urls.wiki}/page`);
    assert.notEqual(new URL(page.url()).origin, world.urls.wiki);
    assert.deepEqual(world.upstream.at('/page'), []);
  });

  it('is shown why it was denied, readable on a phone', async () => {
    const phone = await browser.newContext(PHONE);
    try {
      const tab = await phone.newPage();
      await tab.goto(`${world.urls.payroll}/page`);
      const denied = tab.waitForResponse((response) => response.status() === 403);
      await signIn(tab, 'alice');
      const id = await (await denied).headerValue('x-request-id');
      const text = await tab.innerText('body');
      assert.ok(id && text.includes(id), 'the request id is on the page');
      assert.match(text, /not_allowed/);
      await assertSoundPage(tab);
      await screenshot(tab, 'denied-phone');
    } finally {
      await phone.close();
    }
  });

  it('signs out of one app and stays signed in elsewhere', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    await signIn(page, 'bob');
    await page.goto(`${world.urls.payroll}/page`);
    await page.goto(`${world.urls.wiki}/.doorward/logout`);
    await screenshot(page, 'signed-out-app');
    assert.ok(!(await cookieNames(world.urls.wiki)).includes('__Host-doorward'));
    const payroll = await page.request.get(`${world.urls.payroll}/.doorward/session`, { ignoreHTTPSErrors: true });
    assert.equal(payroll.status(), 200);
  });

  it('signs out of everything and at the provider, and must then sign in again', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    await signIn(page, 'bob');
    await page.goto(`${world.urls.payroll}/page`);
    await page.goto(`${world.urls.wiki}/.doorward/logout`);
    await page.locator(`a[href^="${world.urls.auth}/.doorward/logout"]`).first().click();
    await leaveTheProvider(page);
    assert.equal(new URL(page.url()).origin, world.urls.auth);
    await screenshot(page, 'signed-out-everywhere');
    await page.goto(`${world.urls.payroll}/page`);
    assert.equal(new URL(page.url()).origin, world.staff.issuer);
    assert.ok(await page.isVisible('input[name=login]'), 'the provider asks for the password again');
  });

  // A link on another site is cross-site: it may ask, not act.
  async function leaveTheProvider(tab) {
    if (new URL(tab.url()).origin === world.urls.auth && await tab.locator('form button').count()) await tab.click('form button');
    assert.equal(new URL(tab.url()).origin, world.staff.issuer);
    await tab.click('button[name=logout]');
  }

  it('running a page whose session ended gets 401 JSON from fetch(), not a login page', async () => {
    await page.goto(`${world.urls.wiki}/page`);
    await signIn(page, 'alice');
    await context.clearCookies({ name: '__Host-doorward' });
    const answer = await page.evaluate(async () => {
      const response = await fetch('/api/data');
      return { status: response.status, redirected: response.redirected, json: await response.json() };
    });
    assert.equal(answer.status, 401);
    assert.equal(answer.redirected, false);
    assert.ok(answer.json.login.startsWith(`${world.urls.auth}/.doorward/login`));
    assert.ok(answer.json.reason && answer.json.message && answer.json.request_id);
  });

  it('that blocks the app’s cookies is told so instead of being sent round for ever', async () => {
    const blocked = await launchBlockingCookies(world, 'one.test');
    try {
      const tab = await blocked.newPage();
      await tab.goto(`${world.urls.wiki}/page`);
      await signIn(tab, 'alice');
      assert.match(await tab.innerText('body'), /cookie/i);
      assert.deepEqual((await blocked.cookies(world.urls.wiki)), []);
      await assertSoundPage(tab);
      await screenshot(tab, 'loop');
    } finally {
      await blocked.close();
    }
  });
});

describe('a browser while the provider is down', { skip: chromiumMissing }, () => {
  let world;
  let browser;

  before(async () => {
    world = await startWorld({ down: ['staff'] });
    browser = await launch(world);
  });
  after(async () => {
    await browser?.close();
    await world?.close();
  });

  it('sees a page that names the provider', async () => {
    const page = await browser.newPage();
    const response = await page.goto(`${world.urls.wiki}/page`);
    assert.equal(response.status(), 503);
    assert.match(await page.innerText('body'), /Staff accounts/);
    await assertSoundPage(page);
    await screenshot(page, 'provider-down');
  });
});

// Readable on a phone, by keyboard and by a screen reader, and locked down.
async function assertSoundPage(page) {
  const facts = await page.evaluate(() => ({
    language: document.documentElement.lang,
    title: document.title,
    headings: document.querySelectorAll('h1').length,
    main: document.querySelectorAll('main').length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    scripts: document.querySelectorAll('script').length,
    unlabelled: [...document.querySelectorAll('a, button, input:not([type=hidden])')].filter((each) => !(each.innerText || each.labels?.length || each.ariaLabel)).length,
    viewport: document.querySelector('meta[name=viewport]') !== null,
    textSize: Number.parseFloat(getComputedStyle(document.body).fontSize),
  }));
  assert.ok(facts.language && facts.title && facts.viewport, JSON.stringify(facts));
  assert.equal(facts.headings, 1);
  assert.equal(facts.main, 1);
  assert.ok(facts.overflow <= 0, 'nothing is wider than the screen');
  assert.equal(facts.scripts, 0);
  assert.equal(facts.unlabelled, 0);
  assert.ok(facts.textSize >= 16, 'text is at least 16 px');
  const again = await page.evaluate(() => document.querySelector('meta[http-equiv=refresh]') !== null);
  assert.equal(again, false, 'no page reloads itself');
}
