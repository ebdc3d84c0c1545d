import { ERRNO } from '../uapi/index.ts';

/**
 * Why the kernel refuses. Ids are stable for ever; `source` names the kernel function that checks, as of
 * Linux 6.12 unless it says otherwise.
 */
export interface Reason {
  readonly id: string;
  readonly errno: number;
  readonly says: string;
  readonly source: string;
}

export type ErrnoName = keyof typeof ERRNO;

/** A refusal, or null when the call goes on. Constants, so that refusing allocates nothing. */
export type Refusal = Reason | null;

/** Every reason that was declared, by id: complete once the modules of the model are loaded. */
const declared = new Map<string, Reason>();

/** Declares one reason. Throws when the id already means something else: that is our bug. */
export function reason(id: string, errno: ErrnoName, source: string, says: string): Reason {
  const next: Reason = Object.freeze({ id, errno: ERRNO[errno], says, source });
  const earlier = declared.get(id);
  if (earlier === undefined) {
    declared.set(id, next);
    return next;
  }
  if (earlier.errno !== next.errno || earlier.says !== says || earlier.source !== source)
    throw new Error(`two different reasons have the id ${id}`);
  return earlier;
}

/** All reasons of the model, by id. */
export function allReasons(): readonly Reason[] {
  return [...declared.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
