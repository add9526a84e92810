import { beforeEach, describe, expect, it } from 'vitest';
import { ResumeTokens } from '../../../src/session/tokens.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

let tokens: ResumeTokens;
beforeEach(() => {
  tokens = create();
});

function create(seed = 1): ResumeTokens {
  return new ResumeTokens(Secret.random(32, seededRandom(seed)), seededRandom(seed + 1));
}

/** Another process that reads what this one has written. */
function restart(...sessions: string[]): ResumeTokens {
  const restarted = create();
  for (const session of sessions) restarted.restore(session, tokens.capture(session)!);
  return restarted;
}

describe('ResumeTokens', () => {
  it('issues 256 random bits that resume their session', () => {
    const [a, b] = [tokens.issue('a'), tokens.issue('b')];
    expect(a).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(a).not.toBe(b);
    expect(tokens.redeem(a)).toBe('a');
    expect(tokens.redeem(b)).toBe('b');
  });

  it.each([
    ['unknown', (token: string) => token.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))],
    ['cut', (token: string) => token.slice(0, -1)],
    ['longer', (token: string) => `${token}A`],
    ['padded', (token: string) => `${token}=`],
    ['of another alphabet', (token: string) => `${token.slice(0, -1)}+`],
    ['not canonical', (token: string) => token.slice(0, -1) + (token.endsWith('B') ? 'C' : 'B')],
    ['empty', () => ''],
  ])('resumes nothing from a token that is %s', (_what, change) => {
    const token = tokens.issue('a');
    expect(tokens.redeem(change(token))).toBeUndefined();
    expect(tokens.redeem(token)).toBe('a');
  });

  it('keeps both good until the page confirms the next, then voids the one before', () => {
    const first = tokens.issue('a');
    const second = tokens.issue('a');
    expect(tokens.redeem(first)).toBe('a');
    tokens.confirm('a');
    expect(tokens.redeem(first)).toBeUndefined();
    expect(tokens.redeem(second)).toBe('a');
  });

  it('takes the use of the next one for its confirmation', () => {
    const first = tokens.issue('a');
    const second = tokens.issue('a');
    expect(tokens.redeem(second)).toBe('a');
    expect(tokens.redeem(first)).toBeUndefined();
  });

  it('voids one that was handed out and never confirmed when another is', () => {
    const first = tokens.issue('a');
    const lost = tokens.issue('a');
    const third = tokens.issue('a');
    expect(tokens.redeem(lost)).toBeUndefined();
    expect(tokens.redeem(first)).toBe('a');
    expect(tokens.redeem(third)).toBe('a');
  });

  it('does nothing at a confirmation out of place', () => {
    const token = tokens.issue('a');
    tokens.confirm('a');
    tokens.confirm('nobody');
    expect(tokens.redeem(token)).toBe('a');
    expect(tokens.capture('nobody')).toBeUndefined();
  });

  it('forgets a session with all its tokens, and only it', () => {
    const [first, next] = [tokens.issue('a'), tokens.issue('a')];
    const other = tokens.issue('b');
    tokens.remove('a');
    tokens.remove('a');
    for (const token of [first, next]) expect(tokens.redeem(token)).toBeUndefined();
    expect(tokens.capture('a')).toBeUndefined();
    expect(tokens.redeem(other)).toBe('b');
  });

  it('captures hashes and no token', () => {
    const [first, next] = [tokens.issue('a'), tokens.issue('a')];
    const hashes = tokens.capture('a')!;
    expect(hashes.current.length).toBe(32);
    expect(hashes.next?.length).toBe(32);
    for (const token of [first, next]) {
      const raw = Buffer.from(token, 'base64url').toString('hex');
      for (const hash of [hashes.current, hashes.next!]) expect(toHex(hash)).not.toBe(raw);
    }
  });

  it('goes on after a restart: current and next are good, what was void stays void', () => {
    const voided = tokens.issue('a');
    const current = tokens.issue('a');
    tokens.confirm('a');
    const next = tokens.issue('a');
    const [one, other] = [restart('a'), restart('a')];
    expect(one.redeem(voided)).toBeUndefined();
    expect(one.redeem(current)).toBe('a');
    expect(other.redeem(next)).toBe('a');
    expect(other.redeem(current)).toBeUndefined();
  });

  it('is of no use under another key', () => {
    const token = tokens.issue('a');
    const other = create(7);
    other.restore('a', tokens.capture('a')!);
    expect(other.redeem(token)).toBeUndefined();
  });
});
