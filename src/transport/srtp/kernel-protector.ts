import { RekeycastError } from '../../errors.ts';
import { rtpHeaderLength } from '../../rtp/packet.ts';
import {
  type CryptoKernel,
  KERNEL_PACKET_BYTES,
  KERNEL_SLOTS,
  type KernelKeys,
  type KernelLane,
} from './crypto-kernel.ts';
import { SRTP_PROFILES } from './profile.ts';
import type { MediaProtector, ProtectablePacket, ProtectJob } from './protector.ts';
import { ssrcOfRtp } from './transform.ts';

const { tagBytes: TAG_BYTES } = SRTP_PROFILES.AES_CM_128_HMAC_SHA1_80;
const LANES = 4;

/** What becomes of one job. */
interface Slot {
  /** In the kernel; `undefined` where the job takes the plain way or none. */
  keys: KernelKeys | undefined;
  /** Made the plain way. */
  datagram: Uint8Array | undefined;
  failed: boolean;
  error: unknown;
  readonly lane: KernelLane;
}

/**
 * Protects with a {@link CryptoKernel} what is under AES_CM_128_HMAC_SHA1_80, and everything else as the contexts do it themselves. Fastest where
 * several packets of one receiver follow each other (one call of node:crypto for all) and each packet is for four receivers or a multiple.
 *
 *   1. claim      the context spends the index of each job, or refuses it
 *   2. keystream  for exactly these (key, SSRC, index): nothing is made that is not used in the same batch
 *   3. seal       four receivers of one packet at once
 *   4. wipe       the keystream; then emit
 */
export class KernelProtector implements MediaProtector {
  readonly #kernel: CryptoKernel;
  readonly #slots: readonly Slot[] = Array.from({ length: KERNEL_SLOTS }, (_, slot) => ({
    keys: undefined,
    datagram: undefined,
    failed: false,
    error: undefined,
    lane: { record: 0, keystream: 0, slot, index: 0 },
  }));
  readonly #lanes: KernelLane[] = [];
  #lanesUsed = 0;

  constructor(kernel: CryptoKernel) {
    this.#kernel = kernel;
  }

  protect<Job extends ProtectJob>(
    jobs: readonly Job[],
    emit: (job: Job, datagram: Uint8Array) => void,
    fail: (job: Job, error: unknown) => void,
  ): void {
    for (let from = 0; from < jobs.length; from += KERNEL_SLOTS) {
      const count = Math.min(KERNEL_SLOTS, jobs.length - from);
      // Slots that are used again in the same batch would change what was emitted.
      const copied = jobs.length > KERNEL_SLOTS;
      for (let i = 0; i < count; i++) this.#claim(jobs[from + i]!, this.#slots[i]!);
      try {
        this.#generate(jobs, from, count);
        this.#seal(jobs, from, count);
      } finally {
        this.#kernel.wipeKeystream();
      }
      for (let i = 0; i < count; i++) this.#settle(jobs[from + i]!, this.#slots[i]!, copied, emit, fail);
    }
  }

  #claim({ context, packet }: ProtectJob, slot: Slot): void {
    slot.keys = undefined;
    slot.datagram = undefined;
    slot.failed = false;
    try {
      const keys = packet.bytes.length > KERNEL_PACKET_BYTES ? undefined : context.kernelKeys(this.#kernel);
      if (keys === undefined) {
        slot.datagram = context.protectRtp(packet.bytes, packet.index);
        return;
      }
      const index = context.claimRtp(packet.bytes, packet.index);
      if (index === undefined) return;
      slot.lane.record = keys.record;
      slot.lane.index = index;
      slot.keys = keys;
    } catch (error) {
      failSlot(slot, error);
    }
  }

  /** The keystream of jobs of one context that follow each other is made in one go. */
  #generate(jobs: readonly ProtectJob[], from: number, count: number): void {
    for (let first = 0; first < count; ) {
      const { keys } = this.#slots[first]!;
      let end = first + 1;
      if (keys !== undefined) {
        while (end < count && this.#slots[end]!.keys === keys) end++;
        this.#generateRun(keys, jobs, from, first, end);
      }
      first = end;
    }
  }

  #generateRun(
    keys: KernelKeys,
    jobs: readonly ProtectJob[],
    from: number,
    first: number,
    end: number,
  ): void {
    try {
      let blocks = 0;
      for (let i = first; i < end; i++) {
        const { packet } = jobs[from + i]!;
        const { lane } = this.#slots[i]!;
        lane.keystream = blocks * 16;
        const bytes = packet.bytes.length - headerLengthOf(packet);
        blocks = this.#kernel.count(keys, ssrcOfRtp(packet.bytes), lane.index, blocks, bytes);
      }
      const at = this.#kernel.generate(keys, blocks);
      for (let i = first; i < end; i++) this.#slots[i]!.lane.keystream += at;
    } catch (error) {
      for (let i = first; i < end; i++) failSlot(this.#slots[i]!, error);
    }
  }

  #seal(jobs: readonly ProtectJob[], from: number, count: number): void {
    for (let first = 0; first < count; first++) {
      const { packet } = jobs[from + first]!;
      if (isPlacedBefore(jobs, from, first)) continue;
      let placed = false;
      for (let i = first; i < count; i++) {
        const { keys, lane } = this.#slots[i]!;
        if (keys === undefined || jobs[from + i]!.packet !== packet) continue;
        if (!placed) this.#kernel.place(packet.bytes);
        placed = true;
        this.#lanes[this.#lanesUsed++] = lane;
        if (this.#lanesUsed === LANES) this.#sealLanes(packet);
      }
      if (this.#lanesUsed > 0) this.#sealLanes(packet);
    }
  }

  #sealLanes(packet: ProtectablePacket): void {
    this.#kernel.seal(headerLengthOf(packet), packet.bytes.length, this.#lanes, this.#lanesUsed);
    this.#lanesUsed = 0;
  }

  #settle<Job extends ProtectJob>(
    job: Job,
    slot: Slot,
    copied: boolean,
    emit: (job: Job, datagram: Uint8Array) => void,
    fail: (job: Job, error: unknown) => void,
  ): void {
    const { keys, lane, datagram, error, failed } = slot;
    // What came before it in this batch may have ended it.
    if (job.context.disposed)
      fail(job, new RekeycastError('SECRET_DISPOSED', 'this SRTP context has been disposed'));
    else if (failed) fail(job, error);
    else if (datagram !== undefined) emit(job, datagram);
    else if (keys !== undefined) {
      const sealed = this.#kernel.slot(lane.slot, job.packet.bytes.length + TAG_BYTES);
      emit(job, copied ? sealed.slice() : sealed);
    }
  }
}

function failSlot(slot: Slot, error: unknown): void {
  slot.keys = undefined;
  slot.failed = true;
  slot.error = error;
}

/** The contexts have refused what is no RTP packet. */
const headerLengthOf = (packet: ProtectablePacket): number => rtpHeaderLength(packet.bytes)!;

/** A batch is of a few packets for many receivers: those of the first job of each packet were sealed with it. */
function isPlacedBefore(jobs: readonly ProtectJob[], from: number, at: number): boolean {
  const { packet } = jobs[from + at]!;
  for (let i = 0; i < at; i++) if (jobs[from + i]!.packet === packet) return true;
  return false;
}
