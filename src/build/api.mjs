/**
 * The public API as declarations: `node src/build/api.mjs [--check]`.
 *
 * tsc emits a declaration file for each source file; of these, what an entry point exports and what that needs is put together into one file
 * under `api/`. It is checked in, so that a change of the API is seen in review, and it is what the package ships: no declaration in it names a
 * file or a library that the package does not have.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SyntaxKind } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HEAD = '// Written by `npm run api:update`. It is what `import` finds.\n';

/** Each entry point, with the project that it is compiled in. */
export const ENTRIES = [
  { report: 'api/rekeycast.d.ts', source: 'index.ts', project: 'tsconfig.json' },
  { report: 'api/client.d.ts', source: 'client/index.ts', project: 'src/client' },
];

/** The report of one entry point as the sources (below `root`) are now. Throws where a declaration needs what cannot be shipped. */
export function writeReport({ source, project, root = join(ROOT, 'src') }) {
  const directory = mkdtempSync(join(tmpdir(), 'rekeycast-api-'));
  try {
    emit(directory, resolve(ROOT, project), root);
    return rollUp(join(directory, source.replace(/\.ts$/, '.d.ts')), directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function emit(directory, project, root) {
  // Types are checked elsewhere: what somebody is just changing does not keep this from what is already right.
  const flags = [
    '--noEmit',
    'false',
    '--noCheck',
    '--declaration',
    '--emitDeclarationOnly',
    '--stripInternal',
  ];
  const places = ['--rootDir', root, '--outDir', directory];
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  execFileSync(process.execPath, [tsc, '-p', project, ...flags, ...places], { stdio: 'inherit' });
}

function rollUp(entry, directory) {
  const config = join(directory, 'tsconfig.json');
  const compilerOptions = { module: 'nodenext', allowImportingTsExtensions: true, noEmit: true, types: [] };
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [entry] }));
  const api = new API({ cwd: directory });
  try {
    const [project] = api.updateSnapshot({ openProjects: [config] }).getProjects();
    return new RollUp((path) => project.program.getSourceFile(path), directory).of(entry);
  } finally {
    api.close();
  }
}

class RollUp {
  #sourceOf;
  #directory;
  #modules = new Map();
  /** Name to the text of its declaration and where that comes from. */
  #taken = new Map();
  /** Import statements for what is not ours: module to names. */
  #foreign = new Map();

  constructor(sourceOf, directory) {
    this.#sourceOf = sourceOf;
    this.#directory = directory;
  }

  of(entry) {
    const exported = this.#module(entry).exports;
    for (const { name, path } of exported.values()) this.#take(name, path);
    const imports = [...this.#foreign].map(
      ([specifier, names]) => `import type { ${[...names].sort().join(', ')} } from '${specifier}';\n`,
    );
    const names = [...this.#taken.keys()].sort(byName);
    const declarations = names.map((name) => this.#taken.get(name).text);
    const list = [...exported.keys()].sort(byName).map((name) => `  ${name},\n`);
    return `${HEAD}${imports.sort().join('')}\n${declarations.join('\n\n')}\n\nexport {\n${list.join('')}};\n`;
  }

  #take(name, path) {
    const module = this.#module(path);
    const origin = module.imports.get(name) ?? module.exports.get(name);
    const declarations = module.declarations.get(name);
    if (declarations === undefined) {
      // Neither ours nor imported: a global, a type parameter or a property.
      if (origin === undefined) return;
      if (origin.foreign !== undefined) this.#import(origin.foreign, name, path);
      else this.#take(this.#renamed(origin.name, name, path), origin.path);
      return;
    }
    const known = this.#taken.get(name);
    if (known?.path === path) return;
    if (known !== undefined)
      throw new Error(`${name} is declared twice: ${this.#show(known.path)}, ${this.#show(path)}`);
    this.#taken.set(name, { path, text: declarations.map((node) => textOf(node, module.text)).join('\n') });
    for (const node of declarations) for (const used of identifiersOf(node)) this.#take(used, path);
  }

  #import(specifier, name, path) {
    if (!specifier.startsWith('node:'))
      throw new Error(`${this.#show(path)} shows ${name} of ${specifier}, which the package does not bring`);
    this.#foreign.set(specifier, (this.#foreign.get(specifier) ?? new Set()).add(name));
  }

  #renamed(original, name, path) {
    if (original === name) return name;
    throw new Error(`${this.#show(path)} has ${original} under another name, ${name}`);
  }

  #show(path) {
    return relative(this.#directory, path);
  }

  #module(path) {
    const known = this.#modules.get(path);
    if (known !== undefined) return known;
    const source = this.#sourceOf(path);
    const module = { text: source.text, declarations: new Map(), imports: new Map(), exports: new Map() };
    this.#modules.set(path, module);
    for (const statement of source.statements) readStatement(statement, path, module);
    return module;
  }
}

function readStatement(statement, path, module) {
  const specifier = statement.moduleSpecifier?.text;
  const from = specifier?.startsWith('.')
    ? { path: resolve(dirname(path), specifier.replace(/\.ts$/, '.d.ts')) }
    : { foreign: specifier };
  switch (statement.kind) {
    case SyntaxKind.ImportDeclaration:
      for (const { name, propertyName } of importedBy(statement.importClause))
        module.imports.set(name.text, { name: propertyName?.text ?? name.text, ...from });
      break;
    case SyntaxKind.ExportDeclaration:
      for (const { name, propertyName } of statement.exportClause?.elements ?? [])
        module.exports.set(name.text, {
          name: propertyName?.text ?? name.text,
          ...(specifier === undefined ? { path } : from),
        });
      break;
    default:
      for (const { text } of namesOf(statement))
        module.declarations.set(text, [...(module.declarations.get(text) ?? []), statement]);
  }
}

/** A namespace and a default too: they are found where they are used, and refused. */
const importedBy = ({ name, namedBindings } = {}) => [
  ...(name === undefined ? [] : [{ name }]),
  ...(namedBindings?.name === undefined ? [] : [{ name: namedBindings.name }]),
  ...(namedBindings?.elements ?? []),
];

const namesOf = (statement) =>
  statement.kind === SyntaxKind.VariableStatement
    ? statement.declarationList.declarations.map(({ name }) => name)
    : statement.name === undefined
      ? []
      : [statement.name];

/** The declaration with its docstring, as one that is exported by the list at the end. */
function textOf(node, text) {
  const whole = text.slice(node.pos, node.end).trim();
  const head = whole.slice(0, whole.length - text.slice(node.getStart(), node.end).length);
  const body = text.slice(node.getStart(), node.end).replace(/^export /, '');
  return head + (/^(interface|type|declare) /.test(body) ? body : `declare ${body}`);
}

/** Names that a declaration refers to, and not those that it gives to members and parameters. */
function identifiersOf(node) {
  const found = new Set();
  const visit = (parent) => {
    parent.forEachChild((child) => {
      if (child.kind !== SyntaxKind.Identifier) visit(child);
      else if (child !== parent.name && child !== parent.right) found.add(child.text);
    });
  };
  visit(node);
  return found;
}

const byName = (a, b) => (a < b ? -1 : Number(a > b));

function main(argv) {
  for (const entry of ENTRIES) {
    const path = join(ROOT, entry.report);
    const text = writeReport(entry);
    if (!argv.includes('--check')) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } else if (readFileSync(path, 'utf8') !== text) {
      process.stderr.write(
        `${entry.report} is not what the sources say: the API has changed. Run npm run api:update, and see in its diff whether that is meant\n`,
      );
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
