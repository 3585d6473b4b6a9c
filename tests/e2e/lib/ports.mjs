// Hands out free loopback ports below the ephemeral range. Test files run as
// processes of their own, so each starts looking in a stripe of its own.
import net from 'node:net';

const FIRST = 20000;
const STRIPES = 80;
const STRIPE = 50;
let next = FIRST + (process.pid % STRIPES) * STRIPE;

export async function freePort() {
  for (let tries = 0; tries < STRIPES * STRIPE; tries += 1) {
    const port = next;
    next = next + 1 < FIRST + STRIPES * STRIPE ? next + 1 : FIRST;
    if (await isFree(port)) return port;
  }
  throw new Error('no free port between 20000 and 24000');
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

export function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}
