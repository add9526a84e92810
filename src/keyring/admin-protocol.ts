import { join } from 'node:path';
import * as z from 'zod/mini';
import { parseJson } from '../util/json.ts';

/**
 * What an operator's command asks a running server: one JSON line to its unix socket, one JSON line back, then both close.
 *
 *   rekeycast keys rotate                 server
 *   {"command":"reseal"} ───────────────▶ reads the keyring again, seals identity (both generations) and media to the primary key
 *                        ◀─────────────── {"ok":true,"key":"…"}  or  {"ok":false,"error":"…"}
 *
 * Nothing secret travels here. The socket lies in a directory of mode 0700: who can connect may do all of it.
 */
export type AdminRequest =
  /** New keys for every session, now; with `certificate`, a new certificate as well. */
  | { readonly command: 'rekey' }
  | { readonly command: 'certificate' }
  | { readonly command: 'reseal' }
  | { readonly command: 'status' }
  /** Takes nobody new, and ends when the last has left. The answer, as that to `status` from then on, has the {@link DrainProgress} as `draining`. */
  | { readonly command: 'drain' }
  /**
   * Another server, which has loaded what it needs, takes over: the last snapshots are written, ports and directories let go, and then the answer is
   * sent. Who hangs up before gets nothing: the server goes on. `sockets`: it was given sockets, and needs no ports.
   */
  | HandoverRequest;

export interface HandoverRequest {
  readonly command: 'handover';
  /** New keys for everybody first. */
  readonly fresh: boolean;
  readonly sockets: boolean;
}

export interface DrainProgress {
  /** Visitors who are there, or may still come back. */
  readonly sessions: number;
  /** The server ends after so much time, whoever is left. */
  readonly leftMs: number;
}

export type AdminResponse =
  /** What else is in it is for people and programs to read; `reseal` gives the key that is sealed to now as `key`. */
  { readonly ok: true; readonly [name: string]: unknown } | { readonly ok: false; readonly error: string };

/** Longest line in either direction. */
export const MAX_ADMIN_LINE_BYTES = 64 * 1024;

const ADMIN_SOCKET = 'admin.sock';

const request = z.union([
  z.strictObject({ command: z.enum(['rekey', 'certificate', 'reseal', 'status', 'drain']) }),
  z.strictObject({ command: z.literal('handover'), fresh: z.boolean(), sockets: z.boolean() }),
]);
const response = z.union([
  z.looseObject({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), error: z.string() }),
]);

/** Where the socket is: beside the media snapshot, or in STATE_DIR where none is kept. */
export const adminSocketPath = (stateDir: string, runtimeDir: string | undefined): string =>
  join(runtimeDir ?? stateDir, ADMIN_SOCKET);

/** `undefined` where the line is no request. */
export function parseAdminRequest(line: string): AdminRequest | undefined {
  const parsed = request.safeParse(parseLine(line));
  return parsed.success ? parsed.data : undefined;
}

export function parseAdminResponse(line: string): AdminResponse | undefined {
  const parsed = response.safeParse(parseLine(line));
  return parsed.success ? parsed.data : undefined;
}

export const formatAdminLine = (message: AdminRequest | AdminResponse): string =>
  `${JSON.stringify(message)}\n`;

const parseLine = (line: string): unknown =>
  line.length > MAX_ADMIN_LINE_BYTES ? undefined : parseJson(line);
