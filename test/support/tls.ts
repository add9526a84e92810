import { execFileSync } from 'node:child_process';

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate for this machine's loopback addresses, good for 30 days, that OpenSSL made; another one each time. */
export function certificatePair(kind: 'rsa' | 'ec' = 'rsa'): PemPair {
  const algorithm = kind === 'rsa' ? ['rsa:2048'] : ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const made = execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-nodes', '-days', '30', '-newkey', ...algorithm],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'],
      ...['-keyout', '-', '-out', '-'],
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  ).toString();
  const cert = made.slice(made.indexOf('-----BEGIN CERTIFICATE'));
  return { cert, key: made.slice(0, made.length - cert.length) };
}
