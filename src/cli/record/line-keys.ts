import type { JsonValue } from '../../trace/index.ts';

/** Writes a line of the capture: its operation, and its keys behind `seq`, without braces. */
export type Emit = (op: string, keys: string) => void;

/** Keys of a line that is rare, as text. */
export function keysText(record: Readonly<Record<string, JsonValue>>): string {
  return JSON.stringify(record).slice(1, -1);
}
