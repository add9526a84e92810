import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './process.ts';

interface Entry {
  readonly report?: string;
  /** Below `root`. */
  readonly source: string;
  readonly project: string;
  readonly root?: string;
}

interface ApiTool {
  readonly ENTRIES: readonly Required<Pick<Entry, 'report' | 'source' | 'project'>>[];
  writeReport(entry: Entry): string;
}

/** What `npm run api:update` runs. */
export const apiTool = async (): Promise<ApiTool> =>
  (await import(pathToFileURL(join(ROOT, 'src/build/api.mjs')).href)) as ApiTool;

interface Declared {
  readonly name: string;
  /** There is something to import at run time. */
  readonly isValue: boolean;
  readonly documented: boolean;
}

/** What a report exports. */
export function exportsOf(report: string): readonly Declared[] {
  const list = /^export \{\n(.*?)^\};/ms.exec(report)?.[1] ?? '';
  return list
    .split('\n')
    .map((line) => line.replace(/,$/, '').trim())
    .filter((name) => name !== '')
    .map((name) => {
      const start = new RegExp(`^(?:declare )?(?:class|interface|type|const|function) ${name}\\b`, 'm').exec(
        report,
      );
      if (start === null) throw new Error(`${name} is exported and not declared`);
      const isValue = start[0].startsWith('declare ');
      return { name, isValue, documented: report.slice(0, start.index).endsWith('*/\n') };
    });
}

export const readReport = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
