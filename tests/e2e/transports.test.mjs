// Every way to reach an app: what is spoken, who is verified, and what is shown.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { issueCertificate, makeAuthority } from './lib/certificate.mjs';
import { eventually } from './lib/eventually.mjs';
import { startServer } from './lib/servers.mjs';
import { Visitor } from './lib/visitor.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const servers = {};
let directory;
let inside; // the authority of the apps' servers
let outside; // one that nobody trusts
let world;
let visitor;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'doorward-transports-'));
  inside = makeAuthority(directory);
  const certificate = issueCertificate(inside, 'server', ['payroll.internal', 'localhost']);
  const other = mkdtempSync(join(directory, 'outside-'));
  outside = makeAuthority(other);
  const strange = issueCertificate(outside, 'server', ['payroll.internal', 'localhost']);
  Object.assign(servers, {
    plain: await startServer('http'),
    socket: await startServer('http', { path: join(directory, 'app.sock') }),
    h2c: await startServer('h2c'),
    tls: await startServer('https', { certificate }),
    mutual: await startServer('https', { certificate, clients: inside.cert }),
    h2: await startServer('h2', { certificate }),
    both: await startServer('h2', { certificate, allowHTTP1: true }),
    strange: await startServer('https', { certificate: strange }),
  });
  const client = issueCertificate(inside, 'doorward', ['doorward.internal'], 'clientAuth');
  world = await startWorld({ adjust: (configuration, of) => {
    const trusted = join(of.directory, 'internal-ca.pem');
    copyFileSync(inside.cert, trusted);
    const app = (name, upstream, more = {}) => {
      configuration.apps[name] = { url: `${of.urls.files}/${name}`, upstream, paths: [{ match: `/${name}/**`, public: true }], ...more };
    };
    const tls = (name, host = 'localhost') => `https://${host}:${servers[name].port}`;
    app('plain', `http://127.0.0.1:${servers.plain.port}`);
    app('socket', `unix:${join(directory, 'app.sock')}`);
    app('h2c', `h2c://127.0.0.1:${servers.h2c.port}`);
    app('tls', tls('tls'), { upstream_tls: { ca: trusted } });
    app('pinned', tls('tls', '127.0.0.1'), { upstream_tls: { ca: trusted, name: 'payroll.internal' } });
    app('by-address', tls('tls', '127.0.0.1'), { upstream_tls: { ca: trusted } });
    app('another-name', tls('tls'), { upstream_tls: { ca: trusted, name: 'wages.internal' } });
    app('strange', tls('strange'), { upstream_tls: { ca: trusted } });
    app('by-the-system', tls('strange'));
    app('mutual', tls('mutual'), { upstream_tls: { ca: trusted, cert: client.cert, key: client.key } });
    app('not-shown', tls('mutual'), { upstream_tls: { ca: trusted } });
    app('h2', tls('h2'), { upstream_tls: { ca: trusted, http2: true } });
    app('not-offered', tls('both'), { upstream_tls: { ca: trusted } });
    app('chosen', tls('tls'), { upstream_tls: { ca: trusted, http2: true } });
    app('clear', `http://127.0.0.1:${servers.tls.port}`);
    delete configuration.apps.files;
  } });
  visitor = new Visitor(world);
});
after(async () => {
  visitor?.close();
  await world?.close();
  for (const server of Object.values(servers)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

const ask = (name, who = visitor) => who.send(`${world.urls.files}/${name}/a%2Fb?q=%20`);
const host = () => `${HOSTS.files}:${world.port}`;

describe('an app is reached', () => {
  const cases = [
    ['plain', { version: '1.1' }],
    ['socket', { version: '1.1' }],
    ['h2c', { version: '2.0' }],
    ['tls', { version: '1.1', alpn: 'http/1.1', sni: 'localhost' }],
    ['pinned', { version: '1.1', sni: 'payroll.internal' }],
    ['mutual', { version: '1.1', client: 'doorward.internal' }],
    ['h2', { version: '2.0', alpn: 'h2', sni: 'localhost' }],
    ['not-offered', { version: '1.1', alpn: 'http/1.1' }],
    ['chosen', { version: '1.1', alpn: 'http/1.1' }],
  ];
  for (const h2 of [false, true]) {
    for (const [name, expected] of cases) {
      it(`${name}, from a client that speaks ${h2 ? 'HTTP/2' : 'HTTP/1.1'}`, async () => {
        const who = new Visitor(world, { h2 });
        const { status, json } = await ask(name, who);
        who.close();
        assert.equal(status, 200);
        assert.deepEqual({ ...json, ...expected }, json);
        assert.equal(json.host, host(), 'the host that the browser sent');
        assert.equal(json.path, `/${name}/a%2Fb?q=%20`);
        assert.equal(json.headers['x-forwarded-host'], host());
      });
    }
  }

  it('over HTTP/2 by one connection, however many ask at a time', async () => {
    const before = servers.h2c.connections;
    await Promise.all(Array.from({ length: 50 }, () => ask('h2c')));
    // Each worker has its own.
    assert.ok(servers.h2c.connections - before <= 2, String(servers.h2c.connections - before));
  });
});

describe('a server that can’t be verified is not spoken to', () => {
  for (const name of ['by-address', 'another-name', 'strange', 'by-the-system', 'not-shown', 'clear']) {
    it(name, async () => {
      const before = servers.strange.connections;
      const answer = await visitor.fetch(`${world.urls.files}/${name}/x`);
      assert.equal(answer.status, 502);
      assert.ok(['upstream_unreachable', 'upstream_failed'].includes(answer.json.reason));
      assert.equal(servers.strange.connections, before);
    });
  }
});

describe('a change of the trusted authorities', () => {
  it('counts at once, also for connections that are open', async () => {
    assert.equal((await ask('tls')).status, 200);
    copyFileSync(outside.cert, join(world.directory, 'internal-ca.pem'));
    await eventually('the old server is not trusted any more', async () => (await visitor.fetch(`${world.urls.files}/tls/x`)).status === 502);
    await eventually('the new one is', async () => (await ask('strange')).status === 200);
    copyFileSync(inside.cert, join(world.directory, 'internal-ca.pem'));
    await eventually('everything is as it was', async () => (await ask('tls')).status === 200);
  });
});
