import { itHolds } from './bounded.ts';
import { OPERATOR_TARGETS } from './targets.ts';

itHolds(OPERATOR_TARGETS);
