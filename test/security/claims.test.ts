import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const ROOT = new URL('../..', import.meta.url);
const SUITES = ['test/security', 'test/fuzz'];
/** The literal id at the head of a title, or in a row of a table of cases. */
const ID = /(?:\bit\(\s*['"`]|\]\)\(\s*['"`]|\bid: ['"])([a-z]+(?:-[a-z0-9]+)+)\b(?=: |['"])/g;

interface Claims {
  /** Section by section, what the document says. */
  readonly sections: ReadonlyMap<string, string>;
  readonly text: string;
}

function claims(): Claims {
  const text = readFileSync(new URL('SECURITY.md', ROOT), 'utf8');
  const sections = new Map<string, string>();
  for (const section of text.split(/^## /m).slice(1)) {
    const end = section.indexOf('\n');
    sections.set(section.slice(0, end), section.slice(end + 1));
  }
  return { sections, text };
}

/** Ids of all tests that could be named, as often as they are written down. */
function testIds(): readonly string[] {
  return SUITES.flatMap((suite) =>
    readdirSync(new URL(suite, ROOT), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const source = readFileSync(new URL(`${suite}/${name}`, ROOT), 'utf8');
        return [...source.matchAll(ID)].map(([, id]) => id!);
      }),
  );
}

/** Ids that the document names: code spans that begin like the id of a test. */
function namedIds(text: string): readonly string[] {
  const families = new Set(testIds().map((id) => id.split('-')[0]));
  return [...text.matchAll(/`([a-z]+(?:-[a-z0-9]+)+)`/g)]
    .map(([, id]) => id!)
    .filter((id) => families.has(id.split('-')[0]));
}

/** The rows of a table without its head, and the points of a list. */
const statements = (section: string): readonly string[] => {
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  const points = section.split(/^- /m).slice(1);
  return [...rows.slice(2), ...points];
};

it('claims-shown: every test that SECURITY.md names is there', () => {
  const ids = testIds();
  expect(namedIds(claims().text).filter((id) => !ids.includes(id))).toEqual([]);
});

it('claims-named: every security test is named in SECURITY.md, under an id of its own', () => {
  const ids = testIds();
  expect(ids.length).toBeGreaterThan(50);
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  const named = namedIds(claims().text);
  expect(ids.filter((id) => !named.includes(id))).toEqual([]);
});

it('claims-attacked: every cell of the table and every promise names the test that attacks it', () => {
  const { sections } = claims();
  const [table] = sections
    .get('What each theft yields')!
    .split('\n\n')
    .filter((part) => part.startsWith('|'));
  const cells = table!
    .trim()
    .split('\n')
    .slice(2)
    .flatMap((row) => row.split('|').slice(2, -1));
  expect(cells.length).toBeGreaterThanOrEqual(20);
  expect(cells.filter((cell) => namedIds(cell).length === 0)).toEqual([]);

  const promises = statements(sections.get('What is promised')!);
  expect(promises.length).toBeGreaterThan(10);
  expect(promises.filter((promise) => namedIds(promise).length === 0)).toEqual([]);
});
