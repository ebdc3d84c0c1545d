import { existsSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

/** Captures beside the checkout: real kernels' answers. They are not part of the repository. */
export const SHARED_TRACES = resolve(import.meta.dirname, '../../../shared/traces');

export const hasSharedTraces = existsSync(SHARED_TRACES);

/** All shared captures, by path relative to their folder, in ascending order. */
export function sharedTraces(): readonly string[] {
  if (!hasSharedTraces) return [];
  return readdirSync(SHARED_TRACES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.jsonl(\.gz)?$/.test(entry.name))
    .map((entry) => relative(SHARED_TRACES, join(entry.parentPath, entry.name)))
    .sort();
}
