import type { WallMillis } from '../util/clock.ts';
import { type RandomSource, randomUint32 } from '../util/rng.ts';
import { initialSequence } from './consumer.ts';
import type { MediaKind } from './media.ts';
import type { RoomStreamState } from './state.ts';

/**
 * A stream's random identity and beginning (RFC 3550 §5.1). Indices start one cycle up, so that what is older than the first
 * packet still has a number, and in the lower half of it: see `initialSequence`.
 */
export function newStream(kind: MediaKind, rng: RandomSource, wall: WallMillis): RoomStreamState {
  return {
    kind,
    ssrc: randomSsrc(rng),
    rtxSsrc: kind === 'video' ? randomSsrc(rng) : 0,
    limit: 2 ** 16 + initialSequence(rng),
    timestamp: randomUint32(rng),
    timestampAt: wall,
    source: undefined,
  };
}

/** Not zero, which stands for "none". */
const randomSsrc = (rng: RandomSource): number => Math.max(1, randomUint32(rng));
