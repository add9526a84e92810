import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FILES } from '../../src/signaling/site.ts';
import { ROOT } from '../support/process.ts';

const LIMIT_BYTES = 60_000;

const contentOf = (file: string): Buffer => readFileSync(join(ROOT, 'public', file));

describe('the whole page', () => {
  it('is not larger than 60 kB gzipped', () => {
    const sizes = FILES.map(({ file }) => [file, gzipSync(contentOf(file)).length] as const);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    expect(total, JSON.stringify(sizes)).toBeLessThanOrEqual(LIMIT_BYTES);
    expect(sizes.every(([, size]) => size > 0)).toBe(true);
  });

  it('asks nobody else for anything, and has no style that its policy forbids', () => {
    const html = contentOf('index.html').toString();
    expect(html).not.toMatch(/https?:|\/\/[a-z]|\sstyle=|<style|javascript:|\son\w+=/i);
    expect(contentOf('style.css').toString()).not.toMatch(/@import|url\(/);
    const wanted = [...html.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path]) => path);
    const served: readonly string[] = FILES.map(({ path }) => path);
    expect(wanted.filter((path) => !served.includes(path!))).toEqual([]);
    expect(wanted).toContain('/client.js');
  });

  it('has every icon that it uses', () => {
    const html = contentOf('index.html').toString();
    const script = contentOf('client.js').toString();
    const used = [...(html + script).matchAll(/["'`]#(i-[a-z-]+)["'`]/g)].map(([, id]) => id!);
    expect(used.length).toBeGreaterThan(10);
    expect(used.filter((id) => !html.includes(`<symbol id="${id}"`))).toEqual([]);
  });

  it('looks at the browser in a language that every browser reads', () => {
    const script = contentOf('check.js')
      .toString()
      .replaceAll(/\/\*[\s\S]*?\*\//g, '');
    expect(script).toMatch(/RTCPeerConnection/);
    expect(script).not.toMatch(
      /\b(const|let|class|async|await|of|import|export)\b|=>|`|\?\.|\?\?|\.\.\.|\*\*/,
    );
  });
});
