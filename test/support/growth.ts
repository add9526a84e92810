/**
 * Counts by how many entries all maps and sets together have grown while `run` runs, without knowing which there are: memory that somebody
 * from outside can fill shows here, deterministically, as it does not in the size of a heap.
 */
export function netGrowth(run: () => void): number {
  let entries = 0;
  const { set, delete: forget, clear } = Map.prototype;
  const { add, delete: remove, clear: empty } = Set.prototype;
  const counted = <This extends { readonly size: number }, Arguments extends unknown[], Result>(
    original: (this: This, ...values: Arguments) => Result,
  ) =>
    function (this: This, ...values: Arguments): Result {
      const before = this.size;
      const result = original.apply(this, values);
      entries += this.size - before;
      return result;
    };
  Map.prototype.set = counted(set) as typeof set;
  Map.prototype.delete = counted(forget);
  Map.prototype.clear = counted(clear);
  Set.prototype.add = counted(add) as typeof add;
  Set.prototype.delete = counted(remove);
  Set.prototype.clear = counted(empty);
  try {
    run();
  } finally {
    Object.assign(Map.prototype, { set, delete: forget, clear });
    Object.assign(Set.prototype, { add, delete: remove, clear: empty });
  }
  return entries;
}
