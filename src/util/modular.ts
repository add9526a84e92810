/** Counters on the wire run in circles: a value's place on one of `by` steps, from zero up. */
export const modulo = (value: number, by: number): number => ((value % by) + by) % by;

export const modulo32 = (value: number): number => modulo(value, 2 ** 32);

/** The value's signed difference from zero on a circle of `by`: below half of it, and not below minus a half. */
export function nearestToZero(value: number, by: number): number {
  const wrapped = modulo(value, by);
  return wrapped < by / 2 ? wrapped : wrapped - by;
}
