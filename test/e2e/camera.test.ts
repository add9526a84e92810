import { describe, expect, it } from 'vitest';
import { ChromiumBrowser } from '../support/chromium.ts';
import { prepareBroadcast, sharedBrowser } from '../support/fixture.ts';
import { expectMedia } from '../support/survival.ts';

const browser = sharedBrowser();

describe('a visitor who does not allow the camera', { timeout: 300_000 }, () => {
  it('is told so in words, becomes a viewer and sees whoever broadcasts', async () => {
    const denying = await ChromiumBrowser.launch({ camera: 'denied' });
    try {
      const running = await prepareBroadcast({ browser: browser() });
      const shy = await running.open('shy visitor', denying);
      const facts = await shy.waitForFacts(
        'has become a viewer',
        ({ role, error }) => role === 'viewer' && error !== '',
      );
      expect(facts.text).toMatch(/camera/i);
      await running.openBroadcaster();
      await expectMedia(shy, Date.now());
      expect(running.server.run.exit).toBeUndefined();
    } finally {
      await denying.close();
    }
  });
});
