// Servers of apps by every transport: clear text and TLS, HTTP/1.1 and HTTP/2, and sockets of this machine. Each says of a request
// how it came.
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { freePort, listen } from './ports.mjs';

// What is told of a request, as JSON.
function describe(request, response) {
  const { socket } = request;
  const secure = socket.encrypted ? { alpn: socket.alpnProtocol, sni: socket.servername || null, client: socket.getPeerCertificate()?.subject?.CN ?? null } : {};
  const body = JSON.stringify({ version: request.httpVersion, host: request.headers[':authority'] ?? request.headers.host, path: request.url, headers: request.headers, ...secure });
  response.writeHead(200, { 'content-type': 'application/json' }).end(body);
}

function secrets({ certificate, clients }) {
  const read = (file) => readFileSync(file);
  const mutual = clients ? { requestCert: true, rejectUnauthorized: true, ca: read(clients) } : {};
  return { cert: read(certificate.cert), key: read(certificate.key), ...mutual };
}

const KINDS = {
  http: () => http.createServer(),
  https: (options) => https.createServer({ ...secrets(options), ALPNProtocols: ['http/1.1'] }),
  h2c: (options) => http2.createServer(options),
  h2: (options) => http2.createSecureServer({ ...secrets(options), ...options, allowHTTP1: options.allowHTTP1 ?? false }),
};

// A server of this kind, at a port or at the path of a socket; `serve` answers in place of a description;
// null: whoever listens to the server itself does.
export async function startServer(kind, { serve = describe, path, ...options } = {}) {
  const server = KINDS[kind](options);
  const at = path ?? await freePort();
  const sockets = new Set();
  let connections = 0;
  server.on(kind.endsWith('s') || kind === 'h2' ? 'secureConnection' : 'connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  });
  if (serve) server.on('request', serve);
  server.on('sessionError', () => {});
  await (path ? new Promise((resolve) => { server.listen(path, resolve); }) : listen(server, at));
  return {
    server, sockets,
    port: path ? undefined : at,
    get connections() { return connections; },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
