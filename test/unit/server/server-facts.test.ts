import { beforeAll, describe, expect, it } from 'vitest';
import { Keyring } from '../../../src/keyring/keyring.ts';
import { keyFacts } from '../../../src/server/server-facts.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();

beforeAll(async () => {
  await loadSodium();
});

describe('what the server says of its snapshot key', () => {
  it('counts a former key until another process has destroyed it, and no longer', async () => {
    const ours = await Keyring.open({ directory: root.path });
    const operators = await Keyring.open({ directory: root.path });
    const former = ours.primary().id;
    const next = await operators.add();
    await operators.promote(next);
    await ours.reload();
    expect(keyFacts(ours, false)).toMatchObject({ id: next, former: 1 });
    await operators.disable(former);
    expect(keyFacts(ours, false)).toMatchObject({ id: next, former: 1 });
    await operators.destroy(former);
    expect(keyFacts(ours, false)).toMatchObject({ id: next, former: 0 });
  });
});
