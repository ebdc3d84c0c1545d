import { objectsNamed } from '../../replay/index.ts';
import type { Call } from '../trace/index.ts';

/** Says whether an ioctl names an object in its struct, before or after the call. */
export function namesObject(call: Call, id: number): boolean {
  return [...objectsNamed(call, 'arg'), ...objectsNamed(call, 'out')].some((named) => named.id === id);
}
