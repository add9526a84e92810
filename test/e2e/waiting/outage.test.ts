import { describeOutages } from '../../support/outages.ts';

describeOutages([60_000]);
