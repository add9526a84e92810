import { describe, expect, it } from 'vitest';
import { RekeycastError } from '../../../src/errors.ts';
import { whenLetGo } from '../../../src/server/waiting.ts';

/** Has the port after so many tries. */
function portFreeAfter(tries: number): { readonly bind: () => Promise<string>; tried(): number } {
  let tried = 0;
  const bind = async (): Promise<string> => {
    if (++tried <= tries) throw new RekeycastError('PORT_IN_USE', 'taken');
    return 'bound';
  };
  return { bind, tried: () => tried };
}

describe('whoever takes over from another process', () => {
  it('waits a moment for ports that it has still', async () => {
    const { bind, tried } = portFreeAfter(2);
    expect(await whenLetGo(bind)).toBe('bound');
    expect(tried()).toBe(3);
  });

  it('is told where they stay in use', async () => {
    const { bind, tried } = portFreeAfter(Number.POSITIVE_INFINITY);
    await expect(whenLetGo(bind)).rejects.toThrow('taken');
    expect(tried()).toBe(10);
  });

  it('is told at once what time does not mend', async () => {
    let tried = 0;
    const bind = async (): Promise<never> => {
      tried++;
      throw new RekeycastError('ADDRESS_UNAVAILABLE', 'not here');
    };
    await expect(whenLetGo(bind)).rejects.toThrow('not here');
    expect(tried).toBe(1);
  });
});
