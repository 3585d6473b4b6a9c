// `doorward demo`: everything on loopback, nothing installed, and what its
// demo.json promises.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { Doorward } from './lib/doorward.mjs';
import { eventually } from './lib/eventually.mjs';
import { freePort } from './lib/ports.mjs';
import { NAVIGATE, Visitor } from './lib/visitor.mjs';

describe('the demo', () => {
  let directory;
  let doorward;
  let demo;
  let world;
  let port;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'doorward-demo-'));
    const state = join(directory, 'state');
    port = await freePort();
    doorward = new Doorward(['demo', '--port', String(port), '--state', state], directory);
    demo = await eventually('demo.json', () => existsSync(join(state, 'demo.json')) && JSON.parse(readFileSync(join(state, 'demo.json'), 'utf8')), 60);
    world = { authority: { pem: readFileSync(demo.ca, 'utf8') } };
    await eventually('the demo is ready', async () => (await fetch(new URL('/readyz', adminUrl()))).ok, 60);
  });
  after(async () => {
    await doorward?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const adminUrl = () => (demo.admin.startsWith('http') ? demo.admin : `http://${demo.admin}`);
  const person = (name) => demo.users.find(({ email }) => email.startsWith(`${name}@`));

  // The demo provider's form has whatever names it likes.
  async function signIn(visitor, url, name) {
    let page = await visitor.navigate(url);
    for (let step = 0; step < 3 && page.url.startsWith(demo.idp); step += 1) {
      const names = [...page.text.matchAll(/<input\b[^>]*>/gi)].map(([tag]) => ({ name: /name="([^"]+)"/.exec(tag)?.[1], type: /type="([^"]+)"/.exec(tag)?.[1] ?? 'text' }));
      const fields = {};
      for (const each of names) {
        if (each.type === 'password') fields[each.name] = person(name).password;
        if (['text', 'email'].includes(each.type)) fields[each.name] = person(name).email;
      }
      page = await visitor.submit(page, fields);
    }
    return page;
  }

  it('says where everything is', () => {
    for (const app of ['wiki', 'payroll']) assert.equal(demo.apps[app], `https://${app}.localhost:${port}`);
    assert.equal(demo.auth, `https://login.localhost:${port}`);
    assert.match(demo.idp, /^https?:\/\/([\w.-]*localhost|127\.0\.0\.1|\[::1\])(:\d+)?/);
    assert.ok(demo.admin && demo.admin_token);
    assert.match(world.authority.pem, /BEGIN CERTIFICATE/);
    for (const { email, password, groups } of demo.users) assert.ok(email && password && Array.isArray(groups));
    assert.ok(person('bob').groups.includes('finance'));
    assert.ok(!person('alice').groups.includes('finance'));
  });

  it('welcomes with where to go and who to be', async () => {
    await eventually('the welcome', () => doorward.log().includes(demo.apps.wiki));
    for (const each of [demo.apps.payroll, person('alice').email, person('bob').email]) assert.ok(doorward.log().includes(each), each);
  });

  it('lets alice into the wiki and not into payroll', async () => {
    const visitor = new Visitor(world);
    const wiki = await signIn(visitor, `${demo.apps.wiki}/headers`, 'alice');
    assert.equal(wiki.status, 200);
    assert.equal(wiki.url, `${demo.apps.wiki}/headers`);
    const seen = Object.fromEntries(Object.entries(wiki.json).map(([name, value]) => [name.toLowerCase(), value]));
    assert.equal(String(seen['x-doorward-email']), person('alice').email);
    assert.equal(seen['x-doorward-assertion'] !== undefined, true);
    const payroll = await visitor.navigate(`${demo.apps.payroll}/`);
    assert.equal(payroll.status, 403);
    assert.match(payroll.text, /not_allowed/);
    visitor.close();
  });

  it('lets bob into payroll', async () => {
    const visitor = new Visitor(world);
    const page = await signIn(visitor, `${demo.apps.payroll}/`, 'bob');
    assert.equal(page.status, 200);
    assert.match(page.header('content-type'), /text\/html/);
    visitor.close();
  });

  it('opens the vault to alice with her laptop, and says so where it stays shut', async () => {
    assert.equal(demo.device.owner, person('alice').email);
    for (const [shows, status] of [[demo.device, 200], [undefined, 403]]) {
      const visitor = new Visitor(world, { shows });
      const page = await signIn(visitor, demo.device.url, 'alice');
      assert.equal(page.status, status, page.text);
      if (status === 403) assert.match(page.text, /managed device/);
      visitor.close();
    }
  });

  it('has a laptop whose certificate a browser can import, by the command in the welcome', async () => {
    const command = await eventually('the welcome', () => /openssl pkcs12 .*/.exec(doorward.log())?.[0]);
    execFileSync('sh', ['-c', command], { cwd: directory });
    const listed = execFileSync('openssl', ['pkcs12', '-in', 'alice-laptop.p12', '-passin', 'pass:', '-nokeys'], { cwd: directory });
    assert.match(listed.toString(), /alice-laptop/);
  });

  it('refuses a wrong password', async () => {
    const visitor = new Visitor(world);
    const form = await visitor.navigate(`${demo.apps.wiki}/headers`);
    const name = [...form.text.matchAll(/<input\b[^>]*>/gi)].map(([tag]) => /name="([^"]+)"/.exec(tag)?.[1]);
    const page = await visitor.submit(form, Object.fromEntries(name.filter((each) => /user|email|login|pass/i.test(each)).map((each) => [each, /pass/i.test(each) ? 'wrong' : person('alice').email])));
    assert.ok(!page.url.startsWith(demo.apps.wiki));
    assert.notEqual((await visitor.fetch(`${demo.apps.wiki}/headers`)).status, 200);
    visitor.close();
  });

  it('has apps that echo, stream and take uploads', async () => {
    const visitor = new Visitor(world);
    await signIn(visitor, `${demo.apps.wiki}/`, 'alice');
    const body = Buffer.alloc(3_000_000, 'demo');
    const { text } = await visitor.fetch(`${demo.apps.wiki}/upload`, { method: 'POST', body });
    assert.ok(text.includes(createHash('sha256').update(body).digest('hex')) && text.includes('3000000'), text);
    await echo(visitor);
    await twoEvents(visitor);
    visitor.close();
  });

  const address = (visitor) => ({
    host: '127.0.0.1', port, servername: 'wiki.localhost', ca: world.authority.pem,
    headers: { host: `wiki.localhost:${port}`, cookie: visitor.cookieHeader('wiki.localhost') },
  });

  function echo(visitor) {
    const { headers, ca } = address(visitor);
    const lookup = (_host, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
    const socket = new WebSocket(`wss://wiki.localhost:${port}/ws`, { ca, lookup, headers: { cookie: headers.cookie } });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', () => socket.send('knock'));
      socket.once('message', (data) => { socket.close(); (data.toString().includes('knock') ? resolve : reject)(data.toString()); });
    });
  }

  function twoEvents(visitor) {
    return new Promise((resolve, reject) => {
      https.get({ ...address(visitor), path: '/events' }, (response) => {
        let text = '';
        assert.match(response.headers['content-type'], /text\/event-stream/);
        response.on('data', (chunk) => {
          text += chunk;
          if ((text.match(/^data:/gm) ?? []).length >= 2) { response.destroy(); resolve(); }
        });
        response.once('end', () => reject(new Error('the stream ended')));
      }).once('error', reject);
    });
  }

  it('labels its provider as a demo', async () => {
    const visitor = new Visitor(world);
    const form = await visitor.send((await visitor.navigate(`${demo.apps.wiki}/`)).url, { headers: NAVIGATE });
    assert.match(form.text, /demo/i);
    visitor.close();
  });
});
