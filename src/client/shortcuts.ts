/** What a key on the page does. */
export type KeyCommand = 'mute' | 'full' | 'pip' | 'help';

/** What is known of a key that was pressed. */
export interface KeyPress {
  readonly key: string;
  /** With Ctrl, Alt or Meta: those belong to the browser. */
  readonly modified: boolean;
  /** Into a field. */
  readonly typing: boolean;
  /** On a button or the like, which has its own use for the space bar. */
  readonly onControl: boolean;
}

const COMMANDS: ReadonlyMap<string, KeyCommand> = new Map([
  ['m', 'mute'],
  ['k', 'mute'],
  [' ', 'mute'],
  ['f', 'full'],
  ['p', 'pip'],
  ['?', 'help'],
]);

export function commandOf({ key, modified, typing, onControl }: KeyPress): KeyCommand | undefined {
  if (modified || typing || (key === ' ' && onControl)) return undefined;
  return COMMANDS.get(key.toLowerCase());
}
