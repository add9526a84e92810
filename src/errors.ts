/**
 * What can go wrong in words a script can match. Hostile network input is never one of these: it is dropped
 * and counted.
 */
export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'PORT_IN_USE'
  | 'ADDRESS_UNAVAILABLE'
  | 'KEY_MODE_TOO_OPEN'
  | 'KEY_MISSING'
  | 'KEY_INVALID'
  | 'KEY_SOURCE_FAILED'
  | 'KEY_SOURCE_READ_ONLY'
  | 'STATE_UNWRITABLE'
  | 'STATE_IN_USE'
  | 'SEALED_FILE_INVALID'
  | 'SERVER_UNRESPONSIVE'
  | 'HANDOVER_REFUSED'
  | 'SECRET_DISPOSED'
  | 'NONCE_REUSE';

/**
 * Everything that this program throws on purpose. `code` is for programs and stays; the message is for people: what was asked, why not, what to
 * do. `cause` is kept.
 */
export class RekeycastError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'RekeycastError';
    this.code = code;
  }
}

/** What went wrong, in the words of whoever threw it. */
export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
