// Verifies X-Doorward-Assertion the way an app would: ES256 against the keys
// that its own host serves.
import { createPublicKey, verify } from 'node:crypto';

export function verifyAssertion(token, jwks) {
  const [head, payload, signature] = token.split('.');
  const header = decode(head);
  const jwk = jwks.keys.find((key) => key.kid === header.kid);
  if (header.alg !== 'ES256' || !jwk) throw new Error(`no ES256 key for ${JSON.stringify(header)}`);
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const good = verify('sha256', Buffer.from(`${head}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  if (!good) throw new Error('the signature does not verify');
  return decode(payload);
}

function decode(part) {
  return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
}
