import { describe, expect, it } from 'vitest';
import { createCertificate, isOutdated } from '../../../src/server/certificate.ts';
import { CertificateKeeper, describeCertificate } from '../../../src/server/certificate-keeper.ts';
import type { CertificateRecord } from '../../../src/snapshot/schema.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const DAY = 86_400_000;
const MADE = Date.UTC(2026, 0, 1);

const make = (seed: number, now = MADE): Promise<CertificateRecord> =>
  createCertificate(seededRandom(seed), now);

describe('a certificate', () => {
  it('has to be replaced at its greatest age, and not before', async () => {
    const record = await make(1);
    expect(isOutdated(record, 90 * DAY, MADE + 90 * DAY - 1)).toBe(false);
    expect(isOutdated(record, 90 * DAY, MADE + 90 * DAY)).toBe(true);
    expect(isOutdated(record, 90 * DAY, MADE - DAY)).toBe(false);
  });

  it('has to be replaced at its own end, whatever age it may get', async () => {
    const record = await make(1);
    const end = Date.UTC(2036, 0, 1);
    expect(isOutdated(record, 20 * 366 * DAY, end - 1)).toBe(false);
    expect(isOutdated(record, 20 * 366 * DAY, end)).toBe(true);
  });

  it('is described by what every visitor sees', async () => {
    const { sha256, createdAt } = describeCertificate(await make(1));
    expect([sha256, createdAt]).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      '2026-01-01T00:00:00.000Z',
    ]);
  });
});

describe('the keeper of the certificate', () => {
  it('replaces it by age, once', async () => {
    let current = await make(1);
    let now = MADE + DAY;
    const keeper = new CertificateKeeper({
      current: () => current,
      replace: async (certificate) => {
        current = certificate;
      },
      create: (at) => make(2, at),
      now: () => now,
    });
    const first = current;
    await keeper.check(90 * DAY);
    expect(current).toBe(first);
    now = MADE + 90 * DAY;
    await keeper.check(90 * DAY);
    expect(current.createdAt).toBe(now);
    const second = current;
    await keeper.check(90 * DAY);
    expect(current).toBe(second);
  });

  it('takes several orders at a time for one', async () => {
    const replaced: CertificateRecord[] = [];
    const current = await make(1);
    const keeper = new CertificateKeeper({
      current: () => current,
      replace: async (certificate) => {
        replaced.push(certificate);
      },
      create: (at) => make(2, at),
    });
    const [one, other] = await Promise.all([keeper.replace(), keeper.replace()]);
    expect(one).toBe(other);
    expect(replaced).toEqual([one]);
    await keeper.replace();
    expect(replaced).toHaveLength(2);
  });

  it('where it cannot be put in place wipes the new one, says so, and tries again the next time', async () => {
    const made: CertificateRecord[] = [];
    const current = await make(1);
    let full = true;
    const keeper = new CertificateKeeper({
      current: () => current,
      replace: async () => {
        if (full) throw new Error('the disk is full');
      },
      create: async (at) => {
        made.push(await make(made.length + 2, at));
        return made.at(-1)!;
      },
    });
    await expect(keeper.check(0)).rejects.toThrow('the disk is full');
    expect(made[0]!.privateKey.disposed).toBe(true);
    expect(current.privateKey.disposed).toBe(false);
    full = false;
    await keeper.check(0);
    expect(made[1]!.privateKey.disposed).toBe(false);
  });

  it('does not wipe the one that is in use already when the rest of it fails', async () => {
    let current = await make(1);
    const next = await make(2);
    const keeper = new CertificateKeeper({
      current: () => current,
      replace: async (certificate) => {
        current = certificate;
        throw new Error('the disk of a worker is full');
      },
      create: async () => next,
    });
    await expect(keeper.replace()).rejects.toThrow('the disk of a worker is full');
    expect(next.privateKey.disposed).toBe(false);
  });
});
