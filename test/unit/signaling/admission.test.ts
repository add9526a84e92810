import { describe, expect, it } from 'vitest';
import { Access, type AccessOptions } from '../../../src/signaling/admission.ts';
import { Secret } from '../../../src/util/secret.ts';

const PUBLISH = 'publish-publish-publish';
const VIEW = 'view-view-view-view';
const secret = (text: string): Secret => Secret.copy(Buffer.from(text));

async function judge(options: AccessOptions, token: string | undefined): Promise<string> {
  const verdict = await new Access(options).judge(token);
  return 'admits' in verdict ? verdict.admits.right : verdict.refuses;
}

describe('who may come in', () => {
  it.each([
    ['nothing', {}, { none: 'publish', view: 'publish', publish: 'publish', wrong: 'publish' }],
    [
      'a token to publish',
      { publishToken: secret(PUBLISH) },
      { none: 'view', view: 'wrong', publish: 'publish', wrong: 'wrong' },
    ],
    [
      'a token to view',
      { viewToken: secret(VIEW) },
      { none: 'missing', view: 'publish', publish: 'wrong', wrong: 'wrong' },
    ],
    [
      'both',
      { publishToken: secret(PUBLISH), viewToken: secret(VIEW) },
      { none: 'missing', view: 'view', publish: 'publish', wrong: 'wrong' },
    ],
    [
      'one for both',
      { publishToken: secret(VIEW), viewToken: secret(VIEW) },
      { none: 'missing', view: 'publish', publish: 'wrong', wrong: 'wrong' },
    ],
  ] as const)('where %s is set', async (_name, options, expected) => {
    expect({
      none: await judge(options, undefined),
      view: await judge(options, VIEW),
      publish: await judge(options, PUBLISH),
      wrong: await judge(options, 'something else that is long'),
    }).toEqual(expected);
  });

  it.each([
    ['', 'empty'],
    [VIEW.slice(0, -1), 'shorter'],
    [`${VIEW} `, 'longer'],
    [VIEW.toUpperCase(), 'in capitals'],
    ['v'.repeat(9_000), 'too long'],
    ['a.b.c', 'like a signed one'],
    ['\u0000', 'of other characters'],
  ])('is nobody with a token that is nearly right: %j (%s)', async (token) => {
    expect(await judge({ viewToken: secret(VIEW) }, token)).toBe('wrong');
  });
});
