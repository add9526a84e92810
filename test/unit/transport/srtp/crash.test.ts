import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SrtpMasterKey } from '../../../../src/transport/srtp/profile.ts';
import { SrtpReceiveContext } from '../../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import type {
  SrtpPersistence,
  SrtpReceiveState,
  SrtpSendState,
} from '../../../../src/transport/srtp/state.ts';
import { copyOf, rtcpPacket, rtpPacket, testMasterKey } from '../../../support/srtp.ts';

fc.configureGlobal({ seed: 3711 });

const profile = 'AEAD_AES_128_GCM';

/** How far a snapshot gets before something else happens. */
type Snapshot = 'captured' | 'written' | 'granted';
type Step = { kind: 'packets'; count: number } | { kind: 'snapshot'; upTo: Snapshot } | { kind: 'crash' };

const packets = fc.record({ kind: fc.constant('packets' as const), count: fc.integer({ min: 1, max: 20 }) });
const snapshot = fc.record({
  kind: fc.constant('snapshot' as const),
  upTo: fc.constantFrom<Snapshot>('captured', 'written', 'granted'),
});
const crash = fc.constant({ kind: 'crash' as const });
const steps = fc.array(
  fc.oneof({ weight: 3, arbitrary: packets }, { weight: 3, arbitrary: snapshot }, crash),
  { maxLength: 30 },
);
/** Whether the write that a context asks for succeeds. */
const writable = fc.boolean();

/** A file that can be read once. */
class OnceFile<State> {
  #content: State | undefined;

  write(state: State): void {
    this.#content = state;
  }

  take(): State | undefined {
    const content = this.#content;
    this.#content = undefined;
    return content;
  }
}

describe('any series of crashes', () => {
  it('never makes a send context use an SRTCP index twice', () => {
    fc.assert(
      fc.property(steps, writable, (run: readonly Step[], canWrite) => {
        const used = new Set<number>();
        live<SrtpSendContext, SrtpSendState>(run, canWrite, {
          create: (persistence) => SrtpSendContext.create(profile, testMasterKey(profile), persistence),
          restore: (state, persistence) => SrtpSendContext.restore(state, persistence),
          capture: (context) => context.capture(4),
          packets: (context, count) => {
            for (let i = 0; i < count; i++) {
              const datagram = context.protectRtcp(rtcpPacket());
              if (datagram === undefined) continue;
              const index = Buffer.from(datagram).readUInt32BE(datagram.length - 4);
              expect(used.has(index)).toBe(false);
              used.add(index);
            }
          },
        });
      }),
      { numRuns: 300 },
    );
  });

  it('never makes a receive context accept a packet twice, and every recorded packet is tried again', () => {
    fc.assert(
      fc.property(steps, writable, fc.boolean(), (run: readonly Step[], canWrite, manyStreams) => {
        const peer = SrtpSendContext.create(profile, testMasterKey(profile));
        const recorded: Uint8Array[] = [];
        const accepted = new Set<Uint8Array>();
        const isRtcp = (datagram: Uint8Array) => datagram[1] === 0xc9;
        const deliver = (context: SrtpReceiveContext, datagrams: readonly Uint8Array[]) => {
          for (const datagram of datagrams) {
            const packet = isRtcp(datagram)
              ? context.unprotectRtcp(datagram)
              : context.unprotectRtp(datagram);
            if (packet === undefined) continue;
            expect(accepted.has(datagram)).toBe(false);
            accepted.add(datagram);
          }
        };
        let next = 65530;
        live<SrtpReceiveContext, SrtpReceiveState>(run, canWrite, {
          create: (persistence) => SrtpReceiveContext.create(profile, testMasterKey(profile), persistence),
          restore: (state, persistence) => SrtpReceiveContext.restore(state, persistence),
          capture: (context) => context.capture(),
          packets: (context, count) => {
            for (let i = 0; i < count; i++, next++) {
              const ssrc = manyStreams ? 1 + (next % 3) : 1;
              recorded.push(
                peer.protectRtp(rtpPacket(next, ssrc), next)!,
                peer.protectRtcp(rtcpPacket(ssrc))!,
              );
              deliver(context, recorded.slice(-2));
            }
          },
          restored: (context) => deliver(context, recorded),
        });
      }),
      { numRuns: 300 },
    );
  });
});

interface Life<Context, State> {
  readonly create: (persistence: SrtpPersistence) => Context;
  readonly restore: (state: State, persistence: SrtpPersistence) => Context;
  readonly capture: (context: Context) => State;
  readonly packets: (context: Context, count: number) => void;
  readonly restored?: (context: Context) => void;
}

/** Takes a context through the steps, until it crashes and there is no file. */
function live<Context extends { granted(state: State): void }, State extends { master: SrtpMasterKey }>(
  run: readonly Step[],
  canWrite: boolean,
  life: Life<Context, State>,
): void {
  const file = new OnceFile<State>();
  const save = (state: State) => file.write(copyOf(state));
  const captures = new Captures<State>(() => life.capture(context));
  const reserve = () => {
    if (!canWrite) return;
    const state = captures.take();
    save(state);
    context.granted(state);
  };
  const persistence = { reserve, changed: captures.changed };
  let context = life.create(persistence);
  for (const step of run) {
    if (step.kind === 'packets') life.packets(context, step.count);
    else if (step.kind === 'snapshot') {
      const state = captures.take();
      if (step.upTo !== 'captured') save(state);
      if (step.upTo === 'granted') context.granted(state);
    } else {
      const state = file.take();
      if (state === undefined) return;
      context = life.restore(state, persistence);
      captures.changed();
      life.restored?.(context);
    }
  }
}

/** Captures as a server does: of what has not changed it takes the capture of before, which has to be what it would have got. */
class Captures<State> {
  readonly #capture: () => State;
  #last: State | undefined;
  #hasChanged = true;

  constructor(capture: () => State) {
    this.#capture = capture;
  }

  readonly changed = (): void => {
    this.#hasChanged = true;
  };

  take(): State {
    const before = this.#last;
    this.#last = this.#capture();
    if (!this.#hasChanged) expect(this.#last).toBe(before);
    this.#hasChanged = false;
    return this.#last;
  }
}
