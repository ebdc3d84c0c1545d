import type { StructLayout } from '../../src/uapi/index.ts';
import * as uapi from '../../src/uapi/index.ts';

function isLayout(value: unknown): value is StructLayout {
  return typeof value === 'object' && value !== null && 'sizeBytes' in value && 'fields' in value;
}

/** Every struct layout that the folder exports, by the name of its constant. */
export const ALL_LAYOUTS: readonly (readonly [string, StructLayout])[] = Object.entries(uapi).flatMap(
  ([name, value]): [string, StructLayout][] => (isLayout(value) ? [[name, value]] : []),
);
