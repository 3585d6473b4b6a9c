// A certificate authority and server certificates for test hosts, by the
// openssl command line. Everything is written under `directory`.
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function makeAuthority(directory) {
  const cert = join(directory, 'ca.pem');
  const key = join(directory, 'ca.key');
  openssl('req', '-x509', ...newKey(key), '-out', cert, '-days', '2', '-subj', '/CN=Doorward test CA',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  return { directory, cert, key, pem: readFileSync(cert, 'utf8') };
}

export function issueCertificate(authority, name, hosts, usage = 'serverAuth') {
  const base = join(authority.directory, name);
  const extensions = `${base}.ext`;
  const alternatives = hosts.map((host) => `DNS:${host}`).join(',');
  writeFileSync(extensions, `subjectAltName=${alternatives}\nextendedKeyUsage=${usage}\nbasicConstraints=CA:FALSE\n`);
  openssl('req', ...newKey(`${base}.key`), '-out', `${base}.csr`, '-subj', `/CN=${hosts[0]}`);
  openssl('x509', '-req', '-in', `${base}.csr`, '-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial',
    '-days', '2', '-extfile', extensions, '-out', `${base}.pem`);
  return { cert: `${base}.pem`, key: `${base}.key`, pin: pin(`${base}.pem`) };
}

function newKey(file) {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file];
}

// What Chromium's --ignore-certificate-errors-spki-list wants.
export function pin(certificateFile) {
  const certificate = new X509Certificate(readFileSync(certificateFile));
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64');
}

function openssl(...args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
