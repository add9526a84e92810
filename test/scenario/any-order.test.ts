import { expect, it, onTestFinished } from 'vitest';
import { walkInAnyOrder } from '../support/any-order.ts';
import { onAir } from '../support/on-air.ts';

it.each(Array.from({ length: 12 }, (_, seed) => seed + 1))(
  'pages that are loaded again, lose their link and report what they like, and a server that is killed, in any order: all come back, and no nonce is used twice (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const { world, browsers } = await onAir();
    onTestFinished(() => world.dispose());
    await walkInAnyOrder({ world, browsers, seed, idle: 2 });
    expect(browsers.map(({ role, errors }) => [role, errors])).toEqual([
      ['broadcaster', []],
      ['viewer', []],
      ['viewer', []],
    ]);
    expect(world.audit().reused).toEqual([]);
  },
);
