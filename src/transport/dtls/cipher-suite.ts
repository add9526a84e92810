/** The PRF and transcript hash of a suite, by its node:crypto name. */
export type PrfHash = 'sha256' | 'sha384';

/** A cipher suite: AEAD with ECDHE and nothing else (RFC 8827 §6.5 asks for forward secrecy and AEAD). */
export interface CipherSuite {
  readonly id: number;
  readonly prf: PrfHash;
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm';
  readonly keyBytes: number;
  /** What the server's certificate must hold. */
  readonly authentication: 'ec' | 'rsa';
}

/** In order of preference (RFC 5289 §3.2, registered by their RFC names in the comments). */
export const CIPHER_SUITES: readonly CipherSuite[] = [
  // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  { id: 0xc02b, prf: 'sha256', cipher: 'aes-128-gcm', keyBytes: 16, authentication: 'ec' },
  // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
  { id: 0xc02f, prf: 'sha256', cipher: 'aes-128-gcm', keyBytes: 16, authentication: 'rsa' },
  // TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  { id: 0xc02c, prf: 'sha384', cipher: 'aes-256-gcm', keyBytes: 32, authentication: 'ec' },
  // TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
  { id: 0xc030, prf: 'sha384', cipher: 'aes-256-gcm', keyBytes: 32, authentication: 'rsa' },
];

export const cipherSuiteById = (id: number): CipherSuite | undefined =>
  CIPHER_SUITES.find((suite) => suite.id === id);
