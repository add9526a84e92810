/** Text from elsewhere, for a terminal: what would move the cursor, recolour or begin a new line is shown as a question mark. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');
