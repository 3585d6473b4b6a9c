// Other people's tests of SCIM servers against the demo's directory:
// scim2-cli and scim-sanity from PyPI, in a Python environment under target/.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BINARY, Doorward } from './lib/doorward.mjs';
import { eventually } from './lib/eventually.mjs';
import { freePort } from './lib/ports.mjs';

const PACKAGES = ['scim2-cli==0.6.0', 'scim2-client==0.13.2', 'scim2-models==0.12.3', 'scim2-tester==0.5.2', 'scim-sanity==0.7.4'];
const HOME = join(dirname(dirname(BINARY)), 'scim-tests');

// The environment, made once; nothing where it can't be had.
function prepare() {
  const done = join(HOME, 'installed');
  if (existsSync(done) && readFileSync(done, 'utf8') === PACKAGES.join()) return HOME;
  try {
    const quiet = { stdio: 'pipe', timeout: 180_000 };
    execFileSync('python3', ['-m', 'venv', HOME], quiet);
    execFileSync(join(HOME, 'bin', 'pip'), ['install', '--quiet', ...PACKAGES], quiet);
  } catch (error) {
    return { skip: `${PACKAGES[0]} and scim-sanity can't be installed: ${String(error.stderr || error.message).trim().split('\n').at(-1)}` };
  }
  // Python asks the system for names, which does not always know what ends in .localhost.
  mkdirSync(join(HOME, 'names'), { recursive: true });
  writeFileSync(join(HOME, 'names', 'sitecustomize.py'), `import socket
look_up = socket.getaddrinfo
def local(host, *rest, **named):
    name = host.decode() if isinstance(host, bytes) else host
    return look_up("127.0.0.1" if name and name.endswith(".localhost") else host, *rest, **named)
socket.getaddrinfo = local
`);
  writeFileSync(done, PACKAGES.join());
  return HOME;
}

const prepared = prepare();

describe('the directory of the demo', { skip: prepared.skip ?? false }, () => {
  let directory;
  let doorward;
  let demo;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'doorward-scim-'));
    const state = join(directory, 'state');
    doorward = new Doorward(['demo', '--port', String(await freePort()), '--state', state], directory);
    demo = await eventually('demo.json', () => existsSync(join(state, 'demo.json')) && JSON.parse(readFileSync(join(state, 'demo.json'), 'utf8')), 60);
    await eventually('the demo is ready', async () => (await fetch(new URL('/readyz', demo.admin))).ok, 60);
  });
  after(async () => {
    await doorward?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  // The exit code and all that a tool says.
  function run(tool, args) {
    const env = {
      ...process.env,
      PYTHONPATH: join(HOME, 'names'),
      SSL_CERT_FILE: demo.ca,
      SCIM_CLI_HEADERS: `Authorization: Bearer ${demo.scim_token}`,
    };
    return new Promise((resolve) => {
      const child = spawn(join(HOME, 'bin', tool), args, { env, timeout: 120_000 });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { said += data; });
      child.once('close', (code) => resolve({ code, said }));
    });
  }

  it('passes scim2-cli test', async () => {
    const { code, said } = await run('scim2', ['--url', demo.scim, 'test']);
    assert.equal(code, 0, said.split('\n').filter((line) => !line.startsWith('SUCCESS')).join('\n').slice(-4000));
    assert.match(said, /SUCCESS/);
    assert.doesNotMatch(said, /^(ERROR|CRITICAL)/m);
  });

  it('passes scim-sanity', async () => {
    const { code, said } = await run('scim-sanity', ['probe', demo.scim, '--token', demo.scim_token, '--ca-bundle', demo.ca, '--i-accept-side-effects']);
    assert.equal(code, 0, said);
    assert.match(said, /All tests passed/);
  });
});
