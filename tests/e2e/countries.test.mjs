// Countries by a real database: what real addresses, told by a trusted proxy,
// come to in decisions, in explanations and in the audit trail.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { BINARY } from './lib/doorward.mjs';
import { eventually } from './lib/eventually.mjs';
import { Visitor } from './lib/visitor.mjs';
import { startWorld } from './lib/world.mjs';

const DATABASE = join(dirname(createRequire(import.meta.url).resolve('@ip-location-db/geo-whois-asn-country-mmdb/package.json')), 'geo-whois-asn-country.mmdb');

// Networks that have been in one country for decades: a German publisher, the
// Deutsche Telekom (IPv6), a French university network, the University of
// California, and what nobody has.
const PLACES = [
  ['193.99.144.80', 'DE', 200],
  ['2003:0:1::1', 'DE', 200],
  ['193.51.224.1', 'FR', 200],
  ['128.32.1.1', 'US', 403],
  ['10.1.2.3', null, 403],
  ['fd00::1', null, 403],
];

let world;
let visitor;

const adjust = (configuration) => {
  configuration.trusted_proxies = ['127.0.0.1'];
  // The database in the tests does not get any younger.
  configuration.geo = { country: DATABASE, max_age: '3650d' };
  configuration.apps.wiki.paths.push(
    { match: '/here/**', allow: [{ groups: ['staff'], when: { country: ['DE', 'FR'] } }] },
    { match: '/not-there/**', deny: [{ when: { country: 'US' } }], allow: [{ groups: ['staff'] }] },
  );
};

async function explain(ip) {
  const args = ['explain', '-c', world.file, '--app', 'wiki', '--path', '/here/x', '--user', 'alice@corp.test', '--group', 'staff', '--ip', ip, '--json'];
  const { code = 0, stdout } = await promisify(execFile)(BINARY, args).catch((error) => error);
  return { code, answer: JSON.parse(stdout) };
}

const recorded = (path) => eventually(`a record of ${path}`, () => world.audit().find((each) => each.path === path && each.signals));

describe('countries', () => {
  before(async () => {
    world = await startWorld({ adjust });
    visitor = new Visitor(world);
    assert.equal((await visitor.signIn(`${world.urls.wiki}/`, 'alice')).status, 200);
  });
  after(async () => {
    visitor?.close();
    await world?.close();
  });

  for (const [index, [ip, country, status]] of PLACES.entries()) {
    it(`${ip} is in ${country ?? 'no country'}`, async () => {
      const path = `/here/${index}`;
      const page = await visitor.fetch(`${world.urls.wiki}${path}`, { headers: { 'x-forwarded-for': ip } });
      assert.equal(page.status, status, page.text);
      const { signals, peer, decision } = await recorded(path);
      assert.equal(peer, ip);
      assert.equal(decision, status === 200 ? 'allow' : 'deny');
      assert.deepEqual([signals.country.value ?? null, signals.country.state], [country, country ? 'fresh' : 'absent']);
    });
  }

  // A program that is not optimised takes a while to read the database.
  it('are the same in an explanation, by the address alone', async () => {
    for (const [ip, country, status] of [PLACES[1], PLACES[3]]) {
      const { code, answer } = await explain(ip);
      assert.equal(code, status === 200 ? 0 : 1);
      const { value, state, holds, source, age } = answer.rules[0].conditions.find((each) => each.condition.startsWith('country'));
      assert.deepEqual([value, state, holds, source], [country, 'fresh', status === 200, 'database']);
      assert.ok(age > 0);
    }
  });

  it('that are refused are refused by where the client is, not by where its proxy is', async () => {
    for (const [ip, status] of [['128.32.1.1', 403], ['193.99.144.80', 200], ['10.1.2.3', 200]]) {
      assert.equal((await visitor.fetch(`${world.urls.wiki}/not-there/x`, { headers: { 'x-forwarded-for': ip } })).status, status, ip);
    }
  });

  it('say how old their database is', async () => {
    const built = await world.doorward.metric('doorward_geo_database_built_timestamp_seconds', { database: 'country' });
    assert.ok(built > Date.UTC(2020) / 1000 && built < Date.now() / 1000);
  });

  it('are stale once the database is too old', async () => {
    world.reconfigure((configuration) => { configuration.geo.max_age = '1d'; });
    await eventually('the configuration is read', async () => (await world.doorward.metric('doorward_config_epoch')) > 1);
    const path = '/here/stale';
    assert.equal((await visitor.fetch(`${world.urls.wiki}${path}`, { headers: { 'x-forwarded-for': '193.99.144.80' } })).status, 403);
    const { country } = (await recorded(path)).signals;
    assert.deepEqual([country.value, country.state], ['DE', 'stale']);
    assert.equal((await visitor.fetch(`${world.urls.wiki}/not-there/x`, { headers: { 'x-forwarded-for': '128.32.1.1' } })).status, 403, 'what keeps out still does');
  });
});
