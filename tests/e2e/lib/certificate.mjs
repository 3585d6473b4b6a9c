// A certificate authority and server certificates for test hosts, by the
// openssl command line. Everything is written under `directory`.
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function makeAuthority(directory, name = 'ca') {
  const cert = join(directory, `${name}.pem`);
  const key = join(directory, `${name}.key`);
  openssl('req', '-x509', ...newKey(key), '-out', cert, '-days', '2', '-subj', `/CN=Doorward test ${name}`,
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

// The list of what an authority has revoked: these certificates.
export function revocationList(authority, certificates) {
  const path = (end) => `${authority.cert}.${end}`;
  const revoked = certificates.map(({ cert }) => `R\t491231235959Z\t250101000000Z\t${new X509Certificate(readFileSync(cert)).serialNumber}\tunknown\t/CN=x\n`);
  writeFileSync(path('index'), revoked.join(''));
  writeFileSync(path('number'), '01\n');
  writeFileSync(path('settings'), `[ca]\ndefault_ca=it\n[it]\ndatabase=${path('index')}\ncrlnumber=${path('number')}\ndefault_md=sha256\ndefault_crl_days=1\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid\n`);
  openssl('ca', '-config', path('settings'), '-gencrl', '-keyfile', authority.key, '-cert', authority.cert, '-out', path('crl'));
  return readFileSync(path('crl'), 'utf8');
}

export function fingerprint({ cert }) {
  return new X509Certificate(readFileSync(cert)).fingerprint256;
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
