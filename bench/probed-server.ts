import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { askServer } from '../src/cli/admin-client.ts';
import { type ServerFacts, serverFacts } from '../src/observability/facts.ts';
import { BUILT_SERVER, ROOT, ServerProcess } from '../test/support/process.ts';

/** Bytes that a server holds behind a collection, and what else it holds. */
export interface Held {
  readonly rss: number;
  readonly heapUsed: number;
  /** Of the heap: what V8 has compiled. */
  readonly code: number;
  readonly external: number;
  readonly arrayBuffers: number;
  /** Open descriptors. */
  readonly files: number;
  /** Handles and timers of Node, by type. */
  readonly resources: Readonly<Record<string, number>>;
}

/** One periodic write of the media snapshot. */
export interface MediaWrite {
  /** For so long the event loop was held up. */
  readonly ms: number;
  /** Processor time of the whole process meanwhile. */
  readonly cpuMs: number;
}

/** Shares of the main thread's time, by what was on its stack. */
export interface Profile {
  readonly media: number;
  readonly identity: number;
  readonly collector: number;
  readonly idle: number;
  readonly rest: number;
}

/** The built server with a module of the benchmark beside it (`bench/probe.mjs`) that looks into its process. */
export class ProbedServer {
  readonly server: ServerProcess;
  readonly #path: string;

  private constructor(server: ServerProcess, path: string) {
    this.server = server;
    this.#path = path;
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<ProbedServer> {
    const path = join(tmpdir(), `rekeycast-probe-${randomUUID()}`);
    const probe = join(ROOT, 'bench', 'probe.mjs');
    const server = await ServerProcess.start({
      env: { LOG_LEVEL: 'warn', BENCH_PROBE: path, ...env },
      command: [process.execPath, '--expose-gc', '--import', probe, BUILT_SERVER],
    });
    return new ProbedServer(server, path);
  }

  memory(): Promise<Held> {
    return this.#ask('memory');
  }

  /** Since this was asked last. */
  writes(): Promise<readonly MediaWrite[]> {
    return this.#ask('writes');
  }

  async profileDuring(work: () => Promise<void>): Promise<Profile> {
    await this.#ask('start');
    await work();
    return this.#ask('stop');
  }

  async facts(): Promise<ServerFacts> {
    const answer = await askServer(this.server.adminSocket, { command: 'status' });
    if (answer.kind !== 'answer' || !answer.response.ok) throw new Error('the server does not answer');
    return serverFacts.parse(answer.response.facts);
  }

  async #ask<Answer>(question: string): Promise<Answer> {
    const socket = connect(this.#path);
    socket.write(question);
    return JSON.parse(await text(socket)) as Answer;
  }
}
