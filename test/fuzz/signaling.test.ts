import { itHolds } from './bounded.ts';
import { SIGNALING_TARGETS } from './targets.ts';

itHolds(SIGNALING_TARGETS);
