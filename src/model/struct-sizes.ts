import type { StructLayout } from '../uapi/index.ts';
import { levelOf, type Release } from './kernel-versions.ts';

/**
 * Smallest size that a command takes, and sizeof its struct, in bytes and in one release: the newest of its
 * sizes that is not newer.
 */
export function sizeIn(layout: StructLayout, release: Release): { minBytes: number; bytes: number } {
  const size = layout.sizes?.findLast(({ since }) => levelOf(since) <= levelOf(release));
  return { minBytes: size?.minBytes ?? layout.minBytes, bytes: size?.bytes ?? layout.sizeBytes };
}
