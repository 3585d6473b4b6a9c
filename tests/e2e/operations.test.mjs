// What operators rely on: reloads, certificates, draining, the audit file,
// metrics, and listeners that show only what they should.
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import tls from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { issueCertificate } from './lib/certificate.mjs';
import { eventually } from './lib/eventually.mjs';
import { connect, exchange } from './lib/raw.mjs';
import { NAVIGATE, Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

let world;
let visitor;

const setUp = async () => {
  world = await startWorld();
  visitor = new Visitor(world);
  await visitor.signIn(`${world.urls.wiki}/page`, 'alice');
};
const tearDown = async () => {
  visitor?.close();
  await world?.close();
};

describe('a change of the configuration file', () => {
  before(setUp);
  after(tearDown);

  it('takes effect without a restart, and a request in flight is finished', async () => {
    assert.equal((await visitor.navigate(`${world.urls.payroll}/page`)).status, 403);
    const held = visitor.fetch(`${world.urls.wiki}/held`);
    await eventually('the app holds a request', () => world.upstream.held.length === 1);
    world.reconfigure(({ apps }) => { apps.payroll.allow.push({ users: ['alice@corp.test'] }); });
    await eventually('payroll is open for alice', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 200);
    world.upstream.release();
    assert.equal((await held).status, 200);
  });

  it('on SIGHUP takes effect too', async () => {
    world.reconfigure(({ apps }) => { apps.payroll.allow = [{ groups: ['finance'] }]; });
    world.doorward.signal('SIGHUP');
    await eventually('payroll is closed for alice', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 403);
  });

  it('that is broken keeps the last good one, and says so in the log and in a metric', async () => {
    const metrics = async () => (await (await world.doorward.get('/metrics')).text()).split('\n').filter((line) => /^doorward_config_/.test(line)).join('\n');
    const before = await metrics();
    world.breakConfiguration();
    await eventually('the metric tells', async () => (await metrics()) !== before);
    assert.equal((await visitor.fetch(`${world.urls.wiki}/page`)).status, 200);
    assert.ok((await world.doorward.get('/readyz')).ok);
    await eventually('the log tells', () => /doorward\.yaml/.test(world.doorward.log()));
    world.reconfigure(({ apps }) => { apps.payroll.allow.push({ users: ['alice@corp.test'] }); });
    await eventually('the repaired file is taken', async () => (await visitor.fetch(`${world.urls.payroll}/page`)).status === 200);
  });
});

describe('certificates', () => {
  before(setUp);
  after(tearDown);

  function peer(host, options = {}) {
    return new Promise((resolve, reject) => {
      const socket = tls.connect({ host: '127.0.0.1', port: world.port, servername: host, ca: world.authority.pem, ...options }, () => {
        resolve({ fingerprint: socket.getPeerX509Certificate().fingerprint256, protocol: socket.getProtocol(), alpn: socket.alpnProtocol });
        socket.destroy();
      });
      socket.once('error', reject);
    });
  }
  const fingerprint = (file) => new X509Certificate(readFileSync(file)).fingerprint256;

  it('are chosen by the name that the client asks for', async () => {
    assert.equal((await peer(HOSTS.wiki)).fingerprint, fingerprint(world.certificates[0].cert));
    assert.equal((await peer(HOSTS.payroll)).fingerprint, fingerprint(world.certificates[1].cert));
  });

  it('speak TLS 1.2 and 1.3, nothing older, and both versions of HTTP', async () => {
    assert.equal((await peer(HOSTS.wiki)).protocol, 'TLSv1.3');
    assert.equal((await peer(HOSTS.wiki, { maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
    await assert.rejects(peer(HOSTS.wiki, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }));
    assert.equal((await peer(HOSTS.wiki, { ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'h2');
    assert.equal((await peer(HOSTS.wiki, { ALPNProtocols: ['http/1.1'] })).alpn, 'http/1.1');
  });

  it('of a connection do not open another app’s host with other certificates', async () => {
    const answer = await exchange(world, HOSTS.wiki, `GET /a HTTP/1.1\r\nHost: ${HOSTS.payroll}:${world.port}\r\nAccept: application/json\r\n\r\n`);
    assert.ok([401, 421].includes(answer.status), `${answer.status}`);
  });

  it('are taken anew when their files change', async () => {
    const renewed = issueCertificate(world.authority, 'renewed', [HOSTS.payroll]);
    const [, served] = world.certificates;
    copyFileSync(renewed.key, served.key);
    copyFileSync(renewed.cert, served.cert);
    await eventually('the new certificate', async () => (await peer(HOSTS.payroll)).fingerprint === fingerprint(renewed.cert));
  });
});

describe('SIGTERM', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('lets requests in flight finish, takes no new ones, and exits with 0', async () => {
    const held = visitor.fetch(`${world.urls.wiki}/held`);
    await eventually('the app holds a request', () => world.upstream.held.length === 1);
    world.doorward.signal('SIGTERM');
    await eventually('new connections are refused', () => connect(world, HOSTS.wiki).then((open) => { open.destroy(); return false; }, () => true));
    world.upstream.release();
    const answer = await held;
    assert.equal(answer.status, 200);
    assert.equal(answer.json.target, '/held');
    assert.deepEqual(await world.doorward.exited, { code: 0, signal: null });
  });
});

describe('the audit file', () => {
  before(setUp);
  after(tearDown);

  it('has exactly one record for every visit, whatever became of it', async () => {
    const visits = {};
    const remember = (status, answer) => { (visits[status] ??= []).push(answer.header('x-request-id')); assert.equal(answer.status, status); };
    remember(200, await visitor.fetch(`${world.urls.wiki}/page`));
    remember(200, await visitor.fetch(`${world.urls.wiki}/download?bytes=3000000`));
    remember(200, await visitor.fetch(`${world.urls.wiki}/public/x`));
    remember(403, await visitor.fetch(`${world.urls.wiki}/admin/x`));
    remember(401, await visitor.send(`${world.urls.wiki}/page`, { headers: { cookie: 'a=1' } }));
    remember(302, await visitor.send(`${world.urls.wiki}/page`, { headers: { ...NAVIGATE, cookie: 'a=1' } }));
    remember(421, await exchange(world, HOSTS.wiki, `GET /x HTTP/1.1\r\nHost: nobody.test:${world.port}\r\n\r\n`));
    remember(400, await exchange(world, HOSTS.wiki, `GET /a/../b HTTP/1.1\r\nHost: ${HOSTS.wiki}:${world.port}\r\n\r\n`));
    const ids = Object.values(visits).flat();
    assert.ok(ids.every(Boolean), 'a request id on every answer');
    assert.equal(new Set(ids).size, ids.length);
    await eventually('every visit is recorded', () => ids.every((id) => recordsOf(id).length > 0));
    for (const [status, each] of Object.entries(visits)) {
      for (const id of each) {
        const records = recordsOf(id);
        assert.equal(records.length, 1, id);
        assert.equal(records[0].status, Number(status));
      }
    }
    const [allowed] = recordsOf(visits[200][0]);
    assert.equal(allowed.app, 'wiki');
    assert.equal(allowed.method, 'GET');
    assert.equal(allowed.path, '/page');
    assert.match(JSON.stringify(allowed), /alice/);
    assert.equal(recordsOf(visits[403][0])[0].reason, 'not_allowed');
    const [download] = recordsOf(visits[200][1]);
    assert.match(JSON.stringify(download), /3000000/, 'the bytes of the whole body');
  });

  it('has one record for a visit whose client went away', async () => {
    const connection = await connect(world, HOSTS.wiki);
    connection.write(`GET /held HTTP/1.1\r\nHost: ${HOSTS.wiki}:${world.port}\r\nCookie: ${visitor.cookieHeader(HOSTS.wiki)}\r\n\r\n`);
    await eventually('the app has the request', () => world.upstream.at('/held').length === 1);
    connection.destroy();
    await eventually('the record', () => world.audit().filter(({ path }) => path === '/held').length > 0);
    await visitor.fetch(`${world.urls.wiki}/after`);
    await eventually('the next record', () => world.audit().some(({ path }) => path === '/after'));
    assert.equal(world.audit().filter(({ path }) => path === '/held').length, 1);
  });

  it('holds no cookie, code, token or secret', async () => {
    await visitor.navigate(`${world.urls.wiki}/page`);
    await eventually('records', () => world.audit().length > 3);
    const text = JSON.stringify(world.audit()) + world.doorward.log();
    for (const jar of visitor.jar.values()) for (const [name, value] of jar) if (value.length > 20) assert.ok(!text.includes(value), name);
    assert.ok(!text.includes(world.staff.client.secret));
    assert.doesNotMatch(text, /eyJ[\w-]+\.eyJ/, 'no token');
  });

  const recordsOf = (id) => world.audit().filter((record) => JSON.stringify(record).includes(id));
});

describe('metrics and health', () => {
  before(setUp);
  after(tearDown);

  it('are on the admin listener', async () => {
    assert.ok((await world.doorward.get('/healthz')).ok);
    assert.ok((await world.doorward.get('/readyz')).ok);
    const count = () => world.doorward.metric('doorward_requests_total', { app: 'wiki', status: '200' });
    // A visit is counted before it is recorded: once the last one of the sign-in is in the trail, the count stands still.
    await eventually('the sign-in is over', () => world.audit().some(({ path, status }) => path === '/page' && status === 200));
    const before = await count();
    for (let visit = 0; visit < 3; visit += 1) await visitor.fetch(`${world.urls.wiki}/page`);
    await eventually('three more requests are counted', async () => (await count()) === before + 3);
    assert.ok(await world.doorward.metric('doorward_logins_total', { provider: 'staff' }) >= 1);
  });

  it('are not on the public listeners', async () => {
    for (const path of ['/metrics', '/healthz', '/readyz', '/api/v1/openapi.json', '/debug/pprof/', '/.doorward/metrics']) {
      for (const url of [world.urls.wiki, world.urls.auth]) {
        const answer = await new Visitor(world).send(`${url}${path}`);
        assert.ok([401, 404].includes(answer.status), `${url}${path}: ${answer.status}`);
      }
      const plain = await new Visitor(world).send(`http://${HOSTS.wiki}:${world.listen.http}${path}`);
      assert.ok(plain.status >= 300 && plain.status < 500, `${path}: ${plain.status}`);
    }
  });
});
