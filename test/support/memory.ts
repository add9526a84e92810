import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { askServer } from '../../src/cli/admin-client.ts';
import type { ServerFacts } from '../../src/observability/facts.ts';
import { srtpForms } from './key-forms.ts';
import type { OpenPage } from './open-page.ts';
import type { ServerProcess } from './process.ts';
import { until } from './wait.ts';

/** A secret to look for, by pieces of eight bytes: what overwrites one half of a copy leaves the other. */
export interface Pattern {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Hit {
  readonly name: string;
  /** Offset of the piece that was found, in the pattern. */
  readonly piece: number;
  readonly address: number;
  /** What /proc calls the mapping. */
  readonly mapping: string;
}

export interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly writable: boolean;
  readonly name: string;
}

const PIECE_BYTES = 8;
const CHUNK_BYTES = 4 * 1024 * 1024;
const FILTER_BITS = 20;
const MASK = 0xa5;

/** The mappings of a process that can be read. */
function readableMappings(pid: number): Mapping[] {
  return readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) r(.)\S+ \S+ \S+ \S+\s*(.*)$/.exec(line);
      // The kernel's own pages: the clock, which nothing of the process is written to.
      if (match === null || /^\[v(var|syscall)/.test(match[4]!)) return [];
      const [start, end] = [Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16)];
      return [{ start, end, writable: match[3] === 'w', name: match[4] === '' ? 'anonymous' : match[4]! }];
    });
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly mapping: Mapping;
  readonly address: number;
}

/**
 * Hands out the memory of a process as it was at one moment, in chunks that overlap by `overlap` bytes. The process stands still while it is copied,
 * and no longer; between two chunks everything else of this process has its turn.
 */
export async function readMemory(
  pid: number,
  overlap: number,
  take: (chunk: Uint8Array, mapping: Mapping, address: number) => void,
  wanted: (mapping: Mapping) => boolean = () => true,
): Promise<void> {
  for (const { bytes, mapping, address } of copyMemory(pid, overlap, wanted)) {
    take(bytes, mapping, address);
    await nextTurn();
  }
}

function copyMemory(pid: number, overlap: number, wanted: (mapping: Mapping) => boolean): readonly Chunk[] {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = new Uint8Array(CHUNK_BYTES + overlap);
  const zeroes = new Uint8Array(buffer.length);
  const chunks: Chunk[] = [];
  process.kill(pid, 'SIGSTOP');
  try {
    for (const mapping of readableMappings(pid).filter(wanted)) {
      for (let address = mapping.start; address < mapping.end; address += CHUNK_BYTES) {
        const length = Math.min(buffer.length, mapping.end - address);
        const bytes = buffer.subarray(0, tryRead(memory, buffer.subarray(0, length), address));
        // Most of what is mapped was never written to.
        if (Buffer.compare(bytes, zeroes.subarray(0, bytes.length)) !== 0)
          chunks.push({ bytes: bytes.slice(), mapping, address });
      }
    }
  } finally {
    process.kill(pid, 'SIGCONT');
    closeSync(memory);
  }
  return chunks;
}

/** Looks for all patterns in all memory of a process that can be read. Patterns shorter than eight bytes are refused. */
export class MemoryScanner {
  /** By their first four bytes; the rest masked, so that this process holds nothing of what it looks for but here. */
  readonly #pieces = new Map<number, { name: string; offset: number; masked: Uint8Array }[]>();
  readonly #filter = new Uint8Array(2 ** FILTER_BITS);

  constructor(patterns: readonly Pattern[]) {
    for (const { name, bytes } of patterns) {
      if (bytes.length < PIECE_BYTES) throw new RangeError(`${name} is too short to be told from chance`);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const offset = Math.min(at, bytes.length - PIECE_BYTES);
        this.#add(name, offset, bytes.subarray(offset, offset + PIECE_BYTES));
      }
    }
  }

  async scan(pid: number): Promise<Hit[]> {
    const hits: Hit[] = [];
    await readMemory(pid, PIECE_BYTES - 1, (chunk, mapping, address) => {
      for (const { name, piece, at } of this.#find(chunk))
        hits.push({ name, piece, address: address + at, mapping: mapping.name });
    });
    return hits;
  }

  *#find(chunk: Uint8Array): Generator<{ name: string; piece: number; at: number }> {
    const filter = this.#filter;
    const end = chunk.length - PIECE_BYTES;
    let word = 0;
    for (let i = 0; i < 3; i++) word = (word << 8) | (chunk[i] ?? 0);
    for (let at = 0; at <= end; at++) {
      word = (word << 8) | chunk[at + 3]!;
      if (filter[slot(word)] === 0) continue;
      for (const { name, offset, masked } of this.#pieces.get(word) ?? []) {
        if (masked.every((byte, i) => (byte ^ MASK) === chunk[at + 4 + i])) yield { name, piece: offset, at };
      }
    }
  }

  #add(name: string, offset: number, piece: Uint8Array): void {
    const word = (piece[0]! << 24) | (piece[1]! << 16) | (piece[2]! << 8) | piece[3]!;
    this.#filter[slot(word)] = 1;
    const known = this.#pieces.get(word) ?? [];
    known.push({ name, offset, masked: piece.subarray(4).map((byte) => byte ^ MASK) });
    this.#pieces.set(word, known);
  }
}

/** Waits for the collection behind the last re-key: what node:crypto held of the old keys is gone from then on. Needs `LOG_LEVEL=debug`. */
export async function oldKeysCollected(server: ServerProcess): Promise<void> {
  const last = (worker: unknown, ...events: readonly unknown[]) =>
    server.logs.findLastIndex(({ fields }) => events.includes(fields.event) && fields.worker === worker);
  // Each thread collects its own.
  await until('the old keys are collected', () =>
    [...new Set(server.logs.map(({ fields }) => fields.worker))].every((worker) => {
      const changed = last(worker, 'stale-keys-destroyed', 'keyed');
      return changed < 0 || last(worker, 'old-keys-collected') > changed;
    }),
  );
}

/** Waits until every page has keys that the server takes for good, none under way: what was before is then the past, however often they had to try. */
export async function everybodyKeyed(server: ServerProcess, pages: readonly OpenPage[]): Promise<void> {
  await until('everybody has keys, and no others are under way', async () => {
    const answer = await askServer(server.adminSocket, { command: 'status' });
    if (answer.kind !== 'answer' || !answer.response.ok) return false;
    const { sessions } = (answer.response as unknown as { readonly facts: ServerFacts }).facts;
    const live = sessions.groups.map(({ state, count }) => (state === 'live' ? count : Number.NaN));
    return (
      live.reduce((sum, count) => sum + count, 0) === pages.length &&
      pages.every(({ browser }) => browser.current?.connected)
    );
  });
}

/** A page that was never touched, or that a device maps, cannot be read: it holds nothing either. */
function tryRead(memory: number, target: Uint8Array, address: number): number {
  try {
    return readSync(memory, target, 0, target.length, address);
  } catch {
    return 0;
  }
}

const slot = (word: number): number => Math.imul(word, 0x9e3779b1) >>> (32 - FILTER_BITS);

/** What there may be of the SRTP keys of one of its associations. */
export function keysOf({ browser }: OpenPage, number: number): Pattern[] {
  const association = browser.associations[number]!;
  const isInUse = number === browser.associations.length - 1;
  const received = [...(browser.connections.get(association.connection)?.received.keys() ?? [])];
  const remote = [...new Set(received.map((key) => Number(key.split('/')[0])))];
  return srtpForms(`${browser.name} ${isInUse ? 'in use' : number}`, association, {
    local: [0x1000 + association.connection],
    remote,
  });
}
