import { parseArgs } from 'node:util';
import { messageOf } from '../errors.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { loadSodium } from '../util/sodium.ts';
import { failed } from './call.ts';
import { COMMANDS, type KeysCommand } from './keys-commands.ts';
import { type CliIo, type Environment, openWorkplace } from './workplace.ts';

const EXIT_CODES = `Exit codes: 0 done, 1 failed (with words; what was there still is), 2 called wrongly, 3 done or looked at, and something is
left to do (it says what).
`;

const HELP = `rekeycast keys - the keys that snapshots are sealed to

Usage:

${Object.entries(COMMANDS)
  .map(([name, { argument, summary }]) => `  ${usageOf(name, argument).padEnd(42)}  ${summary}`)
  .join('\n')}

All of them work with the server running and with it stopped. Cut off at any point, run the command again: it goes on where it was.
rekeycast keys <command> --help says more about one of them.

Settings: KEYS_DIR (keys) or where else the keys are (SNAPSHOT_KEY_FILE, SNAPSHOT_KEY_COMMAND), STATE_DIR (state), RUNTIME_DIR; the same as the server's. Key events go to STATE_DIR/audit.log.

${EXIT_CODES}`;

/** The `keys` command. Gives the exit code. */
export async function runKeys(
  argv: readonly string[],
  env: Environment,
  io: CliIo,
  fs: FileSystem = nodeFileSystem,
): Promise<number> {
  const parsed = parse(argv);
  if (typeof parsed === 'string') {
    io.stderr.write(`rekeycast keys: ${parsed}\n\n${HELP}`);
    return 2;
  }
  if (parsed.help !== undefined) {
    io.stdout.write(parsed.help);
    return 0;
  }
  try {
    await loadSodium();
    const workplace = () => openWorkplace('keys', env, io, fs);
    const { command, argument } = parsed;
    const { json, text, attention = false } = await command.run(workplace, argument, env, fs);
    io.stdout.write(parsed.json ? `${JSON.stringify(json)}\n` : text);
    return attention ? 3 : 0;
  } catch (cause) {
    return failed('keys', cause, parsed.json, io);
  }
}

type Parsed =
  | { readonly help: string }
  | {
      readonly help?: undefined;
      readonly json: boolean;
      readonly command: KeysCommand;
      readonly argument: string;
    };

/** What is asked for, or what is wrong with it in words. */
function parse(argv: readonly string[]): Parsed | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    const asksForHelp = values.help === true || positionals[0] === 'help';
    const [name, ...others] = positionals[0] === 'help' ? positionals.slice(1) : positionals;
    const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (asksForHelp)
      return { help: name === undefined || command === undefined ? HELP : helpOf(name, command) };
    if (name === undefined) return 'say which command';
    if (command === undefined) return `there is no command "${name}"`;
    const [argument = '', surplus] = command.argument === undefined ? ['', others[0]] : others;
    if (surplus !== undefined) return `"${name}" takes no "${surplus}"`;
    if (command.argument !== undefined && argument === '')
      return `"${name}" wants to know which ${command.argument === 'id' ? 'key' : 'file'}: ${usageOf(name, command.argument)}`;
    if (command.argument === 'id' && !/^[0-9a-f]{16}$/.test(argument))
      return `"${name}" takes the id of a key as rekeycast keys status shows it, 16 hex digits, and not "${argument}"`;
    return { json: values.json, command, argument };
  } catch (cause) {
    return messageOf(cause);
  }
}

function usageOf(name: string, argument: string | undefined): string {
  return `rekeycast keys ${name}${argument === undefined ? '' : ` <${argument}>`} [--json]`;
}

function helpOf(name: string, { argument, summary, help }: KeysCommand): string {
  return `${usageOf(name, argument)}\n\n${summary[0]!.toUpperCase()}${summary.slice(1)}.\n\n${help}\n\n${EXIT_CODES}`;
}
