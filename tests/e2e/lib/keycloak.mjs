// Keycloak in development mode, with one realm, its people and one client.
// The same handles as lib/provider.mjs, by its admin API.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ARTEFACTS } from './doorward.mjs';
import { eventually } from './eventually.mjs';
import { PASSWORD, PEOPLE } from './provider.mjs';

const HOME = process.env.KEYCLOAK_HOME;
export const keycloakMissing = HOME ? false : 'KEYCLOAK_HOME is not set: use tests/run keycloak';

export class Keycloak {
  constructor(port, { name = 'staff', accessTokenSeconds = 600 } = {}) {
    Object.assign(this, { port, name, accessTokenSeconds });
    this.base = `http://127.0.0.1:${port}`;
    this.issuer = `${this.base}/realms/corp`;
    this.client = { id: 'doorward', secret: randomBytes(24).toString('hex') };
    this.admin = { username: 'admin', password: randomBytes(12).toString('hex') };
    this.running = false;
  }

  async up() {
    if (!this.imported) this.importRealm();
    const log = createWriteStream(join(ARTEFACTS, 'keycloak.log'), { flags: 'a' });
    this.child = spawn(join(HOME, 'bin', 'kc.sh'), ['start-dev', '--http-host=127.0.0.1', `--http-port=${this.port}`, '--import-realm'], {
      env: { ...process.env, KC_BOOTSTRAP_ADMIN_USERNAME: this.admin.username, KC_BOOTSTRAP_ADMIN_PASSWORD: this.admin.password },
      stdio: ['ignore', 'pipe', 'pipe'], detached: true,
    });
    this.child.stdout.pipe(log);
    this.child.stderr.pipe(log);
    await eventually('Keycloak answers', async () => (await fetch(`${this.issuer}/.well-known/openid-configuration`)).ok, 300);
    this.running = true;
  }

  // kc.sh starts a Java process of its own: the whole group is ended.
  async down() {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    process.kill(-this.child.pid, 'SIGTERM');
    await gone;
    this.running = false;
  }

  importRealm() {
    mkdirSync(ARTEFACTS, { recursive: true });
    rmSync(join(HOME, 'data'), { recursive: true, force: true });
    mkdirSync(join(HOME, 'data', 'import'), { recursive: true });
    writeFileSync(join(HOME, 'data', 'import', 'corp-realm.json'), JSON.stringify(this.realm()));
    this.imported = true;
  }

  realm() {
    const groups = [...new Set(Object.values(PEOPLE).flatMap((person) => person.groups))];
    return {
      realm: 'corp', enabled: true, sslRequired: 'none', accessTokenLifespan: this.accessTokenSeconds,
      groups: groups.map((name) => ({ name })),
      users: Object.entries(PEOPLE).map(([username, person]) => ({
        username, enabled: true, email: person.email, emailVerified: person.email_verified ?? true,
        firstName: person.name.split(' ')[0], lastName: person.name.split(' ').slice(1).join(' ') || 'X',
        credentials: [{ type: 'password', value: PASSWORD, temporary: false }], groups: person.groups.map((group) => `/${group}`),
      })),
      clients: [{
        clientId: this.client.id, secret: this.client.secret, publicClient: false, standardFlowEnabled: true, directAccessGrantsEnabled: false,
        redirectUris: this.redirectUris,
        attributes: { 'pkce.code.challenge.method': 'S256', 'post.logout.redirect.uris': this.postLogoutRedirectUris.join('##') },
        protocolMappers: [{
          name: 'groups', protocol: 'openid-connect', protocolMapper: 'oidc-group-membership-mapper',
          config: { 'claim.name': 'groups', 'full.path': 'false', 'id.token.claim': 'true', 'access.token.claim': 'true', 'userinfo.token.claim': 'true' },
        }],
      }],
    };
  }

  async revoke(login) {
    await this.call('POST', `/users/${await this.idOf('users?exact=true&username=', login)}/logout`);
  }

  async leave(login, group) {
    await this.call('DELETE', `/users/${await this.idOf('users?exact=true&username=', login)}/groups/${await this.idOf('groups?exact=true&search=', group)}`);
  }

  // A new signing key that is preferred to the first one.
  async rotateKeys() {
    const realm = await (await this.call('GET', '')).json();
    await this.call('POST', '/components', {
      name: 'newer', parentId: realm.id, providerId: 'rsa-generated', providerType: 'org.keycloak.keys.KeyProvider',
      config: { priority: ['1000'], enabled: ['true'], active: ['true'], algorithm: ['RS256'], keySize: ['2048'] },
    });
  }

  async idOf(query, name) {
    const [found] = await (await this.call('GET', `/${query}${name}`)).json();
    return found.id;
  }

  async call(method, path, body) {
    const form = new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', ...this.admin });
    const { access_token: token } = await (await fetch(`${this.base}/realms/master/protocol/openid-connect/token`, { method: 'POST', body: form })).json();
    const answer = await fetch(`${this.base}/admin/realms/corp${path}`, {
      method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
}
