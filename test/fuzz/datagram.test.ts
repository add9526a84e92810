import { itHolds } from './bounded.ts';
import { DATAGRAM_TARGETS } from './targets.ts';

itHolds(DATAGRAM_TARGETS);
