// A whole small company on loopback: certificates, providers, upstreams and
// Doorward in front of them. Two apps live on two unrelated domains.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCertificate, makeAuthority } from './certificate.mjs';
import { Doorward, writeConfiguration } from './doorward.mjs';
import { freePort } from './ports.mjs';
import { Provider } from './provider.mjs';
import { Upstream } from './upstream.mjs';

export const HOSTS = {
  wiki: 'wiki.one.test',
  payroll: 'payroll.two.test',
  partner: 'partner.one.test',
  files: 'files.one.test',
  auth: 'login.sso.test',
};

// `options`: providers: { name: options } (`Kind`: a class other than
// Provider), down: names of providers that are
// not started; files: the URL of an upstream for the files app;
// adjust: changes the configuration before it is written.
export async function startWorld({ providers = { staff: {} }, down = [], files, adjust = () => {} } = {}) {
  const world = new World();
  try {
    await world.prepare(providers, down);
    world.configuration = world.compose(files);
    adjust(world.configuration, world);
    writeConfiguration(world.file, world.configuration);
    world.doorward = await Doorward.run(world.file, world.configuration.listen.admin);
    return world;
  } catch (error) {
    await world.close();
    throw error;
  }
}

class World {
  directory = mkdtempSync(join(tmpdir(), 'doorward-e2e-'));
  file = join(this.directory, 'doorward.yaml');
  providers = {};
  closing = [];

  async prepare(providers, down) {
    this.authority = makeAuthority(this.directory);
    this.certificates = [
      issueCertificate(this.authority, 'one', [HOSTS.auth, HOSTS.wiki, HOSTS.partner, HOSTS.files]),
      issueCertificate(this.authority, 'two', [HOSTS.payroll]),
    ];
    writeFileSync(join(this.directory, 'admin.token'), 'an-admin-token-of-the-tests\n', { mode: 0o600 });
    this.upstream = await Upstream.start();
    this.port = await freePort();
    this.listen = { https: this.port, http: await freePort(), admin: await freePort() };
    this.urls = Object.fromEntries(Object.entries(HOSTS).map(([name, host]) => [name, `https://${host}:${this.port}`]));
    for (const [name, options] of Object.entries(providers)) await this.addProvider(name, options, down.includes(name));
  }

  async addProvider(name, { Kind = Provider, ...options }, down) {
    const provider = new Kind(await freePort(), { name, ...options });
    provider.redirectUris = [`${this.urls.auth}/.doorward/callback`];
    provider.postLogoutRedirectUris = [`${this.urls.auth}/.doorward/logout`];
    writeFileSync(join(this.directory, `${name}.secret`), provider.client.secret, { mode: 0o600 });
    this.providers[name] = provider;
    if (!down) await provider.up();
  }

  compose(files) {
    const identity = { 'X-Remote-User': 'email', 'X-Remote-Groups': 'groups', 'X-Department': 'department' };
    const everyone = Object.keys(this.providers);
    return {
      listen: Object.fromEntries(Object.entries(this.listen).map(([name, port]) => [name, `127.0.0.1:${port}`])),
      admin: { token: { file: 'admin.token' } },
      tls: { certificates: this.certificates.map(({ cert, key }) => ({ cert, key })) },
      auth: { url: this.urls.auth, session: { idle: '1h', lifetime: '12h' } },
      identity_providers: Object.fromEntries(Object.values(this.providers).map((each) => [each.name, this.describe(each)])),
      store: 'sqlite:doorward.db',
      apps: {
        wiki: {
          url: this.urls.wiki, name: 'Wiki', upstream: this.upstream.url, identity, providers: ['staff'],
          allow: [{ groups: ['staff'] }, { domains: ['corp.test'] }],
          paths: [
            { match: '/public/**', public: true },
            { match: '/admin/**', allow: [{ groups: ['admins'] }] },
          ],
        },
        payroll: {
          url: this.urls.payroll, name: 'Payroll', upstream: this.upstream.url, identity, providers: ['staff'],
          allow: [{ groups: ['finance'] }], cors_preflight: true,
        },
        partner: { url: this.urls.partner, name: 'Partner portal', upstream: this.upstream.url, providers: everyone, allow: [{ groups: ['staff', 'visitors'] }] },
        files: { url: this.urls.files, name: 'Files', upstream: files ?? this.upstream.url, providers: ['staff'], allow: [{ groups: ['staff'] }] },
      },
      audit: { file: 'audit.jsonl' },
    };
  }

  describe(provider) {
    return {
      name: provider.name === 'staff' ? 'Staff accounts' : 'Partner accounts',
      issuer: provider.issuer,
      client_id: provider.client.id,
      client_secret: { file: `${provider.name}.secret` },
      scopes: ['openid', 'email', 'profile', 'groups'],
      claims: { groups: 'groups', department: 'department' },
    };
  }

  get staff() {
    return this.providers.staff;
  }

  // Writes a changed configuration, as an editor would.
  reconfigure(change) {
    change(this.configuration);
    writeConfiguration(this.file, this.configuration);
  }

  breakConfiguration() {
    appendFileSync(this.file, '\n]: this is not YAML: [\n');
  }

  // Starts Doorward again on the same files, after it has ended.
  async startAgain() {
    this.doorward = await Doorward.run(this.file, this.configuration.listen.admin);
  }

  // Every audit record that has been written whole, but what the trail says of itself.
  audit() {
    const file = join(this.directory, 'audit.jsonl');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [''];
    return lines.slice(0, -1).map((line) => JSON.parse(line)).filter(({ act }) => act !== 'trail');
  }

  onClose(action) {
    this.closing.unshift(action);
  }

  async close() {
    for (const action of this.closing) await action();
    await this.doorward?.stop();
    await this.upstream?.close();
    for (const provider of Object.values(this.providers)) if (provider.running) await provider.down();
    if (!process.env.KEEP_E2E) rmSync(this.directory, { recursive: true, force: true });
  }
}
