// Runs the binary under test and talks to its admin listener.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
export const BINARY = process.env.DOORWARD ?? join(TARGET, 'debug', 'doorward');
export const ARTEFACTS = join(ROOT, 'tests', 'artefacts');

export class Doorward {
  // `file` is a configuration that exists already; `admin` its admin address.
  static async run(file, admin) {
    const doorward = new Doorward(['run', '-c', file], dirname(file));
    doorward.admin = admin;
    await doorward.ready();
    return doorward;
  }

  constructor(args, directory) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is not built: cargo build first`);
    this.logFile = join(directory, 'doorward.log');
    this.child = spawn(BINARY, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(this.logFile, { flags: 'a' });
    this.child.stdout.pipe(log);
    this.child.stderr.pipe(log);
    this.exited = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve({ code, signal })));
  }

  async ready() {
    const failed = this.exited.then(({ code, signal }) => {
      throw new Error(`doorward ended with ${code ?? signal} before it was ready:\n${this.log()}`);
    });
    await Promise.race([failed, eventually('doorward is ready', async () => (await this.get('/readyz')).ok)]);
    failed.catch(() => {});
  }

  get(path, headers = {}) {
    return fetch(`http://${this.admin}${path}`, { headers });
  }

  // The sum of a metric over every label set that has all of `labels`.
  async metric(name, labels = {}) {
    const text = await (await this.get('/metrics')).text();
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    return text.split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  log() {
    return readFileSync(this.logFile, 'utf8');
  }

  signal(name) {
    this.child.kill(name);
  }

  async stop() {
    this.signal('SIGTERM');
    return this.exited;
  }
}

// JSON is YAML; only operators write the pretty kind.
export function writeConfiguration(file, configuration) {
  writeFileSync(file, `${JSON.stringify(configuration, null, 2)}\n`);
}
