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

/** Declares one reason. */
export function reason(id: string, errno: ErrnoName, source: string, says: string): Reason {
  return Object.freeze({ id, errno: ERRNO[errno], says, source });
}
