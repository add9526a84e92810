import type { SrtpSendContext } from './send-context.ts';

/** A rewritten RTP packet, the same for every receiver. */
export interface ProtectablePacket {
  readonly ssrc: number;
  /** 48-bit room index. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

export interface ProtectJob {
  readonly context: SrtpSendContext;
  readonly packet: ProtectablePacket;
}

/** Protects a batch of packets, typically one packet for many receivers. */
export interface MediaProtector {
  /**
   * Calls `emit` for each job that yields a datagram, in order, before it returns. A job may carry more than is needed here, such as where its
   * datagram goes.
   *
   * A datagram may be a view that the next call writes over: who keeps it longer copies it.
   *
   * An error is fatal to the job's context and to no other: it goes to `fail` and the batch goes on.
   */
  protect<Job extends ProtectJob>(
    jobs: readonly Job[],
    emit: (job: Job, datagram: Uint8Array) => void,
    fail: (job: Job, error: unknown) => void,
  ): void;
}

/** One packet after the other, on `node:crypto`. */
export class PlainProtector implements MediaProtector {
  protect<Job extends ProtectJob>(
    jobs: readonly Job[],
    emit: (job: Job, datagram: Uint8Array) => void,
    fail: (job: Job, error: unknown) => void,
  ): void {
    for (const job of jobs) {
      let datagram: Uint8Array | undefined;
      try {
        datagram = job.context.protectRtp(job.packet.bytes, job.packet.index);
      } catch (error) {
        fail(job, error);
      }
      if (datagram !== undefined) emit(job, datagram);
    }
  }
}
