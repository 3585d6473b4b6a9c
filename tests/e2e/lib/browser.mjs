// Debian's Chromium, headless, trusting only the test's own certificates and
// resolving the test's domains to loopback.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ARTEFACTS } from './doorward.mjs';
import { PASSWORD } from './provider.mjs';

const CHROMIUM = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => path && existsSync(path));

export const chromiumMissing = CHROMIUM ? false : 'Chromium is not installed';

function launchOptions(world) {
  return {
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--password-store=basic',
      '--host-resolver-rules=MAP *.test 127.0.0.1',
      `--ignore-certificate-errors-spki-list=${world.certificates.map(({ pin }) => pin).join(',')}`,
    ],
  };
}

export function launch(world) {
  return chromium.launch(launchOptions(world));
}

// A browser whose user blocks cookies for one domain.
export function launchBlockingCookies(world, domain) {
  const profile = join(world.directory, `profile-${domain}`);
  mkdirSync(join(profile, 'Default'), { recursive: true });
  const exceptions = { cookies: { [`[*.]${domain},*`]: { setting: 2 } } };
  writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { content_settings: { exceptions } } }));
  return chromium.launchPersistentContext(profile, launchOptions(world));
}

// Fills in the provider's form on a page that has arrived there.
export async function signIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', PASSWORD);
  await page.click('button[type=submit]:not([name])');
}

export async function screenshot(page, name) {
  mkdirSync(ARTEFACTS, { recursive: true });
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`), fullPage: true });
}
