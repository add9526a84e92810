/** The licenses of what was bundled: its packages are not installed beside ours, and their licenses have to come with the code. */
import { readdirSync, readFileSync } from 'node:fs';

const PACKAGE = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/;
const LICENSE_FILE = /^(licen[cs]e|copying|notice)/i;

/** One text for all packages that esbuild's metafiles name. Throws where one has no license that we know. */
export function licensesOf(metafiles) {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const directories = new Set(inputs.map((path) => PACKAGE.exec(path)?.[0]).filter(Boolean));
  return [...directories]
    .sort()
    .map(describe)
    .join(`\n${'-'.repeat(80)}\n\n`);
}

function describe(directory) {
  const { name, version, license } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
  const files = readdirSync(directory).filter((file) => LICENSE_FILE.test(file));
  if (files.length === 0 && license === undefined)
    throw new Error(`${directory} says nothing about its license: it cannot be bundled`);
  const texts = files.map((file) => readFileSync(`${directory}/${file}`, 'utf8').trim());
  return `${[`${name} ${version} (${license})`, ...texts].join('\n\n')}\n`;
}
