/** Puts a fact in its place; answers 1 when it was not known, or known otherwise. */
export function note<T extends object, K extends keyof T>(facts: T, key: K, value: T[K]): number {
  if (JSON.stringify(facts[key]) === JSON.stringify(value)) return 0;
  facts[key] = value;
  return 1;
}
