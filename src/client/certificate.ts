/** `same`, `changed`, or `unknown` where nothing comparable has been seen. */
export type CertificateVerdict = 'same' | 'changed' | 'unknown';

export interface CertificateDigest {
  /** Name of the hash function as in SDP (RFC 8122 §5): `sha-256`, `sha-512`. */
  readonly algorithm: string;
  /** Lower-case hex. */
  readonly value: string;
  /** `transport`: computed from the certificate of the handshake. `sdp`: announced by the server, checked by the browser. */
  readonly source: 'transport' | 'sdp';
}

/** Compares the server's certificate with the first one that this page has seen. */
export class CertificateWatch {
  readonly #first = new Map<string, string>();
  #verdict: CertificateVerdict = 'unknown';
  #latest: CertificateDigest | undefined;
  #sha256 = '';

  get verdict(): CertificateVerdict {
    return this.#verdict;
  }

  get source(): CertificateDigest['source'] | undefined {
    return this.#latest?.source;
  }

  /** The newest SHA-256 digest seen, in hex, or empty. */
  get sha256(): string {
    return this.#sha256;
  }

  /** Digests under two hash functions cannot be compared: the first one under a second function says nothing. */
  observe(digest: CertificateDigest): void {
    const first = this.#first.get(digest.algorithm);
    if (first === undefined) this.#verdict = this.#first.size === 0 ? 'same' : 'unknown';
    else this.#verdict = first === digest.value ? 'same' : 'changed';
    if (first === undefined) this.#first.set(digest.algorithm, digest.value);
    if (digest.algorithm === 'sha-256') this.#sha256 = digest.value;
    this.#latest = digest;
  }
}

/** The first fingerprint of a session description, or `undefined`. */
export function fingerprintOf(sdp: string): CertificateDigest | undefined {
  const match = /^a=fingerprint:(\S+) ([0-9A-F]{2}(?::[0-9A-F]{2})+)\s*$/im.exec(sdp);
  if (match === null) return undefined;
  const [, algorithm = '', value = ''] = match;
  return {
    algorithm: algorithm.toLowerCase(),
    value: value.replaceAll(':', '').toLowerCase(),
    source: 'sdp',
  };
}
