// Servers that are told about the client's connection by the PROXY protocol.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { after, before, describe, it } from 'node:test';
import { issueCertificate, makeAuthority } from './lib/certificate.mjs';
import { freePort, listen } from './lib/ports.mjs';
import { startServer } from './lib/servers.mjs';
import { HOSTS, startWorld } from './lib/world.mjs';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

// Takes the header off a new connection and passes the rest to a server. `announced` gets what each header said.
async function startAnnounced(behind, announced) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const { length, ...header } = bytes.subarray(0, 12).equals(SIGNATURE) ? binary(bytes) : line(bytes);
      announced.push(header);
      const through = net.connect(behind.port, '127.0.0.1').on('error', () => {});
      through.write(bytes.subarray(length));
      socket.pipe(through).pipe(socket);
    });
  });
  const port = await freePort();
  await listen(server, port);
  return { port, close: () => server.close() };
}

function line(bytes) {
  const end = bytes.indexOf('\r\n');
  const [, family, source, destination, sourcePort, destinationPort] = bytes.subarray(0, end).toString().split(' ');
  return { length: end + 2, version: 1, family, source, destination, sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) };
}

function binary(bytes) {
  const address = (at) => [...bytes.subarray(at, at + 4)].join('.');
  assert.deepEqual([bytes[12], bytes[13]], [0x21, 0x11], 'PROXY, TCP over IPv4');
  return {
    length: 16 + bytes.readUInt16BE(14), version: 2, source: address(16), destination: address(20),
    sourcePort: bytes.readUInt16BE(24), destinationPort: bytes.readUInt16BE(26),
  };
}

const apps = {};
let directory;
let world;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'doorward-announced-'));
  const authority = makeAuthority(directory);
  const certificate = issueCertificate(authority, 'server', ['app.internal']);
  for (const [name, kind, version] of [['v1', 'http', 'v1'], ['v2', 'http', 'v2'], ['secure', 'https', 'v2'], ['multiplexed', 'h2c', 'v2']]) {
    const behind = await startServer(kind, { certificate });
    const announced = [];
    apps[name] = { kind, version, behind, announced, front: await startAnnounced(behind, announced) };
  }
  world = await startWorld({ adjust: (configuration, { urls }) => {
    configuration.trusted_proxies = ['127.0.0.2'];
    for (const [name, { kind, version, front }] of Object.entries(apps)) {
      configuration.apps[name] = {
        url: `${urls.wiki}/${name}`, upstream: `${kind}://127.0.0.1:${front.port}`, send_proxy_protocol: version, paths: [{ match: `/${name}/**`, public: true }],
        ...(kind === 'https' ? { upstream_tls: { ca: authority.cert, name: 'app.internal' } } : {}),
      };
    }
  } });
});
after(async () => {
  await world?.close();
  for (const { front, behind } of Object.values(apps)) { front.close(); behind.close(); }
  rmSync(directory, { recursive: true, force: true });
});

// A client's connection from an address of loopback, that asks one thing after the other.
async function visitor(localAddress = '127.0.0.1') {
  const socket = await new Promise((resolve, reject) => {
    const open = tls.connect({ host: '127.0.0.1', port: world.port, localAddress, servername: HOSTS.wiki, ca: world.authority.pem, ALPNProtocols: ['http/1.1'] }, () => resolve(open));
    open.once('error', reject);
  });
  return {
    port: socket.localPort,
    close: () => socket.destroy(),
    ask: (path, lines = '') => new Promise((resolve, reject) => {
      let received = '';
      socket.once('error', reject);
      socket.on('data', function heard(chunk) {
        received += chunk;
        if (!received.includes('}')) return;
        socket.off('data', heard);
        resolve(Number(received.split(' ')[1]));
      });
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOSTS.wiki}:${world.port}\r\n${lines}\r\n`);
    }),
  };
}

describe('a connection to a server', () => {
  for (const name of ['v1', 'v2', 'secure', 'multiplexed']) {
    it(`begins with the client’s address, and is for that client’s connection alone: ${name}`, async () => {
      const { announced, version } = apps[name];
      const [one, other] = [await visitor(), await visitor()];
      for (const who of [one, other, one, other, one]) assert.equal(await who.ask(`/${name}/x`), 200);
      one.close();
      other.close();
      const expected = { version: Number(version[1]), source: '127.0.0.1', destination: '127.0.0.1', destinationPort: world.port };
      assert.deepEqual(announced.map(({ family, ...rest }) => rest), [one, other].map(({ port }) => ({ ...expected, sourcePort: port })));
    });
  }

  it('names the client that a trusted proxy speaks for', async () => {
    const { announced } = apps.v2;
    announced.length = 0;
    const proxy = await visitor('127.0.0.2');
    for (const client of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) await proxy.ask('/v2/x', `X-Forwarded-For: ${client}\r\n`);
    proxy.close();
    assert.deepEqual(announced.map(({ source, sourcePort }) => [source, sourcePort]), [['192.0.2.1', 0], ['192.0.2.2', 0]]);
  });
});
