/** Writing into the page: only what has changed, since screen readers speak every change. */

export function find<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`the page has no #${id}`);
  return element;
}

export function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function hide(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Gives a button with an icon another name and another icon. */
export function label(button: HTMLElement, words: string, icon: string): void {
  const tip = button.querySelector('.tip');
  if (tip instanceof HTMLElement) write(tip, words);
  const use = button.querySelector('use');
  if (use?.getAttribute('href') !== icon) use?.setAttribute('href', icon);
}
