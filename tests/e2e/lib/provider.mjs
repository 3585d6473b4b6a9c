// An OpenID Connect provider (the certified oidc-provider) with a plain login
// form and the handles a test needs: change a user's groups, revoke grants,
// rotate keys, break an endpoint, go down and come back on the same port.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Provider as OidcProvider } from 'oidc-provider';
import { adapterOn } from './adapter.mjs';
import { freePort, listen } from './ports.mjs';

export const PASSWORD = 'correct horse';
// The second factor, and what a sign-in with it is called.
export const CODE = '271828';
export const STRONG = 'urn:test:mfa';

export const PEOPLE = {
  alice: { email: 'alice@corp.test', name: 'Alice Ørsted', groups: ['staff', 'engineering'], department: 'engineering' },
  bob: { email: 'bob@corp.test', name: 'Bob Byrne', groups: ['staff', 'finance'], department: 'finance' },
  root: { email: 'root@corp.test', name: 'Robin Root', groups: ['staff', 'admins'], department: 'it' },
  mallory: { email: 'mallory@evil.test', name: 'Mallory', groups: ['visitors'], department: 'none' },
  unverified: { email: 'ceo@corp.test', email_verified: false, name: 'Not the CEO', groups: [], department: 'none' },
};

const SCOPES = ['openid', 'email', 'profile', 'groups'];

export class Provider {
  // Resolves to a running provider.
  static async start(options = {}) {
    const provider = new Provider(await freePort(), options);
    await provider.up();
    return provider;
  }

  constructor(port, { name = 'staff', accessTokenSeconds = 600, conformIdTokenClaims = false, claimsParameter = true } = {}) {
    Object.assign(this, { port, name, accessTokenSeconds, conformIdTokenClaims, claimsParameter });
    this.issuer = `http://127.0.0.1:${port}`;
    this.client = { id: 'doorward', secret: randomBytes(24).toString('hex') };
    this.redirectUris = ['https://unset.test/'];
    this.postLogoutRedirectUris = ['https://unset.test/'];
    this.people = structuredClone(PEOPLE);
    this.keys = [signingKey()];
    this.storage = new Map();
    this.grants = new Map(); // login name → set of grant ids
    this.tokenCalls = []; // { grant: 'refresh_token', ok: true }
    this.authorizations = []; // the query parameters of each authorization request
    this.intercept = undefined; // (req, res) → true when it has answered
  }

  async up() {
    this.oidc = this.build();
    const handle = this.oidc.callback();
    this.server = createServer((req, res) => this.serve(req, res, handle));
    await listen(this.server, this.port);
  }

  async down() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  async restart(change = {}) {
    await this.down();
    Object.assign(this, change);
    await this.up();
  }

  async rotateKeys() {
    await this.restart({ keys: [signingKey()] });
  }

  // Ends every grant of a user: the next refresh answers invalid_grant.
  async revoke(login) {
    for (const id of this.grants.get(login) ?? []) {
      const grant = await this.oidc.Grant.find(id);
      await grant?.destroy();
    }
  }

  get running() {
    return this.server?.listening ?? false;
  }

  refreshes() {
    return this.tokenCalls.filter((call) => call.grant === 'refresh_token');
  }

  build() {
    const oidc = new OidcProvider(this.issuer, configuration(this));
    oidc.on('grant.success', (ctx) => this.tokenCalls.push({ grant: ctx.oidc.params.grant_type, ok: true }));
    oidc.on('grant.error', (ctx, error) => this.tokenCalls.push({ grant: ctx.oidc.params?.grant_type, ok: false, error: error.message }));
    oidc.on('server_error', (_ctx, error) => console.error('oidc-provider:', error));
    return oidc;
  }

  async serve(req, res, handle) {
    try {
      if (this.intercept?.(req, res)) return;
      const url = new URL(req.url, this.issuer);
      if (url.pathname === '/auth') this.authorizations.push(Object.fromEntries(url.searchParams));
      if (url.pathname.startsWith('/interaction/')) await this.interact(req, res);
      else handle(req, res);
    } catch (error) {
      res.writeHead(500).end(String(error));
    }
  }

  // The login form, and what its submission does.
  async interact(req, res) {
    const { uid, params } = await this.oidc.interactionDetails(req, res);
    const strong = [params.acr_values, params.claims].some((asked) => asked?.includes(STRONG));
    if (req.method !== 'POST') {
      res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(loginPage(this.name, uid, '', strong));
      return;
    }
    const form = new URLSearchParams(await text(req));
    const login = form.get('login');
    if (form.get('cancel')) {
      await this.oidc.interactionFinished(req, res, { error: 'access_denied', error_description: 'End-User aborted' });
    } else if (this.people[login] && form.get('password') === PASSWORD) {
      const factors = form.get('code') === CODE ? { acr: STRONG, amr: ['pwd', 'otp', 'mfa'] } : { acr: 'urn:test:pwd', amr: ['pwd'] };
      await this.oidc.interactionFinished(req, res, { login: { accountId: login, ...factors } });
    } else {
      res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(loginPage(this.name, uid, 'Wrong name or password'));
    }
  }
}

function configuration(provider) {
  return {
    acrValues: ['urn:test:pwd', STRONG],
    adapter: adapterOn(provider.storage),
    // The default fetch carries a dispatcher that refuses loopback addresses.
    fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options),
    clients: [{
      client_id: provider.client.id,
      client_secret: provider.client.secret,
      redirect_uris: provider.redirectUris,
      post_logout_redirect_uris: provider.postLogoutRedirectUris,
      grant_types: ['authorization_code', 'refresh_token'],
    }],
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time', 'sid'],
      email: ['email', 'email_verified'],
      profile: ['name', 'department'],
      groups: ['groups'],
      iss: null,
    },
    scopes: [...SCOPES, 'offline_access'],
    conformIdTokenClaims: provider.conformIdTokenClaims,
    cookies: {
      keys: [provider.client.secret],
      names: { session: `${provider.name}_session`, interaction: `${provider.name}_interaction`, resume: `${provider.name}_resume` },
    },
    expiresWithSession: () => false,
    features: {
      claimsParameter: { enabled: provider.claimsParameter },
      devInteractions: { enabled: false },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
    },
    findAccount: (_ctx, id) => account(provider, id),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    jwks: { keys: provider.keys },
    loadExistingGrant: (ctx) => consentedGrant(provider, ctx),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: () => provider.accessTokenSeconds, AuthorizationCode: 60, Grant: 86400, IdToken: () => provider.accessTokenSeconds,
      Interaction: 600, RefreshToken: 86400, Session: 86400,
    },
  };
}

function account(provider, id) {
  const person = provider.people[id];
  return person && { accountId: id, claims: () => ({ sub: id, email_verified: true, ...person }) };
}

// Staff consented when they were hired: no consent page.
async function consentedGrant(provider, ctx) {
  const { session, client } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  const existing = known && await ctx.oidc.provider.Grant.find(known);
  if (existing) return existing;
  const grant = new ctx.oidc.provider.Grant({ accountId: session.accountId, clientId: client.clientId });
  grant.addOIDCScope([...SCOPES, 'offline_access'].join(' '));
  const id = await grant.save();
  provider.grants.set(session.accountId, (provider.grants.get(session.accountId) ?? new Set()).add(id));
  return grant;
}

function loginPage(name, uid, message = '', strong = false) {
  return `<!doctype html><title>${name} sign-in</title><h1>${name} sign-in</h1><p>${message}</p>
<form method="post" action="/interaction/${uid}">
<label>Name <input name="login" autofocus></label>
<label>Password <input name="password" type="password"></label>
${strong ? '<label>Code <input name="code"></label>' : ''}
<button type="submit">Sign in</button><button type="submit" name="cancel" value="1">Cancel</button>
</form>`;
}

function logoutSource(ctx, form) {
  ctx.body = `<!doctype html><title>Provider sign-out</title>${form}
<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out of the provider</button>`;
}

function postLogoutSuccessSource(ctx) {
  ctx.body = '<!doctype html><title>Signed out at the provider</title>';
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomBytes(8).toString('hex') };
}

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
