// Devices: what a certificate is worth, which device it leads to, and that
// nobody is turned away at the door for a bad one.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { chromiumMissing, launch, screenshot, signIn } from './lib/browser.mjs';
import { fingerprint, issueCertificate, makeAuthority, revocationList } from './lib/certificate.mjs';
import { eventually } from './lib/eventually.mjs';
import { Visitor } from './lib/visitor.mjs';
import { startWorld } from './lib/world.mjs';

const TOKEN = 'an-admin-token-of-the-tests';
// The host of an app that only Playwright can visit by name.
const LAPTOP = 'local.playwright';
const laptop = ({ port }) => `https://${LAPTOP}:${port}`;
let world;
let devices;
let laptops;
let foreign;

// The record of a path, once it is written.
const record = (path) => eventually(`a record of ${path}`, () => world.audit().find((each) => each.path === path));

async function visit(shows, path) {
  const visitor = new Visitor(world, { shows });
  try {
    const page = await visitor.signIn(`${world.urls.wiki}${path}`, 'alice');
    assert.equal(page.status, 200, page.text);
    const records = await eventually('the app was reached', () => {
      const found = world.audit().filter((each) => each.path === path && each.decision === 'allow');
      return found.length > 0 && found;
    });
    return records.at(-1);
  } finally {
    visitor.close();
  }
}

const administer = (method, path, body, headers = {}) => fetch(`http://${world.doorward.admin}/api/v1${path}`, {
  method, headers: { authorization: `Bearer ${TOKEN}`, ...headers }, body: body && JSON.stringify(body),
});

describe('devices', () => {
  before(async () => {
    world = await startWorld({
      adjust: (configuration, being) => {
        const { directory } = being;
        devices = makeAuthority(directory, 'device-ca');
        laptops = ['mac-1', 'mac-2'].map((name) => issueCertificate(devices, name, [name], 'clientAuth'));
        foreign = issueCertificate(makeAuthority(directory, 'foreign-ca'), 'foreign', ['mac-1'], 'clientAuth');
        writeFileSync(join(directory, 'revoked.pem'), revocationList(devices, []));
        writeFileSync(join(directory, 'devices.csv'), `id,owner,fingerprint,managed\nmac-1,alice@corp.test,${fingerprint(laptops[0])},true\n`);
        configuration.apps.wiki.paths.push({ match: '/managed/**', allow: [{ groups: ['staff'], when: { device: 'managed' } }] });
        // The one name that Playwright finds on this machine when it is to show a certificate.
        const { cert, key } = issueCertificate(being.authority, 'laptop', [LAPTOP]);
        configuration.tls.certificates.push({ cert, key });
        const { wiki } = configuration.apps;
        configuration.apps.laptop = { ...wiki, name: 'Laptop', url: laptop(being) };
        Object.assign(configuration.tls, { device_ca: devices.cert, device_crl: 'revoked.pem' });
        configuration.devices = { file: 'devices.csv' };
      },
    });
  });
  after(() => world?.close());

  it('are known by their certificates', async () => {
    const { certificate, device } = await visit(laptops[0], '/by-certificate');
    assert.deepEqual({ certificate, device }, { certificate: 'good', device: 'mac-1' });
  });

  it('may come without one', async () => {
    const { certificate, device } = await visit(undefined, '/without');
    assert.deepEqual({ certificate, device }, { certificate: null, device: null });
  });

  it('that show a foreign one are not turned away by TLS', async () => {
    assert.equal((await visit(foreign, '/foreign')).certificate, 'unknown_issuer');
  });

  it('are asked for by rules, and whoever shows a bad certificate is told what is wrong with it', async () => {
    assert.equal((await visit(laptops[0], '/managed/with')).device, 'mac-1');
    for (const [shows, text] of [[undefined, 'have access'], [foreign, 'certificate is not good'], [foreign, 'not issued by your organisation']]) {
      const visitor = new Visitor(world, { shows });
      const page = await visitor.signIn(`${world.urls.wiki}/managed/without`, 'alice');
      visitor.close();
      assert.equal(page.status, 403);
      assert.ok(page.text.includes(text), page.text);
    }
  });

  it('are known from the moment the API is told of them, and it is recorded who did that and why', async () => {
    assert.equal((await visit(laptops[1], '/unknown')).device, null);
    const said = { owner: 'alice@corp.test', fingerprint: fingerprint(laptops[1]), managed: true };
    const answer = await administer('PUT', '/devices/mac-2', said, { 'x-administrator': 'carol', 'x-why': 'new laptop' });
    assert.equal(answer.status, 200, await answer.text());
    assert.equal((await visit(laptops[1], '/known')).device, 'mac-2');
    const { administrator, why, what } = await record('/api/v1/devices/mac-2');
    assert.deepEqual([administrator, why, what.owner], ['carol', 'new laptop', 'alice@corp.test']);
  });

  it('lose what a certificate is worth when it is revoked', async () => {
    writeFileSync(join(world.directory, 'revoked.pem'), revocationList(devices, [laptops[1]]));
    await eventually('the list is read', async () => (await world.doorward.metric('doorward_config_epoch')) > 1);
    const { certificate, device } = await visit(laptops[1], '/revoked');
    assert.deepEqual({ certificate, device }, { certificate: 'revoked', device: null });
    assert.equal((await visit(laptops[0], '/not-revoked')).certificate, 'good');
  });

  it('are known in a browser too', { skip: chromiumMissing }, async () => {
    const visitor = new Visitor(world, { shows: laptops[0] });
    const browser = await launch(world);
    try {
      assert.equal((await visitor.signIn(`${laptop(world)}/managed/start`, 'alice')).status, 200);
      const cookie = { name: '__Host-doorward', value: visitor.cookie(LAPTOP, '__Host-doorward'), url: laptop(world), secure: true };
      for (const [shown, status] of [[laptops[0], 200], [foreign, 403]]) {
        const clientCertificates = [{ origin: laptop(world), certPath: shown.cert, keyPath: shown.key }];
        const context = await browser.newContext({ clientCertificates, ignoreHTTPSErrors: true });
        await context.addCookies([cookie]);
        const page = await context.newPage();
        assert.equal((await page.goto(`${laptop(world)}/managed/in-a-browser`)).status(), status);
        if (status === 403) {
          assert.equal(await page.textContent('h1'), 'This device’s certificate is not good');
          await screenshot(page, 'device-certificate');
        }
        await context.close();
      }
    } finally {
      visitor.close();
      await browser.close();
    }
  });

  it('are not asked of a browser that has none', { skip: chromiumMissing }, async () => {
    const browser = await launch(world);
    try {
      const page = await browser.newPage();
      await page.goto(`${world.urls.wiki}/in-a-browser`);
      await signIn(page, 'alice');
      await page.waitForURL(`${world.urls.wiki}/in-a-browser`);
      const reached = await eventually('the app was reached', () => world.audit().find((each) => each.path === '/in-a-browser' && each.decision === 'allow'));
      assert.equal(reached.certificate, null);
    } finally {
      await browser.close();
    }
  });
});
