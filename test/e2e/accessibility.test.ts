import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import { expect, it } from 'vitest';
import { sharedBrowser } from '../support/fixture.ts';
import { ROOT } from '../support/process.ts';
import { everyState } from '../support/states.ts';
import type { TestPage } from '../support/test-page.ts';

declare global {
  interface Window {
    axe: { run(): Promise<AxeResults> };
  }
}

const AXE = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');
const SIZES = [
  { name: 'phone', width: 360, height: 740 },
  { name: 'desktop', width: 1280, height: 800 },
];
const SCHEMES = ['light', 'dark'] as const;

const browser = sharedBrowser();

it('every state of the page, light and dark, on a phone and on a desktop, has nothing that axe finds fault with', {
  timeout: 300_000,
}, async () => {
  const seen: string[] = [];
  const faults: string[] = [];
  await everyState(browser(), browser(), async (state, page) => {
    for (const { name, width, height } of SIZES) {
      for (const scheme of SCHEMES) {
        await page.driver.resize(width, height);
        await page.driver.scheme(scheme);
        seen.push(`${state} ${name} ${scheme}`);
        for (const fault of await faultsOf(page)) faults.push(`${state} ${name} ${scheme}: ${fault}`);
      }
    }
  });
  expect(faults).toEqual([]);
  expect(new Set(seen).size).toBe(11 * SIZES.length * SCHEMES.length);
});

/** Injected by the driver: the page's own policy lets no other script in. */
async function faultsOf(page: TestPage): Promise<readonly string[]> {
  await page.driver.inject(AXE);
  const { violations, passes } = await page.driver.evaluate(() => window.axe.run(), undefined);
  expect(passes).not.toEqual([]);
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html }) => `${id}: ${help}: ${html.slice(0, 200)}`),
  );
}
